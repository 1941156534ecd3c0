"""The edit as its definition says it, to compare the closed forms with, and random vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from heretic_tui.engine.edits.adapter_form import AdapterForm

METHODS = ("subtract", "row_normalised", "norm_preserving")


def by_definition(
    weight: torch.Tensor, v: torch.Tensor, strength: float | Sequence[float], method: str
) -> torch.Tensor:
    """W' written down as the words say it, in float64 and with an explicit projection matrix.

    Args:
        v: one direction (d_out,), or orthonormal columns (d_out, k).
        strength: of all of them, or of each.
    """
    w: torch.Tensor = weight.double()
    projection = torch.eye(len(v), dtype=torch.float64)
    columns = v.double().reshape(len(v), -1)
    for place, column in enumerate(columns.T):
        share = strength if isinstance(strength, float | int) else strength[place]
        projection = projection - share * torch.outer(column, column)
    if method == "subtract":
        return projection @ w
    norms: torch.Tensor = w.norm(dim=1, keepdim=True)
    edited: torch.Tensor = projection @ (w / norms)
    if method == "norm_preserving":
        edited = edited / edited.norm(dim=1, keepdim=True)
    return edited * norms


def with_adapter(weight: torch.Tensor, form: AdapterForm) -> torch.Tensor:
    """A matrix (d_out, d_in) as an adapter changes it: W + B A, and for a DoRA its rows at their magnitudes."""
    adapted = weight + form.b @ form.a
    return adapted if form.magnitude is None else adapted * (form.magnitude / adapted.norm(dim=1))[:, None]


def unit(size: int, seed: int = 0) -> torch.Tensor:
    return nn.functional.normalize(torch.randn(size, generator=torch.Generator().manual_seed(seed)), dim=0)


def orthonormal(size: int, count: int, seed: int = 0) -> torch.Tensor:
    """Columns (size, count) of length one, at right angles to each other."""
    drawn = torch.randn(size, count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    q: torch.Tensor = torch.linalg.qr(drawn).Q
    return q.float()


def bases(layers: int, count: int, hidden: int, seed: int = 0) -> torch.Tensor:
    """Directions of each residual index, (layers + 1, count, hidden)."""
    return torch.stack([orthonormal(hidden, count, 1000 * seed + layer).T for layer in range(layers + 1)]).contiguous()


def clouds(good: int = 9, bad: int = 7, hidden: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Two sets of residuals (prompts, hidden), apart from each other."""
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(good, hidden, generator=generator) + 3,
        torch.randn(bad, hidden, generator=generator) * 2 - 0.5,
    )
