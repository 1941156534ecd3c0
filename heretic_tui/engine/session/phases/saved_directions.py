"""What a run folder keeps of directions, checked when it is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from heretic_tui.engine.directions.by_method import from_tensors
from heretic_tui.engine.directions.subspaces import of_layers
from heretic_tui.engine.tensor_files import kept_tensors
from heretic_tui.errors import UsageError, one_line
from heretic_tui.run.folder import RunFolder


def saved_directions(
    folder: RunFolder, path: Path, layers: int, hidden: int, methods: Sequence[str]
) -> dict[str, Tensor] | None:
    """What a file of the folder holds of directions, None where it is not there: `directions` are those of each
    residual index, (layers + 1, k, hidden). (Older versions kept one each, without the dimension of k.) `from_tensors`
    reads what each method found.

    Args:
        path: the run's own directions, or those of an earlier round.
        methods: the direction methods by which they were found.

    Raises:
        UsageError: when it is damaged.
    """
    found = kept_tensors(folder, path, "good_mean", "bad_mean", "good_along", "bad_along", "directions")
    if found is None:
        return None
    depth = layers + 1
    found["directions"] = directions = of_layers(found["directions"])
    shapes = all(found[name].shape == (depth, hidden) for name in ("good_mean", "bad_mean"))
    shapes &= directions.ndim == 3 and directions.shape == (depth, max(1, directions.shape[1]), hidden)
    along = all(
        each.ndim == 2 and each.shape[1] == depth
        for name, each in found.items()
        if name.partition(".")[0] in ("good_along", "bad_along")
    )
    if not (shapes and along and all(tensor.isfinite().all() for tensor in found.values())):
        raise UsageError(f"{path} is damaged (it holds no directions of {depth - 1} layers of {hidden})")
    try:
        from_tensors(found, methods)
    except (KeyError, ValueError) as error:
        raise UsageError(f"{path} is damaged (it lacks what a direction method found: {one_line(error)})") from error
    return found
