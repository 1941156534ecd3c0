"""Orthonormal directions that span what several vectors do."""

from __future__ import annotations

import torch
from torch import Tensor

from heretic_tui.errors import HereticError

# Below this share of the first vector's length a further one is rounding.
_TOO_SMALL = 1e-6


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
        if bool((sizes.abs() <= _TOO_SMALL).any()):
            if index:
                raise HereticError(f"the {len(rows)} directions of layer {index - 1} lie in a smaller space")
            found.append(torch.zeros_like(rows))
            continue
        found.append((q * sizes.sign()).T)
    return torch.stack(found)


def orthonormal(first: Tensor, others: Tensor, count: int, toward: Tensor | None = None) -> Tensor:
    """`count` orthonormal rows, (count, hidden) float64: the first along `first`, the others along what is largest in
    `others` beside it (by singular values), each turned so that it has a positive part of `toward`, or of the sum of
    `others`.

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
        if len(found) < count - 1 or float(sizes[count - 2]) <= _TOO_SMALL * float(others.norm(dim=-1).max()):
            raise HereticError(f"the harmful prompts do not differ in {count} directions: ask for fewer")
        towards = others.sum(dim=0) if toward is None else toward
        for row in found[: count - 1]:
            # Rounding has left a little of the first in it.
            row = torch.nn.functional.normalize(row - (row @ unit) * unit, dim=0)
            rows.append(row if row @ towards >= 0 else -row)
    return torch.stack(rows)
