"""Records `screenshots/tour.cast`: two minutes of the demo, as a person types it, for asciinema's player (format 2).

python -m tools.make_recording          (`asciinema play screenshots/tour.cast` shows it)

The real program runs on a terminal of its own; what it draws is written down with its time. Waiting is shortened: what
takes a minute is played in seconds. Nothing of this machine is in it: the program lives in a folder with a plain name.
"""

from __future__ import annotations

import codecs
import fcntl
import getpass
import json
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.run.folder import find_runs
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState
from tools.terminal_grid import TerminalGrid

ROOT = Path(__file__).parents[1]
OUT = ROOT / "screenshots" / "tour.cast"
SIZE = (120, 36)
HOME = Path("/tmp/demo")
# Seconds of the recording that a wait takes at most, and that a pause is held for a reader.
_WAIT = 6.0
# Seconds between two pieces of the recording: what came in between is one.
_FRAME = 0.2
_TYPING = 0.07
# The name of the machine is on the first screen.
_PROGRAM = (
    "import os, runpy\n"
    "found = list(os.uname())\n"
    "found[1] = 'demo'\n"
    "os.uname = lambda: os.uname_result(found)\n"
    "runpy.run_module('heretic_tui', run_name='__main__', alter_sys=True)\n"
)


class Recorder:
    """A program on a terminal, what it draws, and the clock of the recording, which runs as fast as it is told to."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        self._program = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *arguments],
            stdin=slave, stdout=slave, stderr=slave, cwd=HOME, env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self._master = master
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.events: list[tuple[float, str]] = []
        self._grid = TerminalGrid(*SIZE)
        self._now = 0.0
        self._real = time.monotonic()

    def say(self, text: str, seconds: float = 0.0) -> None:
        """Something that stands on the terminal before the program, or after it."""
        self.events.append((self._now, text))
        self._now += seconds

    def type_line(self, text: str) -> None:
        """A command that a person types at the prompt."""
        self.say("$ ", 1.0)
        for character in text:
            self.say(character, _TYPING)
        self.say("\r\n\x1b[2J\x1b[H", 0.3)
        self._real = time.monotonic()

    def shows(self, words: str) -> Callable[[], bool]:
        """Whether words are on the terminal."""
        return lambda: words in self._grid.text

    @property
    def runs(self) -> bool:
        return self._program.poll() is None

    def _advance(self) -> float:
        now = time.monotonic()
        self._now += now - self._real
        self._real = now
        return self._now

    def listen(self, seconds: float) -> None:
        """Take what is drawn for so many real seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._master], [], [], left)[0]:
                try:
                    data = os.read(self._master, 1 << 16)
                except OSError:
                    data = b""
                if not data:
                    self._program.wait(30)
                    return
                text = self._decode(data)
                self._grid.feed(text)
                self.events.append((self._advance(), text))
        self._advance()

    def press(self, *keys: str, then: float = 0.6) -> None:
        """Press keys, each with a pause that a reader needs."""
        for key in keys:
            os.write(self._master, key.encode())
            self.listen(then)

    def type(self, text: str) -> None:
        self.press(*text, then=_TYPING)

    def wait(self, true: Callable[[], bool], at_most: float = _WAIT, patience: float = 600.0) -> None:
        """Go on when something is true. In the recording that takes no longer than `at_most` seconds.

        Raises:
            RuntimeError: when it does not come true.
        """
        first, start = len(self.events), self._advance()
        end = time.monotonic() + patience
        while not true():
            if time.monotonic() > end or not self.runs:
                raise RuntimeError(f"nothing came of it:\n{self._grid.text}")
            self.listen(0.2)
        took = self._advance() - start
        if took > at_most:
            # Played faster: each piece keeps its place in the time that is left of it.
            pace = at_most / took
            self.events[first:] = [(start + (when - start) * pace, text) for when, text in self.events[first:]]
            self._now = start + at_most

    def end(self) -> None:
        if self.runs:
            os.killpg(self._program.pid, signal.SIGKILL)
        self._program.wait()

    def write(self, path: Path) -> None:
        """The recording, of what came within a moment only what there was to see at its end."""
        header = {
            "version": 2,
            "width": SIZE[0],
            "height": SIZE[1],
            "title": "heretic-tui",
            "env": {"TERM": "xterm-256color"},
        }
        # No cursor: the program draws its own.
        lines, grid, last = [json.dumps(header), json.dumps([0.0, "o", "\x1b[?25l"])], TerminalGrid(*SIZE), 0.0
        for place, (when, text) in enumerate(self.events):
            grid.feed(text)
            following = self.events[place + 1][0] if place + 1 < len(self.events) else float("inf")
            if following - last >= _FRAME and (piece := grid.changes()):
                last = when
                lines.append(json.dumps([round(when, 2), "o", piece], ensure_ascii=False))
        lines.append(json.dumps([round(last, 2), "o", "\x1b[0m\x1b[?25h"]))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Run:
    """The run that the recording makes, as its folder tells of it."""

    @property
    def state(self) -> RunState:
        runs = find_runs(HOME / ".local" / "state" / "heretic-tui" / "runs") if HOME.is_dir() else []
        return RunState.replay(read_events(runs[0].events)) if runs else RunState()

    def finished(self, trials: int) -> Callable[[], bool]:
        return lambda: self.state.finished >= trials

    def ready(self) -> bool:
        return self.state.phase == "ready"

    @property
    def by_hand(self) -> int | None:
        """The trial that was made by hand, when it has been measured."""
        found = (trial.number for trial in self.state.trials.values() if trial.by_hand and trial.state == "complete")
        return next(found, None)

    def exported(self) -> bool:
        return isinstance(self.state.export, ev.ExportFinished)


