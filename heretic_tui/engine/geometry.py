"""Per-layer diagnostics of the directions: what a person looks at before trusting a search."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

BINS = 24


def layer_diagnostics(good: Tensor, bad: Tensor, good_along: Tensor, bad_along: Tensor) -> list[dict[str, float]]:
    """One entry per residual index, from the mean residuals (layers + 1, hidden) and from what every prompt's residual
    has along its layer's direction (prompts, layers + 1).

    Keys: good_norm, bad_norm (lengths of the means), difference_norm (|r| before normalising), cosine (of the two
    means), surviving (share of the direction's length that is left after removing the good mean's part), separation
    (distance of the two clouds' means along the direction, in units of their pooled standard deviation: Cohen's d).
    """
    difference = bad - good
    along = cosine_similarity(difference, good, dim=-1)
    columns = {
        "good_norm": good.norm(dim=-1),
        "bad_norm": bad.norm(dim=-1),
        "difference_norm": difference.norm(dim=-1),
        "cosine": cosine_similarity(good, bad, dim=-1),
        "surviving": (1 - along**2).clamp(min=0).sqrt(),
        "separation": _separation(good_along.double(), bad_along.double()),
    }
    return [{name: round(float(column[i]), 6) for name, column in columns.items()} for i in range(len(good))]


def histograms(good_along: Tensor, bad_along: Tensor) -> list[dict[str, object]]:
    """How both prompt sets spread along each layer's direction: `low`, `high`, and counts in BINS equal bins for
    `good` and `bad`. Shapes in: (prompts, layers + 1)."""
    found: list[dict[str, object]] = []
    for g, b in zip(good_along.T, bad_along.T, strict=True):
        low, high = float(min(g.min(), b.min())), float(max(g.max(), b.max()))
        counts = {
            name: torch.histc(values.float(), BINS, low, high).int().tolist()
            for name, values in (("good", g), ("bad", b))
        }
        found.append({"low": round(low, 4), "high": round(high, 4), **counts})
    return found


def direction_cosines(directions: Tensor) -> list[list[float]]:
    """Cosines between the layers' directions, (layers + 1, layers + 1)."""
    return [[round(value, 3) for value in row] for row in (directions @ directions.T).tolist()]


def _separation(good: Tensor, bad: Tensor) -> Tensor:
    variance = (good.var(dim=0, correction=0) + bad.var(dim=0, correction=0)) / 2
    distance = bad.mean(dim=0) - good.mean(dim=0)
    # Identical residuals (the embedding of a template's last token) differ by nothing and spread by nothing.
    return torch.where(variance > 0, distance / variance.sqrt().clamp(min=1e-12), torch.zeros_like(distance))
