"""The closed-form edit of one matrix.

An edit never touches the weights during a run: a forward hook turns the module's output W x + bias into
c ∘ (W x) + bias − (a·x) b, in float32, which is what the edited matrix W' = diag(c) W − b aᵀ would have given.
Without the hook it is the base model again, quantised weights stay as they are, and switching trials costs almost
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
