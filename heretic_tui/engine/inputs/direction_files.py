"""Directions in a safetensors file that anybody may have written: read, and checked before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from heretic_tui.errors import UsageError, one_line
from heretic_tui.files import user_path
from heretic_tui.settings.schema import Settings
from heretic_tui.words import counted

_NAME, _READERS = "directions", "readers"


def direction_path(text: str) -> Path:
    """Where the file of the setting `direction_file` lies, as an absolute path.

    Raises:
        UsageError: when nothing lies there, or no file.
    """
    path = user_path(text)
    if not path.is_file():
        raise UsageError(f"direction_file: {text}: no such file")
    return path.resolve()


def checked_direction_file(settings: Settings) -> Path | None:
    """Where the file of directions lies that settings name, if they do, before a model is loaded.

    Raises:
        UsageError: when nothing lies there, or directions are read from it and it holds too few of a layer.
    """
    if settings.direction_file is None:
        return None
    path = direction_path(settings.direction_file)
    if "from_file" in settings.direction_method:
        _check_header(path, settings.directions_per_layer)
    return path


def _check_header(path: Path, count: int) -> None:
    where = f"direction_file: {path}"
    try:
        with safe_open(str(path), framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise UsageError(f"{where} is no safetensors file that can be read ({one_line(error)})") from error
    shape = shapes[_name(shapes, where)]
    _check_count(shape[1] if len(shape) == 3 else 1, count, where)


def _check_count(held: int, count: int, where: str) -> None:
    if held < count:
        raise UsageError(
            f"{where} holds {counted(held, 'direction')} of a layer, and directions_per_layer is {count}: set that to "
            f"{held}, or take another file"
        )


def read_direction_file(path: Path, depth: int, hidden: int, count: int) -> tuple[Tensor, Tensor | None]:
    """The first directions of each layer in a file, of any length but 0, float64 (depth, count, hidden); and the
    vectors that they are read along, (depth, hidden), where a run with oblique directions wrote them.

    Args:
        depth: number of layers of the model, and one.

    Raises:
        UsageError: when it cannot be read, holds none or too few, or those of another model.
    """
    where = f"direction_file: {path}"
    try:
        with safe_open(str(path), framework="pt") as file:
            # Shapes first: the file may be a whole model's.
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            name = _name(shapes, where)
            _check_shape(shapes[name], depth, hidden, where)
            found = file.get_tensor(name)
            readers = file.get_tensor(_READERS) if shapes.get(_READERS) == (depth, hidden) else None
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{where} is no safetensors file that can be read ({one_line(error)})") from error
    held = [found] if readers is None else [found, readers]
    if not all(each.is_floating_point() and bool(each.double().isfinite().all()) for each in held):
        raise UsageError(f"{where} holds what are no finite numbers")
    wide = found.double().expand(depth, hidden) if found.ndim == 1 else found.double()
    wide = wide[:, None] if wide.ndim == 2 else wide[:, :count]
    _check_count(wide.shape[1], count, where)
    # Of the embedding output there may be none.
    if (empty := wide[1:].norm(dim=-1) == 0).any():
        raise UsageError(f"{where} holds no direction (zeros) for layer {int(empty.nonzero()[0][0])}")
    return wide, None if readers is None else readers.double()


def _name(shapes: Mapping[str, tuple[int, ...]], where: str) -> str:
    """The tensor that holds the directions.

    Raises:
        UsageError: where it is not known which.
    """
    if _NAME in shapes:
        return _NAME
    if len(shapes) == 1:
        return next(iter(shapes))
    held = f"{len(shapes)} tensors" if shapes else "no tensor"
    raise UsageError(f"{where} holds {held}, and none is called {_NAME!r}: name the one that is meant so")


def _check_shape(shape: tuple[int, ...], depth: int, hidden: int, where: str) -> None:
    several = len(shape) == 3 and shape[1] >= 1 and (shape[0], shape[2]) == (depth, hidden)
    if shape not in ((hidden,), (depth, hidden)) and not several:
        raise UsageError(
            f"{where} holds a tensor of {shape}: this model needs ({hidden},), {(depth, hidden)} (layers + 1, hidden), "
            f"or ({depth}, k, {hidden})"
        )
