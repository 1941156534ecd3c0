"""Several directions of a layer as a basis of the space that they span: made orthonormal, turned to another basis, and
the one direction in it that tells both prompt sets apart."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from heretic_tui.errors import HereticError

# Below this share of the longest vector, what is left of one beside the others is rounding.
_NOTHING = 1e-6


def of_layers(directions: Tensor) -> Tensor:
    """(layers + 1, k, hidden) of the same, or of one direction for each layer, (layers + 1, hidden)."""
    return directions[:, None] if directions.ndim == 2 else directions


def orthonormal_rows(directions: Tensor) -> Tensor:
    """The same spaces spanned by orthonormal rows, the first of which keep where they point: (layers + 1, k, hidden) in
    and out. Index 0 may hold zeros, and keeps them.

    Raises:
        HereticError: for rows of a layer that do not span so many directions.
    """
    found = []
    for index, rows in enumerate(directions.double()):
        q, r = torch.linalg.qr(torch.nn.functional.normalize(rows, dim=-1).T)
        sizes = r.diagonal()
        if len(sizes) < len(rows) or bool((sizes.abs() <= _NOTHING).any()):
            if index:
                raise HereticError(f"the {len(rows)} directions of layer {index - 1} lie in a smaller space")
            found.append(torch.zeros_like(rows))
            continue
        found.append((q * sizes.sign()).T)
    return torch.stack(found)


def orthonormal(first: Tensor, others: Tensor, count: int) -> Tensor:
    """`count` orthonormal rows, (count, hidden) float64: the first along `first`, the others along what is largest in
    `others` beside it (by singular values), each turned so that it has a positive part of the sum of `others`.

    Args:
        first: (hidden,).
        others: (n, hidden).

    Raises:
        HereticError: where `others` do not span so many directions.
    """
    unit = first / first.norm()
    rows = [unit]
    if count > 1:
        rest = others - (others @ unit)[:, None] * unit
        _, sizes, found = torch.linalg.svd(rest, full_matrices=False)
        if len(found) < count - 1 or float(sizes[count - 2]) <= _NOTHING * float(others.norm(dim=-1).max()):
            raise HereticError(f"the harmful prompts do not differ in {count} directions: ask for fewer")
        towards = others.sum(dim=0)
        for row in found[: count - 1]:
            # Rounding has left a little of the first in it.
            row = torch.nn.functional.normalize(row - (row @ unit) * unit, dim=0)
            rows.append(row if row @ towards >= 0 else -row)
    return torch.stack(rows)


def orthonormalising(gram: Tensor) -> Tensor:
    """T with orthonormal columns V T, for columns V of which the inner products VᵀV are given: upper triangular, the
    first column keeps where it points, each later one loses what it shares with those before. What lies in the space
    of those before gets a column of zeros.

    Shapes: in and out (k, k), float64 on the CPU. (The inverse of the Cholesky factor, where there is one.)
    """
    made = torch.zeros_like(gram)
    longest = float(gram.diagonal().max())
    for place in range(len(gram)):
        column = torch.zeros_like(gram[0])
        column[place] = 1.0
        # Twice: the first time leaves the rounding of large parts.
        for _ in range(2):
            column = column - made @ (made.T @ gram @ column)
        squared = float(column @ gram @ column)
        if squared > _NOTHING**2 * longest:
            made[:, place] = column / squared**0.5
    return made


def aligned(basis: Tensor, to: Tensor) -> Tensor:
    """The turn Q (k, k), QQᵀ = 1, that brings a basis nearest to another one: Q basis, by the sum of squares (the
    orthogonal Procrustes problem; Schönemann 1966). Shapes in: rows (k, hidden)."""
    u, _, v = torch.linalg.svd(to @ basis.T)
    turn: Tensor = u @ v
    return turn


def leading(directions: Tensor, difference: Tensor) -> Tensor:
    """Of each layer the one direction that figures of a single direction are about, (layers + 1, hidden): its own
    where it has one; of several the difference of the means as far as it lies in their space, at length one, or the
    first where nothing of it does.

    Args:
        directions: (layers + 1, k, hidden), orthonormal in each layer.
        difference: the mean residuals of the bad prompts minus those of the good ones, (layers + 1, hidden).
    """
    if directions.shape[1] == 1:
        return directions[:, 0]
    wide = directions.double()
    inside = ((wide @ difference.double()[:, :, None]) * wide).sum(dim=1)
    lengths, whole = inside.norm(dim=-1, keepdim=True), difference.double().norm(dim=-1, keepdim=True)
    found = torch.where(lengths > _NOTHING * whole, inside / lengths.clamp(min=1e-300), wide[:, 0])
    return found.to(directions.dtype)


def saved_leading(tensors: Mapping[str, Tensor]) -> Tensor:
    """The leading directions among the tensors of a run's directions.safetensors, which holds them where a layer has
    several directions, (layers + 1, hidden)."""
    return tensors["leading"] if "leading" in tensors else of_layers(tensors["directions"])[:, 0]
