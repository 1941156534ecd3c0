"""Axes of a scatter: which values lie at their ends, where their ticks are, and what is written at them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Below this a logarithmic axis says nothing; a divergence of an edit of nothing is 0.
TINY = 1e-5


@dataclass(frozen=True)
class Axis:
    """A range of values on cells 0 to `cells` - 1.

    Attributes:
        low, high: the values at its ends; their logarithms (base 10) where it is logarithmic.
    """

    low: float
    high: float
    cells: int
    logarithmic: bool = False

    def place(self, value: float) -> int:
        """The cell of a value; outside of the range for one that is outside."""
        scaled = math.log10(max(value, TINY)) if self.logarithmic else value
        return round((scaled - self.low) / (self.high - self.low) * (self.cells - 1))

    def shows(self, value: float) -> bool:
        return 0 <= self.place(value) < self.cells

    def ticks(self, apart: int) -> list[tuple[int, str]]:
        """Cells of round values, at least so many cells apart, with their labels."""
        most = max(1, self.cells // max(1, apart))
        values = _log_ticks(self.low, self.high, most) if self.logarithmic else _ticks(self.low, self.high, most)
        return [(place, f"{value:.6g}") for value in values if 0 <= (place := self.place(value)) < self.cells]


def axis(values: Sequence[float], cells: int, *, logarithmic: bool = False, from_zero: bool = False) -> Axis:
    """An axis on which all values lie.

    Args:
        from_zero: begin at 0 where the axis is not logarithmic and no value is below.
    """
    if logarithmic:
        logs = [math.log10(max(value, TINY)) for value in values] or [-1.0, 0.0]
        low, high = min(logs), max(logs)
        if high - low < 0.2:
            low, high = low - 0.1, high + 0.1
        return Axis(low, high, cells, True)
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if from_zero:
        low = min(0.0, low)
    return Axis(low, high if high - low > TINY else low + max(TINY, abs(low) / 10), cells)


def round_step(least: float) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that is not below `least` (above 0)."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))


def _ticks(low: float, high: float, most: int) -> list[float]:
    step = round_step((high - low) / most)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    decades = range(math.floor(low), math.ceil(high) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        values = [factor * 10.0**power for power in decades for factor in factors]
        values = [value for value in values if low - 1e-9 <= math.log10(value) <= high + 1e-9]
        if values and len(values) <= most:
            return values
    # A range within one decade, or too many of them for the room.
    powers = [power for power in decades if low - 1e-9 <= power <= high + 1e-9]
    thinned = powers[:: max(1, -(-len(powers) // most))]
    return [10.0**power for power in thinned] or [10**low, 10**high]
