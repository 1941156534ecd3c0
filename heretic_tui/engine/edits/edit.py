"""The closed-form edit of one matrix.

An edit never touches the weights during a run: a forward hook turns the module's output W x + bias into
c ∘ (W x) + bias − B Aᵀx, in float32, which is what the edited matrix W' = diag(c) W − B Aᵀ would have given.
Without the hook it is the base model again, quantised weights stay as they are, and switching trials costs almost
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Edit:
    """W' = diag(c) W − B Aᵀ, for k directions. Shapes: a (d_in, k), b (d_out, k), c (d_out,) or None for ones; all
    float32. The edit of fused experts has one of each for every expert: (experts, d_in, k), (experts, d_out, k),
    (experts, d_out)."""

    a: Tensor
    b: Tensor
    c: Tensor | None

    @property
    def rank(self) -> int:
        """k, the number of directions."""
        return self.a.shape[-1]

    def of(self, weight: Tensor) -> Tensor:
        """The edited matrix, float32, of the shape of `weight`: (d_out, d_in), or (experts, d_out, d_in)."""
        edited = weight if self.c is None else self.c[..., :, None] * weight
        # One direction after the other, and no matrix product: that may be computed in less than float32 on a GPU.
        for a, b in zip(self.a.unbind(-1), self.b.unbind(-1), strict=True):
            edited = edited - b[..., :, None] * a[..., None, :]
        return edited

    def of_expert(self, expert: int | slice) -> Edit:
        """The edit of one of the fused experts, or of some."""
        return Edit(self.a[expert], self.b[expert], None if self.c is None else self.c[expert])

    def then(self, other: Edit) -> Edit:
        """This edit, and then another of the matrix that it leaves, as one edit of the matrix as it was:
        diag(c₂) (diag(c₁) W − B₁A₁ᵀ) − B₂A₂ᵀ = diag(c₂c₁) W − (diag(c₂) B₁ | B₂) (A₁ | A₂)ᵀ."""
        c, b = self.c, self.b
        if other.c is not None:
            c, b = other.c if c is None else other.c * c, other.c[..., None] * b
        return Edit(torch.cat((self.a, other.a), dim=-1), torch.cat((b, other.b), dim=-1), c)

    def of_rank(self, rank: int) -> Edit:
        """The same edit with directions of zeros beside its own."""
        if (more := rank - self.rank) == 0:
            return self
        a, b = (torch.nn.functional.pad(each, (0, more)) for each in (self.a, self.b))
        return Edit(a, b, self.c)


def row_norms(weight: Tensor) -> Tensor:
    """‖W_i‖ for every row; rows of zeros count as length one, so that they stay what they are."""
    norms = weight.norm(dim=-1)
    return torch.where(norms > 0, norms, torch.ones_like(norms))
