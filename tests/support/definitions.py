"""The edit as its definition says it, to compare the closed forms with, and random vectors."""

from __future__ import annotations

import torch
from torch import nn

METHODS = ("subtract", "row_normalised", "norm_preserving")


def by_definition(weight: torch.Tensor, v: torch.Tensor, strength: float, method: str) -> torch.Tensor:
    """W' written down as the words say it, in float64 and with an explicit projection matrix."""
    w: torch.Tensor = weight.double()
    v = v.double()
    projection = torch.eye(len(v), dtype=torch.float64) - strength * torch.outer(v, v)
    if method == "subtract":
        return projection @ w
    norms: torch.Tensor = w.norm(dim=1, keepdim=True)
    edited: torch.Tensor = projection @ (w / norms)
    if method == "norm_preserving":
        edited = edited / edited.norm(dim=1, keepdim=True)
    return edited * norms


def unit(size: int, seed: int = 0) -> torch.Tensor:
    return nn.functional.normalize(torch.randn(size, generator=torch.Generator().manual_seed(seed)), dim=0)


def clouds(good: int = 9, bad: int = 7, hidden: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Two sets of residuals (prompts, hidden), apart from each other."""
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(good, hidden, generator=generator) + 3,
        torch.randn(bad, hidden, generator=generator) * 2 - 0.5,
    )
