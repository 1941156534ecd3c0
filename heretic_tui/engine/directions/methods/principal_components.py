"""Principal components: the k main directions of the harmful prompts' differences from the harmless mean.

With D the matrix of these differences, one row a bad prompt, they are its first right singular vectors; D is not
centred, so that the first one is near the mean difference where that outweighs what the bad prompts differ in among
themselves. (After Zou et al. 2023, *Representation Engineering*, arXiv 2310.01405, who take the first one of
differences of pairs of prompts; a run has no pairs.) Costs no pass; on a CPU a fraction of a second a layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heretic_tui.engine.directions.methods.base import EachLayer
from heretic_tui.errors import HereticError


class PrincipalComponents(EachLayer):
    """The first right singular vectors of bad − mean_good, each turned from the good towards the bad prompts."""

    uses = ("directions_per_layer",)

    def of_layer(self, good: Tensor, bad: Tensor, count: int) -> Tensor:
        differences = bad - good.mean(dim=0)
        _, sizes, found = torch.linalg.svd(differences, full_matrices=False)
        if len(found) < count or float(sizes[count - 1]) <= 1e-6 * float(sizes[0]):
            raise HereticError(f"the harmful prompts do not differ in {count} directions: ask for fewer")
        towards = differences.mean(dim=0)
        rows = torch.stack([row if row @ towards >= 0 else -row for row in found[:count]])
        return rows if count > 1 else rows[0]


METHOD = PrincipalComponents
