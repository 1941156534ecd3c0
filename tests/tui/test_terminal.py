"""The dashboard in a real pseudo-terminal: hang-up, a reader that stands still, resizing, hostile text."""

from __future__ import annotations

import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from heretic_tui.run.folder import find_runs
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState
from heretic_tui.tui.other_process import FollowHost
from tests.support.terminals import PATIENCE, demo, drawn, state_in, terminal


def test_the_run_outlives_its_terminal(tmp_path: Path) -> None:
    with terminal(*demo(tmp_path, 25)) as screen:
        screen.read_until(r"\d+ of 25 done")
        screen.hang_up()
        assert screen.process.wait(timeout=PATIENCE) == 0
    state = state_in(tmp_path)
    assert (state.outcome, state.finished) == ("done", 25)
    with terminal("follow", "--runs-dir", tmp_path) as watcher:
        shown = watcher.read_until(r"25 of 25 done")
        assert "read only" in shown
        assert "done" in shown
        watcher.press("q")
        assert watcher.wait() == 0


def test_the_screen_is_on_the_terminal_wherever_errors_lead_and_sigterm_ends_it(tmp_path: Path) -> None:
    with terminal("open", "--runs-dir", tmp_path, errors=tmp_path / "errors") as screen:
        screen.read_until("No runs yet")
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
        screen.read_until("No runs yet")
        screen.hang_up()
        # Nothing is at work: without a terminal there is nothing to stay for.
        assert screen.process.wait(timeout=PATIENCE) == 0


def test_a_link_that_stands_still_does_not_hold_the_run_up(tmp_path: Path) -> None:
    with terminal(*demo(tmp_path, 30)) as screen:
        screen.read_until(r"[1-9]\d* of 30 done")
        # From here on nobody reads: the terminal's buffer fills, and the screen blocks. The search must not.
        end = time.monotonic() + PATIENCE
        # Trials that were only looked at have ended, too, and some are decoded after that.
        while state_in(tmp_path).phase != "ready":
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


def test_the_size_is_that_of_the_terminal_whatever_the_environment_says(tmp_path: Path, demo_run: object) -> None:
    runs_dir, variables = demo_run.runs_dir, {"COLUMNS": "60", "LINES": "16"}  # type: ignore[attr-defined]
    with terminal("follow", "--runs-dir", runs_dir, size=(120, 40), variables=variables) as screen:
        # On 60 columns the table would be alone.
        screen.read_until("refusals over KL divergence")
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
