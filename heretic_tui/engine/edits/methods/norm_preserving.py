"""Norm-preserving: the direction is taken out of each matrix, and every row keeps the length that it had.

It is taken out of the matrix with rows of length one; each row is then normalised again, and gets its length back. The
closed form is exact. With n_i = ‖W_i‖, Ŵ = diag(1/n) W and u = Ŵᵀv, the row that is left has the squared length
‖Ŵ_i − λ v_i u‖² = 1 − 2 λ v_i (Ŵu)_i + λ² v_i² ‖u‖², and W' = diag(c) (W − λ (n∘v) uᵀ) with c_i one over its root.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heretic_tui.engine.edits.adapter_form import AdapterForm, nearest_lora
from heretic_tui.engine.edits.edit import Edit, row_norms


class NormPreserving:
    """Two products, u = Ŵᵀv (d_in,) and Ŵu (d_out,)."""

    dora = True

    def row_norms(self, weight: Tensor) -> Tensor:
        return row_norms(weight)

    def products(self, weight: Tensor, v: Tensor, norms: Tensor) -> tuple[Tensor, ...]:
        u = (weight.mT @ (v / norms)[..., None])[..., 0]
        return u, (weight @ u[..., None])[..., 0] / norms

    def edit(self, v: Tensor, products: tuple[Tensor, ...], norms: Tensor, strength: float) -> Edit:
        u, w = products
        squared = 1 - 2 * strength * v * w + strength**2 * v**2 * u.square().sum(dim=-1, keepdim=True)
        # A row that the edit empties entirely has no direction left to restore.
        c = torch.where(squared > 1e-12, squared, torch.ones_like(squared)).rsqrt()
        return Edit(u, strength * norms * v * c, c)

    def adapter(self, edit: Edit, weight: Tensor, rank: int | None) -> AdapterForm:
        if rank is not None:
            return nearest_lora(edit, weight, rank)
        # DoRA scales the rows itself, to the lengths they had: its B is b without c.
        b = edit.b if edit.c is None else edit.b / edit.c
        return AdapterForm(edit.a[None], -b[:, None], row_norms(weight))


METHOD = NormPreserving
