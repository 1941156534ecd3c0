"""How good a front is: the area that it dominates, as a share of the box that it could dominate."""

from __future__ import annotations

import math
from collections.abc import Iterable

# KL divergence and refusals.
Point = tuple[float, float]

# Beyond this KL divergence a model is another one; below the other it is the same, for all that can be measured.
WORST_KL, LEAST_KL = 1.0, 1e-4


def hypervolume(points: Iterable[Point], prompts: int, worst_kl: float = WORST_KL) -> float:
    """The share of the box below `worst_kl` and below all prompts refused."""
    return _area((kl / worst_kl, refusals / prompts) for kl, refusals in points)


def log_hypervolume(points: Iterable[Point], prompts: int) -> float:
    """The same with KL divergence on a logarithmic scale, from LEAST_KL on: halves count the same everywhere."""
    scale = math.log(WORST_KL / LEAST_KL)
    return _area((math.log(max(kl, LEAST_KL) / LEAST_KL) / scale, refusals / prompts) for kl, refusals in points)


def front(points: Iterable[Point]) -> list[Point]:
    """Those that no other beats, by KL divergence."""
    found: list[Point] = []
    for kl, refusals in sorted(points):
        if not found or refusals < found[-1][1]:
            found.append((kl, refusals))
    return found


def _area(points: Iterable[Point]) -> float:
    """Area within the unit square that points dominate."""
    area, height = 0.0, 1.0
    for x, y in front((max(x, 0.0), max(y, 0.0)) for x, y in points if x < 1.0 and y < 1.0):
        area += (1.0 - x) * (height - y)
        height = y
    return area
