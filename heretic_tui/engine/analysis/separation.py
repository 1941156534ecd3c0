"""How well a number tells bad prompts from good ones: the area under the ROC curve, with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

# Of the standard normal distribution: 95 % lie within.
_Z = 1.959964


@dataclass(frozen=True)
class Area:
    """Probability that a bad prompt's value is above a good prompt's (ties count half), with its 95 % interval."""

    value: float
    low: float
    high: float


def area_under_curve(good: Tensor, bad: Tensor) -> Area:
    """The area from the values of both sets, (n,) each, as the Mann-Whitney statistic.

    The interval is Newcombe's (2006, method 5): all areas θ with |θ - area| ≤ z √V(θ), V being Hanley and McNeil's
    variance. Unlike intervals from the observed variance it keeps its width where the sets do not overlap.
    """
    good, bad = good.double(), bad.double()
    difference = bad[:, None] - good[None, :]
    area = float(((difference > 0).double() + 0.5 * (difference == 0).double()).mean())
    sizes = len(good), len(bad)
    return Area(area, _end(area, 0.0, *sizes), _end(area, 1.0, *sizes))


def _end(area: float, limit: float, m: int, n: int) -> float:
    """The end of the interval between the area and a limit, by bisection."""
    inside, outside = area, limit
    for _ in range(50):
        middle = (inside + outside) / 2
        if abs(middle - area) <= _Z * math.sqrt(_variance(middle, m, n)):
            inside = middle
        else:
            outside = middle
    return inside


def _variance(area: float, m: int, n: int) -> float:
    mean = (m + n) / 2 - 1
    spread = 1 + mean * (1 - area) / (2 - area) + mean * area / (1 + area)
    return area * (1 - area) * spread / (m * n)
