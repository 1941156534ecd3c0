"""The direction of each layer from the two mean residuals, and the direction that an edit uses."""

from __future__ import annotations

import torch
from torch import Tensor

from heretic_tui.errors import HereticError

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
