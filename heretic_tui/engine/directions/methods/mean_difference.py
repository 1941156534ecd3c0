"""Mean difference: the mean residual of the harmful prompts minus that of the harmless ones, brought to length one.

(Arditi et al. 2024, *Refusal in Language Models Is Mediated by a Single Direction*, arXiv 2406.11717.) Costs nothing
beyond the residuals, which every run gathers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heretic_tui.engine.directions.methods.base import Given, same_means


class MeanDifference:
    """r_l = normalise(mean_bad_l − mean_good_l)."""

    uses: tuple[str, ...] = ()

    def directions(self, given: Given) -> Tensor:
        same_means(given)
        return torch.nn.functional.normalize(given.bad.mean - given.good.mean, dim=-1)


METHOD = MeanDifference
