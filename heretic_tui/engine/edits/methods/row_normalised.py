"""Row-normalised: the direction is taken out of each matrix with rows of length one, which then get their lengths back.

With n_i = ‖W_i‖ and Ŵ = diag(1/n) W: W' = diag(n) (Ŵ − V Λ VᵀŴ); V (d_out, k) is the direction of the layer, or its k
directions.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from heretic_tui.engine.edits.adapter_form import AdapterForm, exact_lora
from heretic_tui.engine.edits.edit import Edit, row_norms


class RowNormalised:
    """One product, ŴᵀV (d_in, k)."""

    dora = False

    def row_norms(self, weight: Tensor) -> Tensor:
        return row_norms(weight)

    def products(self, weight: Tensor, v: Tensor, norms: Tensor) -> tuple[Tensor, ...]:
        return (weight.mT @ (v / norms[..., None]),)

    def edit(self, v: Tensor, products: tuple[Tensor, ...], norms: Tensor, strengths: Sequence[float]) -> Edit:
        (u,) = products
        return Edit(u, v.new_tensor(strengths) * norms[..., None] * v, None)

    def adapter(self, edit: Edit, weight: Tensor, rank: int | None) -> AdapterForm:
        return exact_lora(edit)


METHOD = RowNormalised
