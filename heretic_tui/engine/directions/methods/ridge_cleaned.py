"""Ridge-cleaned: the mean difference without what it has of concepts that are to be kept (maths, code, a style).

Each set of the setting `keep_prompts` gives a concept's direction a_c: its mean residual minus the good prompts' mean,
at length one. With these as the columns of A, and r the mean difference at length one,

    r_clean = normalise(r − A α),  α = (AᵀA + λ I)⁻¹ Aᵀ r  (ridge regression of r on A, λ = 0.01).

That r is a sum of refusal and of what concepts have in it, and the regression, are those of Cristofano 2026, *Surgical
Refusal Ablation* (arXiv 2601.08489). What a concept is compared with, and λ, are chosen here: the prompts that the
model answers, and a value that leaves a hundredth of a single concept. What refusal and a concept share is lost to the
edit: concepts near to refusal leave a direction that no longer finds it. Costs one pass over the prompts of the sets.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from heretic_tui.engine.directions.methods.base import Given, same_means
from heretic_tui.errors import HereticError

# λ, beside concepts of length one.
_RIDGE = 0.01
# Where less of the direction is left, it was made of the concepts: one that is the direction leaves a hundredth.
_TOO_LITTLE = 0.03


class RidgeCleaned:
    """The residual of the mean difference after ridge regression on the concepts' directions."""

    uses: tuple[str, ...] = ("keep_prompts",)

    def directions(self, given: Given) -> Tensor:
        same_means(given)
        difference = normalize(given.bad.mean - given.good.mean, dim=-1)
        concepts = [normalize(found.mean - given.good.mean, dim=-1) for found in given.kept.values()]
        # (layers + 1, hidden, concepts)
        a = torch.stack(concepts, dim=-1)
        ridge = _RIDGE * torch.eye(len(concepts), dtype=a.dtype)
        shares = torch.linalg.solve(a.mT @ a + ridge, a.mT @ difference[..., None])
        left = difference - (a @ shares)[..., 0]
        if (lost := left[1:].norm(dim=-1) <= _TOO_LITTLE).any():
            raise HereticError(
                f"nothing is left of the direction of layer {int(lost.nonzero()[0])} without {', '.join(given.kept)}: "
                "keep prompts that differ from the harmful ones"
            )
        return normalize(left, dim=-1)


METHOD = RidgeCleaned
