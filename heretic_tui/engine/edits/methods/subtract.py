"""Subtract: the direction is taken out of each matrix as it is.

W' = W − λ v vᵀW.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heretic_tui.engine.edits.adapter_form import AdapterForm, of_rank_one
from heretic_tui.engine.edits.edit import Edit


class Subtract:
    """One product, Wᵀv (d_in,)."""

    dora = False

    def row_norms(self, weight: Tensor) -> Tensor:
        # The lengths of rows are not used.
        return torch.ones_like(weight[..., 0])

    def products(self, weight: Tensor, v: Tensor, norms: Tensor) -> tuple[Tensor, ...]:
        return (weight.mT @ v,)

    def edit(self, v: Tensor, products: tuple[Tensor, ...], norms: Tensor, strength: float) -> Edit:
        (u,) = products
        return Edit(u, strength * norms * v, None)

    def adapter(self, edit: Edit, weight: Tensor, rank: int | None) -> AdapterForm:
        return of_rank_one(edit)


METHOD = Subtract
