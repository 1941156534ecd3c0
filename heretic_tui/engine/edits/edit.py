"""The closed-form edit of one matrix, and a set of edits attached to a live model.

An edit never touches the weights during a run: a forward hook turns the module's output W x + bias into
c ∘ (W x) + bias − (a·x) b, in float32, which is what the edited matrix W' = diag(c) W − b aᵀ would have given. The
model is one `detach` away from the base, quantised weights stay as they are, and switching trials costs next to
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Normalization = Literal["none", "pre", "full"]


@dataclass(frozen=True)
class Edit:
    """W' = diag(c) W − b aᵀ. Shapes: a (d_in,), b (d_out,), c (d_out,) or None for ones; all float32. The edit of fused
    experts has one of each for every expert: (experts, d_in), (experts, d_out)."""

    a: Tensor
    b: Tensor
    c: Tensor | None

    def of(self, weight: Tensor) -> Tensor:
        """The edited matrix, float32, of the shape of `weight`: (d_out, d_in), or (experts, d_out, d_in)."""
        scaled = weight if self.c is None else self.c[..., :, None] * weight
        return scaled - self.b[..., :, None] * self.a[..., None, :]

    def of_expert(self, expert: int) -> Edit:
        """The edit of one of the fused experts."""
        return Edit(self.a[expert], self.b[expert], None if self.c is None else self.c[expert])


def row_norms(weight: Tensor) -> Tensor:
    """‖W_i‖ for every row; rows of zeros count as length one, so that they stay what they are."""
    norms = weight.norm(dim=-1)
    return torch.where(norms > 0, norms, torch.ones_like(norms))


# A direction v (d_out,), Ŵᵀv (d_in,) and Ŵ(Ŵᵀv) (d_out,), float32; without normalisation v, Wᵀv and nothing. Of fused
# experts the last two are one for each expert.
Products = tuple[Tensor, Tensor, Tensor | None]


def products_of(weight: Tensor, v: Tensor, norms: Tensor | None, normalization: Normalization) -> Products:
    """What an edit needs of W (d_out, d_in), with row norms (d_out,); linear in v. Of fused experts, W (experts, d_out,
    d_in), each is taken as a matrix of its own."""
    if normalization == "none":
        return v, weight.mT @ v, None
    assert norms is not None
    u = (weight.mT @ (v / norms)[..., None])[..., 0]
    return v, u, (weight @ u[..., None])[..., 0] / norms if normalization == "full" else None


def edit_from(products: Products, norms: Tensor | None, strength: float) -> Edit:
    """The edit that removes a direction from what a matrix writes.

    `none` subtracts λ v vᵀW; `pre` does so to the row-normalised matrix and restores the row norms; `full` also
    renormalises each edited row first, so that every row keeps its length. The closed form of `full` is exact: with
    u = Ŵᵀv, ‖Ŵ_i − λ v_i u‖² = 1 − 2 λ v_i (Ŵu)_i + λ² v_i² ‖u‖².

    Args:
        strength: λ.
    """
    v, u, w = products
    if norms is None:
        return Edit(u, (strength * v).expand(*u.shape[:-1], -1), None)
    b = strength * norms * v
    if w is None:
        return Edit(u, b, None)
    squared = 1 - 2 * strength * v * w + strength**2 * v**2 * u.square().sum(dim=-1, keepdim=True)
    # A row that the edit empties entirely has no direction left to restore.
    c = torch.where(squared > 1e-12, squared, torch.ones_like(squared)).rsqrt()
    return Edit(u, b * c, c)


def make_edit(weight: Tensor, direction: Tensor, strength: float, normalization: Normalization) -> Edit:
    """The edit of one matrix W, float32 (d_out, d_in), or of fused experts (experts, d_out, d_in), by a unit vector in
    output space, (d_out,)."""
    norms = None if normalization == "none" else row_norms(weight)
    return edit_from(products_of(weight, direction.to(weight), norms, normalization), norms, strength)
