"""LEACE: the least change of the residuals after which no linear probe tells the two sets apart.

Least-squares concept erasure (Belrose et al. 2023, *LEACE: Perfect linear concept erasure in closed form*, arXiv
2306.03819). For two sets with the difference of means δ, and Σ the covariance of all residuals, it is an oblique
projection: what is read along u = Σ⁻¹δ / (δᵀΣ⁻¹δ), the discriminant, is taken out along δ,

    x' = x − (u·(x − μ)) δ,

so that the means of both sets are the same, and what the sets do not differ in moves least. Σ is shrunk by the formula
that the authors' package concept-erasure uses (directions/shrinkage.py: optimal_linear); the result is the package's
but for its limit on the trace. An edit of weights takes the linear part, x − (u·x) δ, out of what each matrix adds. In
place of the mean μ, which only biases could keep, `orthogonalize_direction` turns u away from the good prompts' mean:
then nothing is taken from that, and both means are still the same, but the change is no longer the least. Costs no
pass; a layer takes a fraction of a second on a CPU.
"""

from __future__ import annotations

import torch

from heretic_tui.engine.directions.methods.base import Given, Oblique, same_means
from heretic_tui.engine.directions.shrinkage import optimal_linear, solve_diagonal_and_rows


class Leace:
    """Written along δ, read along Σ⁻¹δ."""

    uses: tuple[str, ...] = ()
    oblique = True

    def directions(self, given: Given) -> Oblique:
        alike = same_means(given)
        difference = given.bad.mean - given.good.mean
        lengths = difference.norm(dim=-1, keepdim=True)
        write = torch.nn.functional.normalize(difference, dim=-1)
        read = torch.zeros_like(write)
        for index, (good, bad) in enumerate(given.layers()):
            if alike[index]:
                continue
            each = torch.cat([good, bad])
            centred = each - each.mean(dim=0)
            share, level = optimal_linear(centred)
            diagonal = torch.full_like(write[index], level)
            found = solve_diagonal_and_rows(diagonal, centred * (share / len(each)) ** 0.5, difference[index])
            read[index] = found / (found @ difference[index]) * lengths[index]
        return Oblique(write, read)


METHOD = Leace
