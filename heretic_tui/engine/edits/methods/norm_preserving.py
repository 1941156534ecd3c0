"""Norm-preserving: the direction is taken out of each matrix, and every row keeps the length that it had.

It, or each of k directions V (d_out, k), is taken out of the matrix with rows of length one; each row is then
normalised again, and gets its length back. The closed form is exact. With n_i = ‖W_i‖, Ŵ = diag(1/n) W, U = ŴᵀV and
strengths λ_j, the row that is left has the squared length

    ‖Ŵ_i − Σ_j λ_j V_ij U_j‖² = 1 − 2 Σ_j λ_j V_ij (ŴU)_ij + Σ_jl λ_j λ_l V_ij V_il U_j·U_l,

and W' = diag(c) (W − diag(n) V Λ Uᵀ) with c_i one over its root.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from heretic_tui.engine.edits.adapter_form import AdapterForm, nearest_lora
from heretic_tui.engine.edits.edit import Edit, row_norms


class NormPreserving:
    """Two products, U = ŴᵀV (d_in, k) and ŴU (d_out, k)."""

    dora = True

    def row_norms(self, weight: Tensor) -> Tensor:
        return row_norms(weight)

    def products(self, weight: Tensor, v: Tensor, norms: Tensor) -> tuple[Tensor, ...]:
        u = weight.mT @ (v / norms[..., None])
        return u, (weight @ u) / norms[..., None]

    def edit(self, v: Tensor, products: tuple[Tensor, ...], norms: Tensor, strengths: Sequence[float]) -> Edit:
        u, w = products
        squared = 1 - (v.new_tensor([2 * each for each in strengths]) * v * w).sum(dim=-1)
        for one, other in combinations_with_replacement(range(len(strengths)), 2):
            share = strengths[one] * strengths[other] * (1 if one == other else 2)
            gram = (u[..., one] * u[..., other]).sum(dim=-1, keepdim=True)
            squared = squared + share * (v[..., one] * v[..., other]) * gram
        # A row that the edit empties entirely has no direction left to restore.
        c = torch.where(squared > 1e-12, squared, torch.ones_like(squared)).rsqrt()
        return Edit(u, v.new_tensor(strengths) * norms[..., None] * v * c[..., None], c)

    def adapter(self, edit: Edit, weight: Tensor, rank: int | None) -> AdapterForm:
        if rank is not None:
            return nearest_lora(edit, weight, rank)
        # DoRA scales the rows itself, to the lengths they had: its B is b without c.
        b = edit.b if edit.c is None else edit.b / edit.c[..., None]
        return AdapterForm(edit.a.mT, -b, row_norms(weight))


METHOD = NormPreserving
