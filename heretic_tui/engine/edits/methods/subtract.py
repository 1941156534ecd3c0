"""Subtract: the direction is taken out of each matrix as it is.

W' = W − V Λ VᵀW; V (d_out, k) is the direction of the layer, or its k directions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from heretic_tui.engine.edits.adapter_form import AdapterForm, exact_lora
from heretic_tui.engine.edits.edit import Edit


class Subtract:
    """One product, WᵀV (d_in, k)."""

    dora = False

    def row_norms(self, weight: Tensor) -> Tensor:
        # The lengths of rows are not used.
        return torch.ones_like(weight[..., 0])

    def products(self, weight: Tensor, v: Tensor, norms: Tensor) -> tuple[Tensor, ...]:
        return (weight.mT @ v,)

    def edit(self, v: Tensor, products: tuple[Tensor, ...], norms: Tensor, strengths: Sequence[float]) -> Edit:
        (u,) = products
        return Edit(u, v.new_tensor(strengths) * norms[..., None] * v, None)

    def adapter(self, edit: Edit, weight: Tensor, rank: int | None) -> AdapterForm:
        return exact_lora(edit)


METHOD = Subtract
