"""Per-layer diagnostics of the directions, and the geometry of both prompt sets' residuals."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from heretic_tui.engine.directions.medians import geometric_median
from heretic_tui.layer_figures import DirectionFigures, Histogram

BINS = 24


def layer_diagnostics(good: Tensor, bad: Tensor, good_along: Tensor, bad_along: Tensor) -> list[DirectionFigures]:
    """One entry per residual index, from the mean residuals (layers + 1, hidden) and from what every prompt's residual
    has along its layer's leading direction (prompts, layers + 1)."""
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
    return [
        DirectionFigures(**{name: round(float(column[i]), 6) for name, column in columns.items()})
        for i in range(len(good))
    ]


def separations(good_along: Tensor, bad_along: Tensor) -> list[float]:
    """How far both sets lie apart along each layer's direction, as layer_diagnostics has it. Shapes: (prompts, layers
    + 1)."""
    return [round(value, 6) for value in _separation(good_along.double(), bad_along.double()).tolist()]


def histograms(good_along: Tensor, bad_along: Tensor) -> list[Histogram]:
    """How both prompt sets spread along each layer's direction, in BINS equal bins. Shapes: (prompts, layers + 1)."""
    found = []
    for g, b in zip(good_along.T, bad_along.T, strict=True):
        low, high = float(min(g.min(), b.min())), float(max(g.max(), b.max()))
        good, bad = (torch.histc(values.float(), BINS, low, high).int().tolist() for values in (g, b))
        found.append(Histogram(round(low, 4), round(high, 4), good, bad))
    return found


def direction_cosines(directions: Tensor) -> list[list[float]]:
    """Cosines between the layers' directions, (layers + 1, hidden): (layers + 1, layers + 1)."""
    return [[round(value, 3) for value in row] for row in (directions @ directions.T).tolist()]


def _separation(good: Tensor, bad: Tensor) -> Tensor:
    variance = (good.var(dim=0, correction=0) + bad.var(dim=0, correction=0)) / 2
    distance = bad.mean(dim=0) - good.mean(dim=0)
    # Identical residuals (the embedding of a template's last token) do not differ and do not spread.
    return torch.where(variance > 0, distance / variance.sqrt().clamp(min=1e-12), torch.zeros_like(distance))


def residual_geometry(good: Tensor, bad: Tensor) -> dict[str, float]:
    """One layer's residual geometry, from its residuals, float32 (prompts, hidden) each.

    In the field's notation: g and b are the mean residuals of the good and the bad prompts, g* and b* their geometric
    medians, r = b - g, r* = b* - g*, S the cosine similarity, |x| the length, Silh the mean silhouette coefficient.

    A cosine with a vector of length zero (both sets alike, as at the embedding of a template's last token) is 0.
    """
    good, bad = good.double(), bad.double()
    g, b = good.mean(dim=0), bad.mean(dim=0)
    g_median, b_median = geometric_median(good), geometric_median(bad)
    r, r_median = b - g, b_median - g_median
    values = {
        "S(g,b)": _cosine(g, b),
        "S(g*,b*)": _cosine(g_median, b_median),
        "S(g,r)": _cosine(g, r),
        "S(g*,r*)": _cosine(g_median, r_median),
        "S(b,r)": _cosine(b, r),
        "S(b*,r*)": _cosine(b_median, r_median),
        "|g|": g.norm(),
        "|g*|": g_median.norm(),
        "|b|": b.norm(),
        "|b*|": b_median.norm(),
        "|r|": r.norm(),
        "|r*|": r_median.norm(),
        "Silh": silhouette(good, bad),
    }
    return {name: round(float(value), 6) for name, value in values.items()}


def silhouette(good: Tensor, bad: Tensor) -> float:
    """Mean silhouette coefficient of two sets (Rousseeuw 1987), as scikit-learn's `silhouette_score` gives it: with a
    the mean distance of a point to the others of its set and b to the other set, the mean of (b - a) / max(a, b); 0
    for a set of one, and for points that all lie in one place. Shapes in: (n, hidden)."""
    points = torch.cat([good, bad]).double()
    # Around their own centre: what all points share would hide the small distances in rounding.
    points = points - points.mean(dim=0)
    distances = torch.cdist(points, points)
    in_bad = torch.arange(len(points)) >= len(good)
    to_good, to_bad = distances[:, ~in_bad].sum(dim=1), distances[:, in_bad].sum(dim=1)
    own, other = torch.where(in_bad, to_bad, to_good), torch.where(in_bad, to_good, to_bad)
    size = torch.where(in_bad, len(bad), len(good))
    a, b = own / (size - 1).clamp(min=1), other / (len(points) - size)
    coefficients = torch.where((size > 1) & (torch.maximum(a, b) > 0), (b - a) / torch.maximum(a, b), 0.0)
    return float(coefficients.mean())


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    return cosine_similarity(one, other, dim=0, eps=1e-12)
