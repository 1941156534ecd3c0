"""A program on a pseudo-terminal of its own: typed at, and read as it draws."""

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

from heretic_tui.run.folder import find_runs
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState

PATIENCE = 120
# What tells a program about the terminal it runs in.
_OF_THE_TERMINAL = ("TMUX", "STY", "COLUMNS", "LINES")


class Terminal:
    """A program on a pseudo-terminal of its own."""

    def __init__(
        self,
        arguments: list[str],
        size: tuple[int, int] = (100, 30),
        errors: Path | None = None,
        program: Sequence[str] = ("-m", "heretic_tui"),
        variables: dict[str, str] | None = None,
    ) -> None:
        self.master, slave = pty.openpty()
        self.resize(*size)
        # The terminal that the tests themselves run in may be a tmux, and is of another size.
        inherited = {name: value for name, value in os.environ.items() if name not in _OF_THE_TERMINAL}
        environment = {**inherited, "TERM": "xterm-256color", **(variables or {})}
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
        self._read_what_is_there()
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
        # What it wrote last lies in the terminal still.
        self._read_what_is_there()
        return self.process.wait(timeout=1)

    def _read_what_is_there(self) -> None:
        # A terminal that nobody writes to any more gives an error in place of an end.
        with suppress(OSError):
            while select.select([self.master], [], [], 0)[0] and (data := os.read(self.master, 1 << 16)):
                self.output += data

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
