"""Folders that last as long as a piece of work; where its process was killed, the next one removes them."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Seconds between the making of a folder and its lock, with much to spare.
_JUST_NOW = 60.0


@contextmanager
def temporary_folder(where: Path, prefix: str, suffix: str = "") -> Iterator[Path]:
    """A folder that is there within the block, unless it is renamed there. Leftovers of the same names are removed
    first.

    Raises:
        OSError: when it cannot be made.
    """
    _clear_leftovers(where, prefix, suffix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=where))
    # A lock on the folder itself ends with this process, however it ends.
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Not to be had on some network file systems: then leftovers there stay.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def _clear_leftovers(where: Path, prefix: str, suffix: str) -> None:
    """Remove what killed processes of this user left. A folder in use is locked; one that was made a moment ago may be
    about to be."""
    for path in where.glob(f"{glob.escape(prefix)}*{glob.escape(suffix)}"):
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                status = os.fstat(handle)
                if status.st_uid == os.getuid() and time.time() - status.st_mtime > _JUST_NOW:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path)
            finally:
                os.close(handle)
