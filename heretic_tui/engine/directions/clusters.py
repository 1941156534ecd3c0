"""k-means: points in as many clusters as are wanted, the same ones whenever it is asked."""

from __future__ import annotations

import torch
from torch import Tensor

# Lloyd's iteration ends when no point changes its cluster, which takes far fewer steps.
_MOST_STEPS = 300
# The best of so many beginnings: each ends in a minimum of its own.
_BEGINNINGS = 10


def k_means(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Centres of clusters, (count, hidden), and the cluster of each point, (n,) int64; the largest cluster first. The
    sum of squared distances to the centres is the least of ten runs of Lloyd's iteration, each from points that are
    drawn far from each other (k-means++, Arthur and Vassilvitskii 2007), by a fixed seed.

    Args:
        points: float64 (n, hidden), at least `count`.
    """
    generator = torch.Generator().manual_seed(0)
    # Distances are differences of squares: around the points' own centre they lose least by rounding.
    middle = points.mean(dim=0)
    centred = points - middle
    best: tuple[float, Tensor, Tensor] | None = None
    for _ in range(1 if count == 1 else _BEGINNINGS):
        found = _lloyd(centred, _far_apart(centred, count, generator))
        if best is None or found[0] < best[0]:
            best = found
    assert best is not None
    _, centres, owners = best
    order = torch.bincount(owners, minlength=count).argsort(descending=True, stable=True)
    places = torch.empty_like(order)
    places[order] = torch.arange(count)
    return centres[order] + middle, places[owners]


def _far_apart(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """The first centres: points, each drawn with a probability that grows with its squared distance to those before."""
    chosen = [int(torch.randint(len(points), (), generator=generator))]
    nearest = (points - points[chosen[0]]).square().sum(dim=1)
    while len(chosen) < count:
        # Where all points lie on centres, any will do.
        weights = nearest if bool(nearest.sum() > 0) else torch.ones_like(nearest)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(dim=1))
    return points[chosen]


def _lloyd(points: Tensor, centres: Tensor) -> tuple[float, Tensor, Tensor]:
    """The sum of squared distances, the centres and the cluster of each point, where nothing changes any more."""
    owners = torch.full((len(points),), -1)
    for _ in range(_MOST_STEPS):
        distances = torch.cdist(points, centres)
        nearest, now = distances.min(dim=1)
        # A cluster that lost all its points begins anew at the point that is farthest from its own centre, and that is
        # not the last one of its cluster: there are at least as many points as clusters.
        for empty in (torch.bincount(now, minlength=len(centres)) == 0).nonzero()[:, 0].tolist():
            spare = torch.bincount(now, minlength=len(centres))[now] > 1
            farthest = int(torch.where(spare, nearest, -1.0).argmax())
            now[farthest], nearest[farthest] = empty, 0.0
        if torch.equal(now, owners):
            break
        owners = now
        centres = torch.stack([points[owners == each].mean(dim=0) for each in range(len(centres))])
    return float((points - centres[owners]).square().sum()), centres, owners
