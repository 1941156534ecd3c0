"""Dots and curves in braille."""

from __future__ import annotations

import math

from heretic_tui.tui.glyphs import ASCII
from heretic_tui.tui.widgets.braille import Dots, braille_curve


def _dots(lines: list[str]) -> set[tuple[int, int]]:
    """Places of dots, by column and row from the upper left."""
    order = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
    return {
        (2 * x + dx, 4 * y + dy)
        for y, line in enumerate(lines)
        for x, glyph in enumerate(line)
        if glyph != " "
        for bit, (dx, dy) in enumerate(order)
        if (ord(glyph) - 0x2800) >> bit & 1
    }


def test_dots_lie_where_they_were_put_and_nothing_outside() -> None:
    dots, places = Dots(3, 2), {(0, 0), (1, 3), (5, 7), (2, 4)}
    for x, y in (*places, (-1, 0), (6, 0), (0, 8)):
        dots.put(x, y)
    assert _dots(dots.lines()) == places
    assert Dots(0, 5).lines() == [""] * 5


def test_a_curve_goes_from_edge_to_edge_without_a_gap() -> None:
    found = _dots(braille_curve([0.0, 10.0, 5.0], 10, 3))
    assert {x for x, _ in found} == set(range(20))
    assert {(0, 11), (10, 0)} <= found, "the lowest is at the bottom, the highest at the top"
    rows = {x: [y for a, y in found if a == x] for x in range(20)}
    assert all(min(rows[x + 1]) - max(rows[x]) <= 1 for x in range(19))


def test_a_scale_is_kept_and_what_is_not_known_is_left_out() -> None:
    assert _dots(braille_curve([5.0, 5.0], 4, 1, low=0, high=10)) == {(x, 2) for x in range(8)}
    assert {y for _, y in _dots(braille_curve([99.0, 99.0], 4, 1, low=0, high=10))} == {0}, "cut at the edge"
    gap = {x for x, _ in _dots(braille_curve([1.0, 1.0, None, math.nan, 1.0, 1.0], 10, 1))}
    assert gap == {0, 1, 2, 3, 4, 15, 16, 17, 18, 19}
    assert braille_curve([None], 5, 2) == [" " * 5] * 2
    assert braille_curve([], 5, 1) == [" " * 5]


def test_steps_are_level_until_the_next_value() -> None:
    found = _dots(braille_curve([9.0, 0.0], 3, 1, steps=True))
    assert found == {(x, 0) for x in range(6)} | {(5, y) for y in range(4)}


def test_in_ascii_the_characters_stand_as_high_as_the_curve() -> None:
    lines = braille_curve([3.0, 3.0, 0.0, 0.0], 20, 1, ASCII)
    assert all(line.isascii() for line in lines)
    assert lines[0].startswith("''''")
    assert lines[0].endswith("____")
