"""Standard output and error of a command: a write never fails the command, and what libraries print goes to a log."""

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
import textwrap
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.words import plain

# So many logs of failures outside of a run folder are kept; the oldest are deleted first.
_KEPT_LOGS = 50


class Output:
    """A standard stream for lines. Control characters are made visible, so that no text can control the terminal. A
    write that fails is no error of the command: all later lines are dropped.

    Attributes:
        closed: the stream was closed when the program began.
        lost: the error after which nothing is written any more; None while the stream can be written to.
        on_loss: called once, with the reason, when a write fails for another reason than that the reader has ended
            (`| head`).
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

    def write_hanging(self, indent: int, *lines: str) -> None:
        """Write each as a line of its own; on a terminal that is too narrow for it broken between words, with so many
        blanks before all but its first part. (What other programs read is not broken.)"""
        if os.isatty(self._descriptor):
            room = max(indent + 20, self.width)
            blanks = " " * indent
            broken = [textwrap.wrap(line, room, subsequent_indent=blanks, break_on_hyphens=False) for line in lines]
            lines = tuple(part for parts in broken for part in parts or [""])
        self.write_lines(*lines)

    def erase_line(self) -> None:
        """Delete the line that the cursor is in; only on terminals where `moves` is true."""
        self._send("\r\x1b[K")

    def steer(self, sequence: str) -> None:
        """Write characters that steer the terminal, as they are; nothing where it is none that knows such."""
        if self.moves:
            self._send(sequence)

    def flush(self) -> None:
        """Does nothing: every write is sent at once."""

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
        """Within the block lines are written to another descriptor."""
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
                # Another process that shares the stream set it to non-blocking.
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.lost = error
                if self.on_loss and error.errno != errno.EPIPE:
                    self.on_loss(error.strerror or str(error))


class Streams:
    """Standard output and error of one command. Streams that were closed are opened on /dev/null, so that no file that
    is opened later gets their descriptor.

    Attributes:
        scratch_log: the log that libraries print to at this moment, as long as it is to be deleted afterwards.
    """

    def __init__(self) -> None:
        closed = _fill_closed()
        self.out = Output(1, 1 in closed, self._out_lost)
        self.err = Output(2, 2 in closed)
        self.scratch_log: Path | None = None

    def _out_lost(self, reason: str) -> None:
        self.err.write(f"heretic-tui: standard output cannot be written to ({reason}): what comes there is left out\n")

    @property
    def failed(self) -> bool:
        """Whether lines were lost for another reason than that the reader has ended."""
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
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115 - open as long as this
        elif number and isinstance(stream, io.TextIOWrapper):
            # A print of a library must not fail for a character that the encoding of the locale lacks.
            stream.reconfigure(errors="backslashreplace")
    return closed


class RealOutput:
    """The log that descriptors 1 and 2 lead to while libraries are at work.

    Attributes:
        path: the log's file; None where it has no name.
        text: a stream that writes to it.
        kept: whether the file stays when the block of `output_to_log` ends.
    """

    def __init__(self, streams: Streams, path: Path | None) -> None:
        self._streams = streams
        self.text: TextIO = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115 - open as long as this
        self.path = path
        self.kept = False

    def move_log(self, path: Path) -> None:
        """Write the log to `path` from now on; the first time what was logged so far is copied there.

        Raises:
            UsageError: when the file cannot be written to.
        """
        try:
            # Without O_NONBLOCK the open would wait for a reader where there is a FIFO of that name.
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
        """A library's exception as an error for people; its traceback is written to the log.

        Args:
            doing: such as "measuring the original model".
            log: the file that the log is moved to, unless it has been moved already.
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
    """Within the block whatever Python or native code prints is written to a log. The log is deleted when the block
    ends, unless it was moved or a failure was written to it. `streams` write to where they wrote before."""
    _flush()
    saved = [os.dup(1), os.dup(2)]
    path, log = _new_log()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    # A crash of native code writes its stack there, and the file stays.
    faulthandler.enable(2)
    real = RealOutput(streams, path)
    handler = logging.StreamHandler(real.text)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    streams.scratch_log = path
    try:
        with streams.out.through(saved[0]), streams.err.through(saved[1]):
            yield real
    finally:
        _flush()
        for number, descriptor in enumerate(saved, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        logging.getLogger().removeHandler(handler)
        streams.scratch_log = None
        if path and not real.kept:
            path.unlink(missing_ok=True)


def keep_failure(error: Exception) -> Path | None:
    """Write an exception with its traceback to a log of its own; its path, None where none can be written."""
    path, log = _new_log()
    with contextlib.suppress(OSError), os.fdopen(log, "w", encoding="utf-8", errors="backslashreplace") as file:
        traceback.print_exception(error, file=file)
    return path


def _new_log() -> tuple[Path | None, int]:
    """A new log's path and descriptor: in the state folder, or a file without a name where none can be made there."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    name = time.strftime(f"%Y-%m-%dT%H-%M-%S-{os.getpid()}-")
    try:
        folder = Path(home).expanduser() / "heretic-tui" / "errors"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in sorted(folder.glob("*.log"))[:-_KEPT_LOGS]:
            old.unlink(missing_ok=True)
        log, path = tempfile.mkstemp(".log", name, folder)
        return Path(path), log
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        with tempfile.TemporaryFile() as file:
            return None, os.dup(file.fileno())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # Its reader may have ended.
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
