"""Standard output and error of a command: lines that always can be written, and what libraries print kept off them."""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import io
import logging
import os
import select
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.words import plain

# Logs of failures that no run folder has; the oldest go first.
_KEPT_LOGS = 50


class Output:
    """A standard stream for lines. Nothing steers a terminal through it: control characters are made visible. A write
    that fails is no error of the command: from then on everything is dropped.

    Attributes:
        closed: the stream was closed when the program began.
        lost: why nothing is written any more.
        on_loss: called once when something that is not the reader's end (`| head`) keeps lines from being written.
    """

    def __init__(self, descriptor: int, closed: bool = False, on_loss: Callable[[str], None] | None = None) -> None:
        self._descriptor = descriptor
        self.closed = closed
        self.lost: OSError | None = None
        self.on_loss = on_loss

    def write(self, text: str) -> int:
        self._send("\n".join(plain(line) for line in text.split("\n")))
        return len(text)

    def write_lines(self, *lines: str) -> None:
        """Write each as a line of its own."""
        self.write("".join(f"{line}\n" for line in lines))

    def erase_line(self) -> None:
        """Take back the line that the cursor stands in; for terminals that know how (`moves`)."""
        self._send("\r\x1b[K")

    def flush(self) -> None:
        """Nothing is held back."""

    @property
    def moves(self) -> bool:
        """Whether it is a terminal on which a line can be written over."""
        return os.isatty(self._descriptor) and os.environ.get("TERM", "dumb") != "dumb"

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        try:
            return os.get_terminal_size(self._descriptor).columns or 80
        except OSError:
            return 80

    def fileno(self) -> int:
        return self._descriptor

    @contextlib.contextmanager
    def through(self, descriptor: int) -> Iterator[None]:
        """Within the block lines go to another descriptor."""
        before, self._descriptor = self._descriptor, descriptor
        try:
            yield
        finally:
            self._descriptor = before

    def _send(self, text: str) -> None:
        data = text.encode("utf-8", errors="replace")
        while data and self.lost is None:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # Whoever shares the stream made it one that does not wait.
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.lost = error
                if self.on_loss and error.errno != errno.EPIPE:
                    self.on_loss(error.strerror or str(error))


class Streams:
    """Standard output and error of one command. Streams that were closed lead to nowhere, so that no file which is
    opened later takes their place."""

    def __init__(self) -> None:
        closed = _fill_closed()
        self.out = Output(1, 1 in closed, self._out_lost)
        self.err = Output(2, 2 in closed)
        # Where libraries' prints go at this moment, while it is a file that nobody is to find.
        self.scratch_log: Path | None = None

    def _out_lost(self, reason: str) -> None:
        self.err.write(f"heretic-tui: standard output cannot be written to ({reason}): what comes there is left out\n")

    @property
    def failed(self) -> bool:
        """Whether lines were lost for another reason than that nobody wanted them."""
        return self.out.lost is not None and self.out.lost.errno != errno.EPIPE


def _fill_closed() -> set[int]:
    closed = set()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
        elif number and isinstance(stream, io.TextIOWrapper):
            # What libraries print must not fail for a character that the locale has not.
            stream.reconfigure(errors="backslashreplace")
    return closed


class RealOutput:
    """The log that descriptors 1 and 2 lead to.

    Attributes:
        path: where it lies; None while it has no name.
        text: a stream that leads there.
    """

    def __init__(self, streams: Streams, path: Path | None) -> None:
        self._streams = streams
        self.text: TextIO = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        self.path = path
        self.kept = False

    def move_log(self, path: Path) -> None:
        """Let the log go on in `path`; the first time with what was logged so far before it.

        Raises:
            UsageError: when the file cannot be written to.
        """
        try:
            # A FIFO in its place would be waited for.
            target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error
        try:
            if not stat.S_ISREG(os.fstat(target).st_mode):
                raise UsageError(f"cannot write {path}: it is no regular file")
            _flush()
            if not self.kept:
                with contextlib.suppress(OSError):
                    os.write(target, os.pread(2, os.fstat(2).st_size, 0))
            os.dup2(target, 1)
            os.dup2(target, 2)
        finally:
            os.close(target)
        self._streams.scratch_log = None
        if not self.kept and self.path:
            self.path.unlink(missing_ok=True)
        self.path, self.kept = path, True

    def failure(self, error: Exception, doing: str, log: Path | None = None) -> HereticError:
        """A library's exception as an error for people; its traceback goes to the log.

        Args:
            doing: such as "measuring the base model".
            log: where the log is to lie, unless it lies somewhere already.
        """
        if log and not self.kept:
            with contextlib.suppress(UsageError):
                self.move_log(log)
        traceback.print_exception(error, file=self.text)
        self.kept, self._streams.scratch_log = True, None
        where = f" (details: {self.path})" if self.path else ""
        return HereticError(f"while {doing}: {one_line(error)}{where}")


@contextlib.contextmanager
def output_to_log(streams: Streams) -> Iterator[RealOutput]:
    """Within the block whatever Python or native code prints goes to a log, which goes with the block unless it is
    moved or kept; `streams` lead where they led before."""
    _flush()
    real = [os.dup(1), os.dup(2)]
    path, log = _new_log()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    # A native crash leaves its stack there, and the file with it.
    faulthandler.enable(2)
    apart = RealOutput(streams, path)
    handler = logging.StreamHandler(apart.text)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    streams.scratch_log = path
    try:
        with streams.out.through(real[0]), streams.err.through(real[1]):
            yield apart
    finally:
        _flush()
        for number, saved in enumerate(real, start=1):
            os.dup2(saved, number)
            os.close(saved)
        logging.getLogger().removeHandler(handler)
        streams.scratch_log = None
        if path and not apart.kept:
            path.unlink(missing_ok=True)


def keep_failure(error: Exception) -> Path | None:
    """Write an exception with its traceback to a log of its own; its path, None where none can be written."""
    path, log = _new_log()
    with contextlib.suppress(OSError), os.fdopen(log, "w", encoding="utf-8", errors="backslashreplace") as file:
        traceback.print_exception(error, file=file)
    return path


def _new_log() -> tuple[Path | None, int]:
    """A file in the state folder, or a nameless one where there can be none."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    name = time.strftime(f"%Y-%m-%dT%H-%M-%S-{os.getpid()}-")
    try:
        folder = Path(home).expanduser() / "heretic-tui" / "errors"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in sorted(folder.glob("*.log"))[:-_KEPT_LOGS]:
            old.unlink(missing_ok=True)
        log, path = tempfile.mkstemp(".log", name, folder)
        return Path(path), log
    except (OSError, RuntimeError):  # no such home
        with tempfile.TemporaryFile() as file:
            return None, os.dup(file.fileno())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # Its reader may have gone; what it did not read is nobody's any more.
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
