"""A run without a terminal: a process in a session of its own, which tells the terminal that started it how it
begins."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from heretic_tui.errors import INTERRUPTED, WRONG_INPUT, HereticError, UsageError, one_line
from heretic_tui.files import parse_json
from heretic_tui.run.folder import RunFolder
from heretic_tui.signals import handling
from heretic_tui.terminal import Streams

# Called when the run folder is held, and the run can be attached to.
Begun = Callable[[RunFolder], None]


def run_detached(streams: Streams, work: Callable[[Begun], int], tell: Callable[[RunFolder, int], None]) -> int:
    """Do it in a process without a terminal, whose lines go to a file of the run folder. Returns twice: here as soon as
    the run has begun, there the exit status of the work.

    Args:
        work: calls what it is handed as soon as the run folder is held.
        tell: called here with the run folder and the pid.

    Raises:
        HereticError: here, with what the process failed with before that.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        folder = _wait_for_start(child, reading, streams)
        tell(folder, child)
        return 0
    os.close(reading)
    os.setsid()
    _leave_terminal()

    def begun(folder: RunFolder) -> None:
        _lines_to(folder, streams)
        _say(writing, {"folder": str(folder.path)})

    try:
        return work(begun)
    except BaseException as error:
        status = error.exit_status if isinstance(error, HereticError) else 1
        _say(writing, {"error": one_line(error), "status": status})
        raise


def _wait_for_start(child: int, reading: int, streams: Streams) -> RunFolder:
    def interrupted(number: int, frame: FrameType | None) -> NoReturn:
        with contextlib.suppress(OSError):
            os.kill(child, signal.SIGTERM)
        with contextlib.suppress(OSError):
            os.write(streams.err.fileno(), b"heretic-tui: interrupted\n")
        os._exit(INTERRUPTED)

    with handling(interrupted, interrupted), os.fdopen(reading, "rb") as pipe:
        said = pipe.readline()
    if not said:
        raise HereticError("the run's process ended before the run began")
    told = parse_json(said, "what the run's process said")
    assert isinstance(told, dict)
    if "folder" in told:
        return RunFolder(Path(told["folder"]))
    raise (UsageError if told["status"] == WRONG_INPUT else HereticError)(told["error"])


def _leave_terminal() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    # Until the run folder is held.
    with tempfile.TemporaryFile() as lines:
        os.dup2(lines.fileno(), 1)
        os.dup2(lines.fileno(), 2)


def _lines_to(folder: RunFolder, streams: Streams) -> None:
    """Let what is printed, and what was printed so far, go to a file of the run folder.

    Raises:
        UsageError: when it cannot be written to.
    """
    try:
        target = os.open(folder.lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o600)
        os.write(target, os.pread(streams.out.fileno(), 1 << 16, 0))
    except OSError as error:
        raise UsageError(f"cannot write {folder.lines}: {error.strerror}") from error
    for stream in (streams.out, streams.err):
        os.dup2(target, stream.fileno())
    os.close(target)


def _say(writing: int, record: dict[str, object]) -> None:
    """Tell the terminal, once."""
    with contextlib.suppress(OSError):
        os.write(writing, json.dumps(record).encode() + b"\n")
        os.close(writing)
