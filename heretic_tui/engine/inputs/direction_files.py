"""Directions in a safetensors file that anybody may have written: read, and checked before they are used."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from heretic_tui.errors import UsageError, one_line
from heretic_tui.files import user_path

_NAME = "directions"


def direction_path(text: str) -> Path:
    """Where the file of the setting `direction_file` lies, as an absolute path.

    Raises:
        UsageError: when nothing lies there, or no file.
    """
    path = user_path(text)
    if not path.is_file():
        raise UsageError(f"direction_file: {text}: no such file")
    return path.resolve()


def read_direction_file(path: Path, depth: int, hidden: int) -> Tensor:
    """The directions in a file, of any length but 0, (depth, hidden) or (depth, k, hidden).

    Args:
        depth: number of layers of the model, and one.

    Raises:
        UsageError: when it cannot be read, holds none, or those of another model.
    """
    where = f"direction_file: {path}"
    try:
        with safe_open(str(path), framework="pt") as file:
            names = list(file.keys())
            name = _NAME if _NAME in names else names[0] if len(names) == 1 else None
            found: Tensor | None = file.get_tensor(name) if name is not None else None
    except Exception as error:
        raise UsageError(f"{where} is no safetensors file that can be read ({one_line(error)})") from error
    if found is None:
        held = f"{len(names)} tensors" if names else "no tensor"
        raise UsageError(f"{where} holds {held}, and none is called {_NAME!r}: name the one that is meant so")
    shape = tuple(found.shape)
    if shape == (hidden,):
        found = found.expand(depth, hidden)
    elif len(shape) not in (2, 3) or (shape[0], shape[-1]) != (depth, hidden) or not shape[1] >= 1 or shape[-2] < 1:
        raise UsageError(
            f"{where} holds a tensor of {shape}: this model needs ({hidden},), {(depth, hidden)} (layers + 1, hidden), "
            f"or ({depth}, k, {hidden})"
        )
    if not found.is_floating_point() or not bool(found.isfinite().all()):
        raise UsageError(f"{where} holds what are no finite numbers")
    # Of the embedding output there may be none.
    if (empty := found[1:].double().norm(dim=-1) == 0).any():
        raise UsageError(f"{where} holds no direction (zeros) for layer {int(empty.nonzero()[0][0])}")
    return found
