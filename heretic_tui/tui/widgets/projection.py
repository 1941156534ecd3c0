"""Both prompt sets as points on a plane, in braille: eight places a character."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.text import Text

# Coordinates of views lie between -_EDGE and _EDGE (run/results.py: Projections).
_EDGE = 1000
# Bits of a braille character by row and column of its dot.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
# How much wider than high a picture may become, so that wide panels are used.
_STRETCH = 1.6
GOOD, BAD = "bright_cyan", "bright_red"

Plane = Sequence[Sequence[int]]


def projection(plane: Plane, good: int, width: int, height: int, letters: bool) -> Text:
    """The points of one layer in `width` by `height` characters.

    Args:
        plane: (prompts, 2), the `good` good ones first.
        letters: for terminals without braille or colour: o good, x bad, # both in one place, and no finer than that.
            With colour a character has the colour of the set with more points in it. G and B are the sets' medians.
    """
    if width < 4 or height < 3:
        return Text("")
    across, down = (1, 1) if letters else (2, 4)
    high = height * down - 1
    wide = min(width * across - 1, round(_STRETCH * height * 4 * across / 2))
    left = (width * across - 1 - wide) // 2
    # By character: the dots, and points of either set.
    cells: dict[tuple[int, int], list[int]] = {}

    def place(x: float, y: float) -> tuple[int, int]:
        return (
            left + round((x + _EDGE) / (2 * _EDGE) * wide),
            round((_EDGE - y) / (2 * _EDGE) * high),
        )

    for index, (x, y) in enumerate(plane):
        column, row = place(x, y)
        cell = cells.setdefault((column // across, row // down), [0, 0, 0])
        cell[0] |= _DOTS[row % down][column % across]
        cell[1 if index < good else 2] += 1
    marks = {}
    for mark, points in (("G", plane[:good]), ("B", plane[good:])):
        if points:
            column, row = place(median(x for x, _ in points), median(y for _, y in points))
            marks[column // across, row // down] = mark
    text = Text(no_wrap=True)
    for y in range(height):
        last = max((x for x, row in (*cells, *marks) if row == y), default=-1)
        for x in range(last + 1):
            if (x, y) in marks:
                mark = marks[x, y]
                text.append(mark, f"bold reverse {GOOD if mark == 'G' else BAD}")
            elif (x, y) in cells:
                dots, of_good, of_bad = cells[x, y]
                letter = "#" if of_good and of_bad else "o" if of_good else "x"
                text.append(letter if letters else chr(0x2800 + dots), GOOD if of_good >= of_bad else BAD)
            else:
                text.append(" ")
        text.append("\n")
    return text


def key_to_projection(good: int, bad: int, letters: bool) -> Text:
    """What the marks mean, in one line."""
    text = Text(no_wrap=True)
    for name, count, letter, style in (("good", good, "o", GOOD), ("bad", bad, "x", BAD)):
        text.append(letter if letters else "⣿", style)
        text.append(f" {name} ({count})  ")
    text.append("# both  " if letters else "")
    text.append("G B medians")
    return text
