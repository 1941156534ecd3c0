"""Shares of independent cases: where a share lies by chance, and whether two paired counts differ by more than that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Where a figure lies with a probability of `LEVEL`, both bounds included."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class CountDifference:
    """How the verdicts on two paired samples differ.

    Attributes:
        only_first, only_second: prompts that are counted in one sample alone.
        p: the probability of a difference as large as this one or larger, were both alike (McNemar's test, exact).
    """

    only_first: int
    only_second: int
    p: float

    @property
    def difference(self) -> int:
        """How many more are counted in the second."""
        return self.only_second - self.only_first

    @property
    def within_chance(self) -> bool:
        """Whether chance alone makes such a difference often enough."""
        return self.p > 1 - LEVEL


def share_interval(count: int, total: int) -> Interval | None:
    """Wilson's interval of a share, `count` of `total` independent cases; None where there is no case.

    Raises:
        ValueError: for a count that cannot be.
    """
    if not 0 <= count <= total:
        raise ValueError(f"{count} of {total} is no share")
    if not total:
        return None
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    share = count / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    # Exact where rounding would leave a trace.
    return Interval(max(0.0, middle - half) if count else 0.0, min(1.0, middle + half) if count < total else 1.0)


def count_difference(first: Sequence[bool], second: Sequence[bool]) -> CountDifference:
    """How two paired samples of yes and no differ: such as which prompts two edited models refuse.

    Raises:
        ValueError: where one holds more prompts than the other.
    """
    pairs = list(zip(first, second, strict=True))
    only_first = sum(bool(one) and not other for one, other in pairs)
    only_second = sum(bool(other) and not one for one, other in pairs)
    apart = only_first + only_second
    # Were both alike, either of the two would be a half of those in which they differ.
    tail = sum(math.comb(apart, count) for count in range(min(only_first, only_second) + 1))
    return CountDifference(only_first, only_second, min(1.0, 2 * tail / 2**apart) if apart else 1.0)
