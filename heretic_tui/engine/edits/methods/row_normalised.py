"""Row-normalised: the direction is taken out of each matrix with rows of length one, which then get their lengths back.

With n_i = ‖W_i‖ and Ŵ = diag(1/n) W: W' = diag(n) (Ŵ − λ v vᵀŴ).
"""

from __future__ import annotations

from torch import Tensor

from heretic_tui.engine.edits.adapter_form import AdapterForm, of_rank_one
from heretic_tui.engine.edits.edit import Edit, row_norms


class RowNormalised:
    """One product, Ŵᵀv (d_in,)."""

    dora = False

    def row_norms(self, weight: Tensor) -> Tensor:
        return row_norms(weight)

    def products(self, weight: Tensor, v: Tensor, norms: Tensor) -> tuple[Tensor, ...]:
        return ((weight.mT @ (v / norms)[..., None])[..., 0],)

    def edit(self, v: Tensor, products: tuple[Tensor, ...], norms: Tensor, strength: float) -> Edit:
        (u,) = products
        return Edit(u, strength * norms * v, None)

    def adapter(self, edit: Edit, weight: Tensor, rank: int | None) -> AdapterForm:
        return of_rank_one(edit)


METHOD = RowNormalised
