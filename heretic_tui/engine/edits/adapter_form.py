"""An edit of one matrix as an adapter holds it: LoRA and DoRA."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heretic_tui.engine.edits.edit import Edit

# Extra columns and rounds of the randomised SVD: with them the leading values are exact to float32.
_OVERSAMPLING, _ROUNDS = 8, 8


@dataclass(frozen=True)
class AdapterForm:
    """W' = W + B A (LoRA), or with a magnitude m the rows of that brought to the lengths m (DoRA). Shapes: a (rank,
    d_in), b (d_out, rank), magnitude (d_out,) or None; all float32."""

    a: Tensor
    b: Tensor
    magnitude: Tensor | None = None


def exact_lora(edit: Edit) -> AdapterForm:
    """An edit that scales no rows, as the LoRA of its rank that it is: A = aᵀ, B = −b."""
    return AdapterForm(edit.a.mT, -edit.b)


def nearest_lora(edit: Edit, weight: Tensor, rank: int) -> AdapterForm:
    """The LoRA of a rank that comes nearest to the edit of W (d_out, d_in), by the singular values of what it
    changes."""
    change = edit.of(weight) - weight
    size = min(rank + _OVERSAMPLING, *change.shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        u, s, v = torch.svd_lowrank(change, q=size, niter=_ROUNDS)
    root = s[:rank].sqrt()
    return AdapterForm((v[:, :rank] * root).T, u[:, :rank] * root)
