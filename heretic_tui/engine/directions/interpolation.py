"""The direction at a real-valued layer index."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from heretic_tui.errors import UsageError


def direction_parts(directions: Tensor, index: float | None, layer: int) -> list[tuple[int, float]]:
    """The direction that a layer is edited with, as a mix of stored ones: pairs (j, w) with v = Σ w_j r_j.

    The layer's own for index None; else the one at a real-valued layer index i, normalise(lerp(r[⌊i+1⌋], r[⌊i+1⌋+1],
    frac(i))).

    Raises:
        UsageError: when the index lies outside the layers.
    """
    if index is None:
        return [(layer + 1, 1.0)]
    last = len(directions) - 2
    if not 0 <= index <= last:
        raise UsageError(f"direction_index {index:g} lies outside the model's layers (0 to {last})")
    low = math.floor(index) + 1
    share = index - math.floor(index)
    if share == 0.0:
        return [(low, 1.0)]
    length = max(float(torch.lerp(directions[low], directions[low + 1], share).norm()), 1e-12)
    return [(low, (1 - share) / length), (low + 1, share / length)]
