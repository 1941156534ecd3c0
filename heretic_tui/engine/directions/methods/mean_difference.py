"""Mean difference: the mean residual of the bad prompts minus that of the good ones, brought to length one.

(Arditi et al. 2024, *Refusal in Language Models Is Mediated by a Single Direction*.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from heretic_tui.engine.directions.residuals import Residuals
from heretic_tui.errors import HereticError

# Below this share of the means' own length a difference is rounding, not a direction.
_TOO_SMALL = 1e-6


class MeanDifference:
    """r_l = normalise(mean_bad_l − mean_good_l)."""

    def directions(self, good: Residuals, bad: Residuals) -> Tensor:
        difference = bad.mean - good.mean
        scale = good.mean.norm(dim=-1).maximum(bad.mean.norm(dim=-1))
        equal = difference.norm(dim=-1) <= _TOO_SMALL * scale
        if equal[1:].any():
            layer = int(equal[1:].nonzero()[0])
            raise HereticError(
                f"the harmless and the harmful prompts have the same mean residual at layer {layer}: the two sets do "
                "not differ for this model"
            )
        return torch.nn.functional.normalize(difference, dim=-1)


METHOD = MeanDifference
