"""The directions of a run: what its method finds, checked, and orthogonalised where that is set."""

from __future__ import annotations

import torch
from torch import Tensor

from heretic_tui.engine.directions.methods.base import DirectionMethod
from heretic_tui.engine.directions.residuals import Residuals
from heretic_tui.errors import HereticError
from heretic_tui.plugins import DIRECTION_METHODS, calling

# Below this length what is left of a direction is rounding.
_TOO_SMALL = 1e-6
# How far a method's vectors may be from length one: it may have computed them in half precision.
_NOT_ONE = 1e-2


def unit_directions(method: DirectionMethod, good: Residuals, bad: Residuals, orthogonalize: bool) -> Tensor:
    """A unit vector for each layer, float32 (layers + 1, hidden).

    With `orthogonalize`, the component along the good mean is removed and the rest normalised again, so that the edit
    leaves alone what harmless prompts have in common (projected ablation).

    Raises:
        HereticError: where the method finds none, gives something else than unit vectors, or nothing is left after
            orthogonalising.
    """
    if not (good.mean.isfinite().all() and bad.mean.isfinite().all()):
        raise HereticError("the residuals are not finite numbers: try another dtype (--dtypes float32)")
    name = type(method).__name__
    with calling(DIRECTION_METHODS, name):
        found = method.directions(good, bad)
    if not isinstance(found, Tensor) or found.shape != good.mean.shape:
        what = f"a tensor of {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise HereticError(
            f"the direction method {name} gave {what} in place of {tuple(good.mean.shape)} (layers + 1, hidden): "
            "mend it"
        )
    directions = found.to(good.mean)
    lengths = directions.norm(dim=-1)
    # The embedding of the last position may be the same for all prompts, and is not edited with.
    wrong = ~((lengths - 1).abs() <= _NOT_ONE)
    if wrong[1:].any():
        layer = int(wrong[1:].nonzero()[0])
        raise HereticError(
            f"the direction method {name} gave a vector of length {float(lengths[layer + 1]):.3g} for layer {layer}, "
            "in place of 1: mend it"
        )
    if not directions[0].isfinite().all():
        raise HereticError(
            f"the direction method {name} gave what are no finite numbers for the embedding output (index 0): "
            "give zeros there"
        )
    if orthogonalize:
        mean = torch.nn.functional.normalize(good.mean, dim=-1)
        directions = directions - (directions * mean).sum(dim=-1, keepdim=True) * mean
        if (directions[1:].norm(dim=-1) <= _TOO_SMALL).any():
            raise HereticError("a direction lies along the good mean: run with --no-orthogonalize-direction")
        directions = torch.nn.functional.normalize(directions, dim=-1)
    return directions.float()
