"""The directions of a run and the means that they were made of, read from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from heretic_tui.errors import UsageError, one_line
from heretic_tui.run.folder import RunFolder

# (layers + 1, k, hidden).
Directions: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class SavedDirections:
    """What directions.safetensors holds. Index 0 is the embedding output, index l + 1 the output of layer l.

    Attributes:
        directions: (layers + 1, k, hidden), of length one and orthogonal to each other in each layer.
        leading: of each layer the one direction that figures of a single direction are about, (layers + 1, hidden): its
            own where it has one.
        good_mean, bad_mean: mean residuals of the good and of the bad prompts, (layers + 1, hidden).
    """

    directions: Directions
    leading: NDArray[np.float32]
    good_mean: NDArray[np.float64]
    bad_mean: NDArray[np.float64]


def read_directions(run: RunFolder) -> SavedDirections:
    """directions.safetensors.

    Raises:
        UsageError: when there is none yet, or it is damaged.
    """
    from safetensors.numpy import load_file

    # Damage of the record itself is told as such.
    run.read_record()
    try:
        run.check(run.directions)
        found = load_file(run.directions)
        directions = found["directions"]
        # Older versions kept one direction of each layer, without the dimension of k.
        if directions.ndim == 2:
            directions = directions[:, None]
        leading = found.get("leading", directions[:, 0])
        saved = SavedDirections(directions, leading, found["good_mean"], found["bad_mean"])
    except FileNotFoundError as error:
        raise UsageError(
            f"run {run.name} has no directions yet: the same `heretic-tui run` command finds them"
        ) from error
    except UsageError as error:
        raise _damaged(str(error)) from error
    except (SafetensorError, KeyError, OSError, ValueError, IndexError) as error:
        raise _damaged(f"{run.directions} is damaged ({one_line(error)})") from error
    shape = saved.directions.shape
    if len(shape) != 3 or shape[0] < 2 or not shape[1]:
        raise _damaged(f"{run.directions} is damaged (it holds no directions of layers)")
    if {saved.leading.shape, saved.good_mean.shape, saved.bad_mean.shape} != {(shape[0], shape[2])}:
        raise _damaged(f"{run.directions} is damaged (its tensors do not belong together)")
    return saved


def _damaged(said: str) -> UsageError:
    return UsageError(f"{said}: put back a copy, or run the same command again")