def tour(terminal: Recorder) -> None:
    """What the person does; docs/tour.md tells it in words."""
    run = Run()
    # No runs yet: the demo.
    terminal.wait(terminal.shows("First time here?"), 2)
    terminal.listen(4)
    terminal.press("d", then=1)
    terminal.wait(run.finished(4), 9)
    terminal.wait(run.ready, 16)
    terminal.listen(3)
    # Two candidates of the front are marked, the first with a note.
    terminal.press("s", then=2.5)
    terminal.press("n", "m", then=1.2)
    terminal.press("t", "\t", then=0.8)
    terminal.type("answers all")
    terminal.press("\r", then=1.2)
    terminal.press("n", "m", then=1.2)
    # They are compared where they differ, and decoded to their end.
    terminal.press("C", then=5)
    terminal.press("d", then=3)
    terminal.press("\x1b", then=1.2)
    # One is tweaked, and kept.
    terminal.press("x", then=1)
    terminal.wait(terminal.shows(" as it is:"), 3)
    terminal.listen(3)
    terminal.press("h", "h", "h", "h", then=1.2)
    terminal.wait(terminal.shows("expected by how they begin"), 3)
    terminal.listen(2)
    terminal.press("W", then=1)
    terminal.wait(lambda: run.by_hand is not None, 4)
    terminal.press("3", then=3)
    # It is merged, into a new folder.
    terminal.press("#", *str(run.by_hand), "\r", then=0.8)
    terminal.listen(3)
    terminal.press("e", then=4)
    terminal.press("b", "~", "n", then=1)
    terminal.type("models")
    terminal.press("\r", " ", then=1)
    terminal.press("\x13", then=0.5)
    terminal.wait(run.exported, 8)
    terminal.listen(7)
    terminal.press("q", then=1)


def environment() -> dict[str, str]:
    """Nothing of this machine's."""
    return {
        "HOME": str(HOME), "USER": "demo", "LANG": "C.UTF-8", "TERM": "xterm-256color", "COLORTERM": "truecolor",
        "PATH": "/usr/bin:/bin", "PYTHONPATH": str(HOME / ".lib"), "HF_HUB_OFFLINE": "1", "EDITOR": "vi",
    }  # fmt: skip


def prepare() -> None:
    """A copy of the program under a plain name: paths of its demo can be on the screen."""
    shutil.rmtree(HOME, ignore_errors=True)
    package = HOME / ".lib" / "heretic_tui"
    shutil.copytree(ROOT / "heretic_tui", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "heretic.tcss", package / "tui" / "heretic.tcss")


def check(path: Path) -> None:
    """
    Raises:
        RuntimeError: when something of this machine is in the recording.
    """
    text = path.read_text(encoding="utf-8")
    secrets = {str(ROOT), str(Path.home()), os.uname().nodename, getpass.getuser(), sys.prefix}
    if found := [secret for secret in secrets if len(secret) > 2 and secret in text]:
        raise RuntimeError(f"the recording holds {', '.join(found)}")


def main() -> None:
    prepare()
    terminal = Recorder([], environment())
    try:
        terminal.type_line("heretic-tui")
        tour(terminal)
        terminal.say("\x1b[0m\x1b[2J\x1b[H$ ", 2.0)
    finally:
        terminal.end()
    terminal.write(OUT)
    check(OUT)
    print(f"{OUT}: {OUT.stat().st_size / 1e6:.2f} MB, {terminal.events[-1][0]:.0f} s")


if __name__ == "__main__":
    main()
