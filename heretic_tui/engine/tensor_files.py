"""Tensors that a run folder keeps: written whole and with a checksum, and read only where they are what was written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from heretic_tui.errors import UsageError, one_line
from heretic_tui.files import replaced
from heretic_tui.run.folder import RunFolder


def keep_tensors(folder: RunFolder, path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a file of the run folder.

    Raises:
        HereticError: when the disk is full or the folder cannot be written to.
    """
    with replaced(path) as beside:
        save_file(dict(tensors), beside)
    folder.seal(path)


def kept_tensors(folder: RunFolder, path: Path, *names: str) -> dict[str, Tensor] | None:
    """What `keep_tensors` wrote, None where there is no such file.

    Raises:
        UsageError: when the file is damaged, or lacks one of the names.
    """
    try:
        folder.check(path)
    except FileNotFoundError:
        return None
    try:
        found = load_file(path)
    except Exception as error:
        raise UsageError(f"{path} is damaged ({one_line(error)})") from error
    if lacking := [name for name in names if name not in found]:
        raise UsageError(f"{path} is damaged (it holds no {lacking[0]!r})")
    return found
