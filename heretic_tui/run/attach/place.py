"""The socket in a run folder: made by the process that is at work on the run, found from another terminal, and who is
at its other end."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from heretic_tui.errors import UsageError
from heretic_tui.run.folder import RunFolder

# Bytes that an address can have: 108 on Linux and 104 elsewhere, with the NUL at its end.
_LONGEST = 103
# Connections that the server has not looked at yet: more than it lets in.
_WAITING = 64


def listen(path: Path) -> socket.socket:
    """A socket that others of this user can connect to; one that a process left there when it died is replaced. Only
    the holder of the run's lock may call this.

    Raises:
        OSError: where there can be none, such as on a file system that holds no sockets.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        raise OSError(None, "this system does not say who connects to a socket")
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(None, f"{path.name} is there, and is no socket")
        os.unlink(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(path) as address:
            made.bind(address)
        # Nobody can connect before `listen`.
        os.chmod(path, 0o600)
        made.listen(_WAITING)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def connect(folder: RunFolder) -> socket.socket:
    """A connection to the process that is at work on a run.

    Raises:
        UsageError: where there is none, or it cannot be attached to, or is another user's.
    """
    holder = folder.holder()
    if holder is None:
        raise UsageError(
            f"run {folder.name} is not running: nothing to attach to. Look at it: heretic-tui follow {folder.called}"
        )
    process = f"process {holder}" if holder > 0 else "another process"
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # On one machine a connection is there at once or not at all.
        made.setblocking(False)
        with _address(folder.socket) as address:
            made.connect(address)
        uid = peer(made)[1]
    except OSError as error:
        made.close()
        why = {
            FileNotFoundError: "it has no socket: an older version, another machine, or a file system without sockets",
            ConnectionRefusedError: "it listens on another machine, if at all",
            PermissionError: "it is another user's",
            BlockingIOError: "it does not answer; try again",
        }.get(type(error), error.strerror or str(error))
        raise UsageError(
            f"run {folder.name} is running ({process}) and cannot be attached to ({why}). "
            f"Watch it: heretic-tui follow {folder.called}"
        ) from error
    if uid != os.geteuid():
        made.close()
        raise UsageError(f"the socket of run {folder.name} is another user's (uid {uid}): it is not used")
    return made


def peer(connected: socket.socket) -> tuple[int, int]:
    """Process and user at the other end of a connection, as the kernel knows them: pid and uid.

    Raises:
        OSError: on systems that do not say.
    """
    if sys.platform != "linux":
        raise OSError(None, "this system does not say who is at the other end of a socket")
    found = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", found)
    return pid, uid


def terminal_name() -> str:
    """What people know the terminal of this process by, such as pts/3."""
    try:
        return os.ttyname(0).removeprefix("/dev/")
    except OSError:
        return "no terminal"


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """A name for the socket that is short enough for an address: where its own is not, one through the open folder."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
