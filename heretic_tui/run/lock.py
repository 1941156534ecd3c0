"""The lock that makes one process the writer of a run folder: taken by it alone, looked at by anybody without being
taken."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from heretic_tui.errors import UsageError

# struct flock: type, whence, start, length, pid.
_FLOCK = "@hhqqi0q"
# Older versions ask by taking the lock for a moment; this waits until they are done.
_PATIENCE, _STEP = 0.3, 0.02
# Who adds a line to a file waits until others have added theirs.
_PATIENCE_FOR_LINES = 2.0


class BusyError(Exception):
    """Another process writes to the file."""


class HeldError(Exception):
    """Another process holds the lock: `pid`, where it is known."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(pid)
        self.pid = pid


def take(path: Path) -> int:
    """Take the lock until the descriptor that is returned is closed, or the process ends. The file holds the pid.

    Two locks are taken: the one that all versions respect (flock), which cannot be asked about without taking it, and
    one that can be asked about (an open file description lock).

    Raises:
        HeldError: when another process holds it.
        OSError: when the file cannot be written to.
        UsageError: on systems without such locks.
    """
    fcntl = _fcntl()
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600)
    try:
        _take(fcntl, handle)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


@contextlib.contextmanager
def alone(handle: int) -> Iterator[None]:
    """Hold an open file for a moment, against other processes that do the same. Systems without such locks go on
    without.

    Raises:
        BusyError: when another process holds it all the while.
    """
    try:
        fcntl = _fcntl()
    except UsageError:
        yield
        return
    try:
        _flock(fcntl, handle, _PATIENCE_FOR_LINES)
    except BlockingIOError:
        raise BusyError from None
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)


def holder(path: Path) -> int | None:
    """Pid of the process that holds the lock at this moment (-1 where it is not known), None when there is none."""
    try:
        fcntl = _fcntl()
        # Opening a FIFO would wait for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, UsageError):
        return None
    try:
        pid = _pid(handle)
        return (pid or -1) if _is_held(fcntl, handle, pid) else None
    finally:
        os.close(handle)


def _fcntl() -> ModuleType:
    try:
        import fcntl
    except ImportError as error:
        raise UsageError(
            "this system has no file locks of the kind that keeps two processes from one run (the module fcntl): use "
            "Linux or macOS; on Windows, WSL"
        ) from error
    return fcntl


def _take(fcntl: ModuleType, handle: int) -> None:
    try:
        _flock(fcntl, handle, _PATIENCE)
    except BlockingIOError as error:
        raise HeldError(_pid(handle)) from error
    if hasattr(fcntl, "F_OFD_SETLK"):
        try:
            fcntl.fcntl(handle, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        except OSError as error:
            # A file system without it: the run is locked by flock alone, which the system's list shows.
            if error.errno not in (errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP, errno.EAGAIN, errno.EACCES):
                raise


def _flock(fcntl: ModuleType, handle: int, patience: float) -> None:
    """Take the lock that all versions respect.

    Raises:
        BlockingIOError: when another holds it all the while.
    """
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise
            time.sleep(_STEP)


def _is_held(fcntl: ModuleType, handle: int, pid: int | None) -> bool:
    if not hasattr(fcntl, "F_OFD_GETLK"):
        # No other way to look than to take it, shared and for a moment.
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        found = struct.unpack(_FLOCK, fcntl.fcntl(handle, fcntl.F_OFD_GETLK, asked))
    except OSError:
        found = (fcntl.F_UNLCK,)
    return found[0] != fcntl.F_UNLCK or _in_list(pid, os.fstat(handle).st_ino)


def _in_list(pid: int | None, inode: int) -> bool:
    """Whether the system's list of locks has a flock of the process on the file: one that an older version took. (The
    list's devices are not those of `stat` on some file systems, so the pid in the file is used in their place.)"""
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return False
    found = (line.split() for line in lines)
    return any(
        words[1] == "FLOCK" and words[3] == "WRITE" and words[4] == str(pid) and words[5].endswith(f":{inode}")
        for words in found
        if len(words) > 5
    )


def _pid(handle: int) -> int | None:
    try:
        text = os.pread(handle, 20, 0).decode(errors="replace").strip()
    except OSError:
        return None
    return int(text) if text.isascii() and text.isdigit() else None
