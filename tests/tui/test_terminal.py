"""The dashboard in a real pseudo-terminal: hang-up, a reader that stands still, resizing, hostile text."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from heretic_tui.run.folder import find_runs
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState
from heretic_tui.tui.host import FollowHost

PATIENCE = 120


class Terminal:
    """A program on a pseudo-terminal of its own."""

    def __init__(
        self,
        arguments: list[str],
        size: tuple[int, int] = (100, 30),
        errors: Path | None = None,
        program: Sequence[str] = ("-m", "heretic_tui"),
    ) -> None:
        self.master, slave = pty.openpty()
        self.resize(*size)
        # The terminal that the tests themselves run in may be a tmux.
        inherited = {name: value for name, value in os.environ.items() if name not in ("TMUX", "STY")}
        environment = {**inherited, "TERM": "xterm-256color"}
        stderr = os.open(errors, os.O_WRONLY | os.O_CREAT) if errors else os.dup(slave)
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=stderr,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        os.close(stderr)
        self.output = b""
        # Where the last key was pressed: what was drawn before it is no answer to it.
        self._asked = 0

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGWINCH)

    def press(self, keys: str) -> None:
        while select.select([self.master], [], [], 0)[0]:
            self.output += os.read(self.master, 1 << 16)
        self._asked = len(self.output)
        os.write(self.master, keys.encode())

    def read_until(self, pattern: str) -> str:
        """Read what the program draws until it has drawn this since the last key (colours and moves left out)."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if re.search(pattern, drawn(self.output[self._asked :])):
                return drawn(self.output)
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.output += os.read(self.master, 1 << 16)
                except OSError:
                    break
        raise AssertionError(f"{pattern!r} was not drawn; last: {drawn(self.output)[-2000:]}")

    def wait(self) -> int:
        """Read on until the program has ended; its exit status."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.master], [], [], 0.1)[0]:
                with suppress(OSError):
                    self.output += os.read(self.master, 1 << 16)
        return self.process.wait(timeout=1)

    def hang_up(self) -> None:
        os.close(self.master)

    def end(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        with suppress(OSError):
            os.close(self.master)


def drawn(output: bytes) -> str:
    """What a program wrote to its terminal, without colours and moves."""
    text = output.decode(errors="replace")
    text = re.sub(r"\x1b\][^\x07\x1b]*(\x07|\x1b\\)", "", text)
    return re.sub(r"\x1b[\[(][0-9;?<>=]*[a-zA-Z]", " ", text)


@contextmanager
def terminal(*arguments: object, size: tuple[int, int] = (100, 30), **options: Any) -> Iterator[Terminal]:
    opened = Terminal([str(argument) for argument in arguments], size, **options)
    try:
        yield opened
    finally:
        opened.end()


def state_in(runs_dir: Path) -> RunState:
    runs = find_runs(runs_dir)
    return RunState.replay(read_events(runs[0].events)) if runs else RunState()


def demo(runs_dir: Path, trials: int) -> list[object]:
    return ["demo", "--runs-dir", runs_dir, "--seed", 0, "--n-trials", trials, "--n-startup-trials", trials]


def test_the_run_outlives_its_terminal(tmp_path: Path) -> None:
    with terminal(*demo(tmp_path, 25)) as screen:
        screen.read_until(r"\d+ of 25 done")
        screen.hang_up()
        assert screen.process.wait(timeout=PATIENCE) == 0
    state = state_in(tmp_path)
    assert (state.outcome, state.finished) == ("done", 25)
    with terminal("follow", "--runs-dir", tmp_path) as watcher:
        shown = watcher.read_until(r"25 of 25 done")
        assert "FOLLOWING" in shown
        assert "done" in shown
        watcher.press("q")
        assert watcher.wait() == 0


def test_the_screen_is_on_the_terminal_wherever_errors_lead_and_sigterm_ends_it(tmp_path: Path) -> None:
    with terminal("open", "--runs-dir", tmp_path, errors=tmp_path / "errors") as screen:
        screen.read_until("Start")
        screen.process.send_signal(signal.SIGTERM)
        assert screen.wait() == 130
        assert b"\x1b[?1049l" in screen.output, "the terminal is given back"
    assert (tmp_path / "errors").read_bytes() == b""


def test_a_screen_that_falls_is_a_line(tmp_path: Path) -> None:
    code = (
        "import sys; from heretic_tui.tui.app import HereticApp; from heretic_tui.cli.main import run_command\n"
        "def fall(self, *rest): raise KeyError('owned')\n"
        "HereticApp.on_mount = fall; sys.exit(run_command(sys.argv[1:]))"
    )
    with terminal("open", "--runs-dir", tmp_path, program=["-c", code]) as screen:
        assert screen.wait() == 1
        said = drawn(screen.output)
        assert "heretic-tui: while drawing the screen: KeyError: 'owned'" in said
        assert "Traceback" not in said
        (log,) = re.findall(r"details: (\S+\.log)", said)
        assert "KeyError: 'owned'" in Path(log).read_text()


def test_a_screen_without_a_terminal_does_not_spin(tmp_path: Path) -> None:
    with terminal("follow", "--runs-dir", tmp_path) as screen:
        assert screen.wait() == 2
        assert "no runs" in drawn(screen.output)
    with terminal("open", "--runs-dir", tmp_path) as screen:
        screen.read_until("Start")
        screen.hang_up()
        # Nothing is at work: without a terminal there is nothing to stay for.
        assert screen.process.wait(timeout=PATIENCE) == 0


def test_a_link_that_stands_still_does_not_hold_the_run_up(tmp_path: Path) -> None:
    with terminal(*demo(tmp_path, 30)) as screen:
        screen.read_until(r"[1-9]\d* of 30 done")
        # From here on nobody reads: the terminal's buffer fills, and the screen blocks. The search must not.
        end = time.monotonic() + PATIENCE
        while state_in(tmp_path).finished < 30:
            assert time.monotonic() < end
            select.select([], [], [], 0.2)
        screen.read_until(r"30 of 30 done")
        screen.press("q")
        assert screen.wait() == 0
        assert screen.output.count(b"\x1b]9;heretic-tui: model-") == 1, "the end of the search calls, once"
        assert b": done: 30 trials" in screen.output


def test_a_storm_of_resizes(tmp_path: Path, demo_run: object) -> None:
    runs_dir = demo_run.runs_dir  # type: ignore[attr-defined]
    with terminal("follow", "--runs-dir", runs_dir) as screen:
        screen.read_until("60 of 60 done")
        for turn in range(60):
            screen.resize(50 + turn * 3 % 160, 12 + turn % 40)
            if turn % 7 == 0:
                # Not the chat: its line would take the keys that follow.
                screen.press("235"[turn % 3])
        screen.resize(120, 40)
        # By way of another screen, so that this one is drawn anew.
        screen.press("53")
        screen.read_until("60 of 60 done")
        screen.press("q")
        assert screen.wait() == 0


def test_what_a_model_says_cannot_steer_the_terminal(tmp_path: Path, demo_run: object) -> None:
    import shutil

    from tests.support import fake_run

    runs_dir = tmp_path / "runs"
    copy = runs_dir / "hostile"
    shutil.copytree(demo_run.folder, copy)  # type: ignore[attr-defined]
    front = RunState.replay(read_events(copy / "events.jsonl")).front()[0].number
    fake_run.write_responses(copy, front, 0)
    assert FollowHost(find_runs(runs_dir)[0]).take()
    with terminal("follow", "--runs-dir", runs_dir, size=(120, 40)) as screen:
        screen.read_until("60 of 60 done")
        screen.press("#")
        screen.read_until("Go to trial")
        # Where the cursor is on that trial already, nothing of it is drawn anew: so the next key is typed ahead.
        screen.press(f"{front}\r\r")
        screen.read_until("against the original model")
        screen.press("Gk")
        screen.read_until(re.escape("[/INST]"))
        assert b"owned\x07" not in screen.output
        assert b"\x1b]0;owned" not in screen.output


@pytest.mark.parametrize("arguments", [["open"], ["follow"]])
def test_without_a_terminal_the_screen_is_refused_with_advice(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "heretic_tui", *arguments, "--runs-dir", str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "needs a terminal" in done.stderr
