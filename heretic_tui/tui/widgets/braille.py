"""Dots in braille, eight a character, and a curve drawn with them; where there is no braille, the nearest in ASCII."""

from __future__ import annotations

import math
from collections.abc import Sequence

from heretic_tui.tui.glyphs import ASCII, UNICODE, Glyphs

# Bits of a braille character by row and column of its dot.
BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
ACROSS, DOWN = 2, 4
# Bits of each row of dots together.
_ROWS = tuple(left | right for left, right in BITS)


class Dots:
    """A canvas of `width` by `height` characters. Dots are counted from the upper left; those outside are left out."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = max(0, width), max(0, height)
        self._cells = [[0] * self.width for _ in range(self.height)]

    def put(self, x: int, y: int) -> None:
        if 0 <= x < self.width * ACROSS and 0 <= y < self.height * DOWN:
            self._cells[y // DOWN][x // ACROSS] |= BITS[y % DOWN][x % ACROSS]

    def line(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """A straight line from dot to dot, both ends included."""
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(steps + 1):
            self.put(round(x0 + (x1 - x0) * step / steps), round(y0 + (y1 - y0) * step / steps))

    def lines(self, glyphs: Glyphs = UNICODE) -> list[str]:
        """The canvas as text, `height` lines of `width` characters; a space where there are no dots."""
        glyph = _ascii if glyphs is ASCII else _braille
        return ["".join(glyph(bits) for bits in row) for row in self._cells]


def braille_curve(
    values: Sequence[float | None],
    width: int,
    height: int,
    glyphs: Glyphs = UNICODE,
    *,
    low: float | None = None,
    high: float | None = None,
    steps: bool = False,
) -> list[str]:
    """A curve over the places of its values, `height` lines of `width` characters (one line is a sparkline).

    Args:
        values: spread over the whole width; where one is None or no finite number the curve is interrupted.
        low, high: what the lowest and the highest line stand for; the smallest and the largest value where not given.
        steps: go on level until the next value, as what is best so far does.
    """
    dots = Dots(width, height)
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known or width <= 0 or height <= 0:
        return dots.lines(glyphs)
    bottom, top = min(known) if low is None else low, max(known) if high is None else high
    span, last_row, last_column = (top - bottom) or 1.0, height * DOWN - 1, width * ACROSS - 1
    before: tuple[int, int] | None = None
    for place, value in enumerate(values):
        if value is None or not math.isfinite(value):
            before = None
            continue
        x = round(place / max(1, len(values) - 1) * last_column)
        y = round((top - max(min(value, top), bottom)) / span * last_row)
        if before is None:
            dots.put(x, y)
        elif steps:
            dots.line(*before, x, before[1])
            dots.line(x, before[1], x, y)
        else:
            dots.line(*before, x, y)
        before = x, y
    return dots.lines(glyphs)


def _braille(bits: int) -> str:
    return chr(0x2800 + bits) if bits else " "


def _ascii(bits: int) -> str:
    """One character that stands as high in its cell as the dots do."""
    if not bits:
        return " "
    taken = [bool(bits & row) for row in _ROWS]
    if taken[0] and taken[3]:
        return "|"
    if taken[0]:
        return "'" if not taken[2] else "!"
    if taken[3]:
        return "_" if not taken[1] else ","
    return "-"
