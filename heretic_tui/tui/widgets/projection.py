"""Both prompt sets as points on a plane, in braille: eight places a character."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from rich.text import Text

from heretic_tui.behaviour import Behaviour
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.braille import ACROSS, BITS, DOWN

# Coordinates of views lie between -_EDGE and _EDGE (run/results.py: Projections).
_EDGE = 1000
# How much wider than high a picture may become, so that wide panels are used.
_STRETCH = 1.6
# The medians of the harmless and the harmful prompts.
_MEDIANS = "OX"

Plane = Sequence[Sequence[int]]


def projection(plane: Plane, harmless: int, width: int, height: int, look: Looks, letters: bool) -> Text:
    """The points of one layer in `width` by `height` characters.

    Args:
        plane: (prompts, 2), the `harmless` ones first.
        letters: for terminals without braille or colour: o harmless, x harmful, # both in one place, and no finer than
            that. With colour a character has the colour of the set with more points in it. O and X are the medians.
    """
    if width < 4 or height < 3:
        return Text("")
    across, down = (1, 1) if letters else (ACROSS, DOWN)
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
        cell[0] |= BITS[row % down][column % across]
        cell[1 if index < harmless else 2] += 1
    marks = {}
    for mark, points in zip(_MEDIANS, (plane[:harmless], plane[harmless:]), strict=True):
        if points:
            column, row = place(median(x for x, _ in points), median(y for _, y in points))
            marks[column // across, row // down] = mark
    text = Text(no_wrap=True)
    for y in range(height):
        last = max((x for x, row in (*cells, *marks) if row == y), default=-1)
        for x in range(last + 1):
            if (x, y) in marks:
                mark = marks[x, y]
                text.append(mark, f"bold reverse {look.link if mark == _MEDIANS[0] else look.bad}")
            elif (x, y) in cells:
                dots, of_harmless, of_harmful = cells[x, y]
                letter = "#" if of_harmless and of_harmful else "o" if of_harmless else "x"
                style = look.link if of_harmless >= of_harmful else look.bad
                text.append(letter if letters else chr(0x2800 + dots), style)
            else:
                text.append(" ")
        text.append("\n")
    text.right_crop(1)
    return text


def key_to_projection(harmless: int, harmful: int, look: Looks, letters: bool, behaviour: Behaviour) -> Text:
    """What the marks mean, in one line."""
    text = Text(no_wrap=True)
    for name, count, letter, median_mark, style in (
        (behaviour.good, harmless, "o", _MEDIANS[0], look.link),
        (behaviour.bad, harmful, "x", _MEDIANS[1], look.bad),
    ):
        text.append(letter if letters else "⣿", style)
        text.append(f" {name} ({count}), median {median_mark}  ")
    return text.append("# both" if letters else "")
