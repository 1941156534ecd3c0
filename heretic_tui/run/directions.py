"""The directions of a run and the means that they were made of, read from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

from heretic_tui.errors import UsageError, one_line
from heretic_tui.run.folder import RunFolder

Directions: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class SavedDirections:
    """What directions.safetensors holds, each (layers + 1, hidden). Index 0 is the embedding output, index l + 1 the
    output of layer l.

    Attributes:
        directions: vectors of length one.
        good_mean, bad_mean: mean residuals of the good and of the bad prompts.
    """

    directions: Directions
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
        saved = SavedDirections(found["directions"], found["good_mean"], found["bad_mean"])
    except FileNotFoundError as error:
        raise UsageError(
            f"run {run.name} has no directions yet: the same `heretic-tui run` command finds them"
        ) from error
    except UsageError as error:
        raise _damaged(str(error)) from error
    except (SafetensorError, KeyError, OSError, ValueError) as error:
        raise _damaged(f"{run.directions} is damaged ({one_line(error)})") from error
    shapes = {saved.directions.shape, saved.good_mean.shape, saved.bad_mean.shape}
    if len(shapes) > 1:
        raise _damaged(f"{run.directions} is damaged (its tensors do not belong together)")
    if len(saved.directions.shape) != 2 or len(saved.directions) < 2:
        raise _damaged(f"{run.directions} is damaged (it holds no directions of layers)")
    return saved


def _damaged(said: str) -> UsageError:
    return UsageError(f"{said}: put back a copy, or run the same command again")
