"""The direction of each layer from the two mean residuals, and the direction that an edit uses."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from heretic_tui.errors import HereticError, UsageError

# Below this share of the means' own length a difference is rounding, not a direction.
_TOO_SMALL = 1e-6


def refusal_directions(good: Tensor, bad: Tensor, orthogonalize: bool) -> Tensor:
    """Unit direction per layer, r_l = normalise(mean_bad_l - mean_good_l) (Arditi et al. 2024, difference in means).

    With `orthogonalize`, the component of r_l along the good mean is removed and the rest normalised again, so that
    the edit leaves what harmless prompts have in common alone (projected ablation).

    Args:
        good: mean residuals, (layers + 1, hidden) float64.
        bad: the same for the bad prompts.

    Returns:
        float32, (layers + 1, hidden).

    Raises:
        HereticError: where the means do not differ, or nothing is left after orthogonalising.
    """
    difference = bad - good
    scale = good.norm(dim=-1).maximum(bad.norm(dim=-1))
    if not torch.isfinite(difference).all():
        raise HereticError("the residuals are not finite numbers: try another dtype (--dtypes float32)")
    # With a chat template the embedding of the last position is the same token for every prompt; that is no error.
    equal = difference.norm(dim=-1) <= _TOO_SMALL * scale
    if equal[1:].any():
        layer = int(equal[1:].nonzero()[0])
        raise HereticError(
            f"the good and the bad prompts have the same mean residual at layer {layer}: the two sets do not differ "
            "for this model"
        )
    directions = torch.nn.functional.normalize(difference, dim=-1)
    if orthogonalize:
        mean = torch.nn.functional.normalize(good, dim=-1)
        directions = directions - (directions * mean).sum(dim=-1, keepdim=True) * mean
        if (directions[1:].norm(dim=-1) <= _TOO_SMALL).any():
            raise HereticError("a direction lies along the good mean: run with --no-orthogonalize-direction")
        directions = torch.nn.functional.normalize(directions, dim=-1)
    return directions.float()


def direction_parts(directions: Tensor, index: float | None, layer: int) -> list[tuple[int, float]]:
    """The direction that a layer is edited with, as a mix of stored ones: pairs (j, w) with v = Σ w_j r_j.

    The layer's own for index None; else the one at a real-valued layer index i, normalise(lerp(r[⌊i+1⌋], r[⌊i+1⌋+1],
    frac(i))).

    Raises:
        UsageError: when the index lies outside the layers.
    """
    if index is None:
        return [(layer + 1, 1.0)]
    last = len(directions) - 2
    if not 0 <= index <= last:
        raise UsageError(f"direction_index {index:g} lies outside the model's layers (0 to {last})")
    low = math.floor(index) + 1
    share = index - math.floor(index)
    if share == 0.0:
        return [(low, 1.0)]
    length = max(float(torch.lerp(directions[low], directions[low + 1], share).norm()), 1e-12)
    return [(low, (1 - share) / length), (low + 1, share / length)]
