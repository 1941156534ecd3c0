"""Folders that last as long as a task. One whose process was killed is removed by the next."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from heretic_tui.errors import HereticError
from heretic_tui.run.folder import RunFolder

_PREFIX = "heretic-tui-scratch-"
# Seconds within which a folder that has just been made gets its lock.
_YOUNG = 60


@contextmanager
def scratch_folder() -> Iterator[RunFolder]:
    """A run folder that lasts as long as the block; locked, so that others see that it is in use.

    Raises:
        HereticError: when there is no room for it.
    """
    _clear()
    try:
        folder = RunFolder(Path(tempfile.mkdtemp(prefix=_PREFIX)))
    except OSError as error:
        raise HereticError(f"no folder for temporary files can be made: {error.strerror} (see TMPDIR)") from error
    try:
        folder.create()
        folder.lock()
        yield folder
    finally:
        shutil.rmtree(folder.path, ignore_errors=True)
        folder.unlock()


def _clear() -> None:
    """Remove what killed processes of this user left."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            status = path.lstat()
            ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
            # Its owner holds the lock while it lives.
            if ours and time.time() - status.st_mtime > _YOUNG and RunFolder(path).holder() is None:
                shutil.rmtree(path, ignore_errors=True)
