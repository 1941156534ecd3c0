"""From a trial to files: merged weights or an adapter, written beside and renamed, so that they are whole or absent."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heretic_tui.engine.export.temporary import temporary_folder
from heretic_tui.errors import UsageError
from heretic_tui.files import nearest_there, write_failure
from heretic_tui.words import quoted
from heretic_tui.work import Work


@contextmanager
def whole_or_absent(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its name when the block ends well and is removed when it does not.

    Raises:
        UsageError: when `out` is there already, cannot be made, or the disk is full.
    """
    check_place(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(out.parent, f".{out.name}.", ".part") as beside:
            # Made for its owner alone; an export is as readable as any folder of the user's.
            beside.chmod(0o777 & ~_umask())
            yield beside
            if os.path.lexists(out):
                raise FileExistsError(errno.EEXIST, "something else was written there meanwhile")
            beside.rename(out)
    except Exception as error:
        if reason := write_failure(error):
            raise UsageError(f"cannot write {out}: {reason}; nothing was left behind") from error
        raise


def check_place(out: Path) -> None:
    """Check that a folder can be made, before the long work that fills it.

    Raises:
        UsageError: when `out` is there already, or cannot be made.
    """
    if os.path.lexists(out):
        raise UsageError(f"{out} exists already: choose another folder, or move it away")
    there = nearest_there(out.absolute().parent)
    try:
        # What is written carries its name, and libraries take names in UTF-8 only.
        str(out).encode()
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".part", dir=there):
            pass
    except UnicodeEncodeError as error:
        raise UsageError(f"cannot write {quoted(str(out), 200)}: its name is not UTF-8; choose another") from error
    except OSError as error:
        raise UsageError(f"cannot write {out}: {there}: {error.strerror or error}; choose another folder") from error


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def check_space(out: Path, needed: int) -> None:
    """Check the free space before writing for minutes.

    Raises:
        UsageError: when the disk that `out` is to lie on has less than `needed` bytes free.
    """
    free = shutil.disk_usage(nearest_there(out.absolute().parent)).free
    if free < needed:
        raise UsageError(f"cannot write {out}: {_size(needed)} are needed and {_size(free)} are free on that disk")


def _size(number: int) -> str:
    return f"{number / 1e9:,.2f} GB" if number >= 1e8 else f"{number / 1e6:,.2f} MB"


def file_hashes(folder: Path, work: Work) -> dict[str, str]:
    """SHA-256 of every weight file of a folder, by name.

    Raises:
        Aborted: from the control, between two files.
    """
    hashes = {}
    for path in sorted(folder.glob("*.safetensors")):
        work.checkpoint()
        with path.open("rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes
