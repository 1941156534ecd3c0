"""The directions at a real-valued layer index."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from heretic_tui.engine.directions.subspaces import aligned, of_layers, orthonormalising
from heretic_tui.errors import UsageError


def direction_parts(directions: Tensor, index: float | None, layer: int) -> list[tuple[int, Tensor]]:
    """The directions that a layer is edited with, as a mix of stored ones: pairs (j, M_j) with orthonormal columns
    V = Σ R_jᵀ M_j, R_j (k, hidden) being the directions of residual index j, and M_j (k, k) float64.

    The layer's own for index None; else those at a real-valued layer index i: the mix of the two layers' around it,
    R[⌊i+1⌋] and R[⌊i+1⌋+1], by frac(i), brought to length one. Several directions of a layer are a basis of a space,
    and which one is an accident of the method that found them: the j-th directions of two layers may be unlike, or
    opposite, where their spaces are the same, and would cancel each other in a mix. So the upper layer's basis is
    turned to the lower one's as near as it comes before they are mixed, and the mix is orthonormalised. A single
    direction has a sense, from the good towards the bad prompts, and is not turned.

    Args:
        directions: (layers + 1, k, hidden), or (layers + 1, hidden) for one direction each.

    Raises:
        UsageError: when the index lies outside the layers.
    """
    directions = of_layers(directions)
    rank = directions.shape[1]
    whole = torch.eye(rank, dtype=torch.float64)
    if index is None:
        return [(layer + 1, whole)]
    last = len(directions) - 2
    if not 0 <= index <= last:
        raise UsageError(f"direction_index {index:g} lies outside the model's layers (0 to {last})")
    low = math.floor(index) + 1
    share = index - math.floor(index)
    if share == 0.0:
        return [(low, whole)]
    if rank == 1:
        length = max(float(torch.lerp(directions[low], directions[low + 1], share).norm()), 1e-12)
        return [(low, whole * (1 - share) / length), (low + 1, whole * share / length)]
    lower, upper = directions[low].double(), directions[low + 1].double()
    turn = aligned(upper, lower)
    mixed = torch.lerp(lower, turn @ upper, share)
    straight = orthonormalising(mixed @ mixed.T)
    return [(low, (1 - share) * straight), (low + 1, share * turn.T @ straight)]
