"""Curves over the layers."""

from __future__ import annotations

import math

import pytest

from heretic_tui.tui.glyphs import ASCII, UNICODE, Glyphs
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.layer_chart import LEFT, RIGHT, Curve, Panel, draw, legend

LOOK = Looks("ink", "dim", "frame", "focus", "link", "good", "bad", "busy", "base")
LAYERS = 30


def curve(name: str, look: str, *values: float | None) -> Curve:
    return Curve(name, values, look)


HILL = curve("hill", "link", *(math.exp(-(((layer - 10) / 4) ** 2)) for layer in range(LAYERS)))
SLOPE = curve("slope", "focus", *(-layer / LAYERS for layer in range(LAYERS)))


@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_each_curve_has_its_colour_and_its_name_where_it_ends(glyphs: Glyphs) -> None:
    chart = draw((Panel((HILL, SLOPE)),), 80, 12, glyphs)
    assert chart is not None
    text = chart.text(LOOK, glyphs, None)
    lines = text.plain.splitlines()
    assert len(lines) == 12
    assert glyphs is UNICODE or text.plain.isascii()
    assert lines[-2].endswith(" slope"), "where it ends: at the bottom"
    assert sum(line.endswith(" hill") for line in lines) == 1
    # What is drawn in the colours of the curves covers the plot from edge to edge.
    drawn = {"link": set(), "focus": set()}  # type: dict[str, set[int]]
    starts = [0]
    for line in text.plain.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    for span in text.spans:
        if span.style in drawn:
            start = max(at for at in starts if at <= span.start)
            drawn[str(span.style)] |= set(range(span.start - start, span.end - start))
    assert {len(drawn["focus"]), len(drawn["link"])} <= set(range(80 - LEFT - RIGHT - 8, 80))


def test_what_meets_in_a_cell_is_of_the_first_curve() -> None:
    """plotext keeps one curve a cell, the one drawn last."""
    same = curve("same", "focus", *HILL.values)
    chart = draw((Panel((HILL, same)),), 60, 8, UNICODE)
    assert chart is not None
    meanings = {meaning for row in chart.rows for piece, meaning in row.pieces if piece.strip()}
    assert meanings == {"link"}


def test_the_line_and_the_number_of_the_selected_layer_move_without_drawing_again() -> None:
    panels = (Panel((HILL,)), Panel((SLOPE,), (-1.0, 0.0)))
    chart = draw(panels, 80, 16, UNICODE)
    assert chart is not None
    assert draw(panels, 80, 16, UNICODE) is chart, "what was drawn is kept"
    for layer in (0, 7, LAYERS - 1):
        lines = chart.text(LOOK, UNICODE, layer).plain.splitlines()
        at = LEFT + chart.column(layer)
        marked = [line for line in lines[:-1] if line[at : at + 1] == UNICODE.at]
        assert len(marked) >= len(lines) - 4, "through both panels, but where a curve is"
        others = "".join(line[:at] + line[at + 1 :] for line in lines)
        assert UNICODE.at not in others
        assert str(layer) in lines[-1][at - 2 : at + 3], "its number is below it"
    assert UNICODE.at not in chart.text(LOOK, UNICODE, None).plain


def test_the_line_goes_through_the_values_of_its_layer() -> None:
    """The columns are those of plotext: a peak at one layer lies in the column of the layer."""
    for peak in (3, 12, 29):
        spike = curve("spike", "link", *(float(layer == peak) for layer in range(LAYERS)))
        chart = draw((Panel((spike,)),), 97, 10, UNICODE)
        assert chart is not None
        top = "".join(piece for piece, _ in chart.rows[0].pieces)
        assert top[chart.column(peak)] != " "


def test_a_scale_has_its_ends_and_zero() -> None:
    chart = draw((Panel((curve("both", "link", -4.0, 0.0, 8.0),)),), 60, 14, UNICODE)
    assert chart is not None
    labels = [row.label.strip() for row in chart.rows if row.label.strip()]
    assert labels == ["8.0", "0", "-4.0"]
    flat = draw((Panel((curve("flat", "link", 2.0, 2.0),)),), 60, 6, UNICODE)
    assert flat is not None
    assert any(piece.strip() for row in flat.rows for piece, _ in row.pieces)


def test_what_is_not_known_is_left_out() -> None:
    gap = curve("gap", "link", 1.0, 1.0, 1.0, None, math.nan, math.inf, None, 1.0, 1.0, 1.0)
    chart = draw((Panel((gap,)),), 78, 6, UNICODE)
    assert chart is not None
    drawn = [piece for row in chart.rows for piece, _ in row.pieces]
    text = next(line for line in ("".join(p for p, _ in row.pieces) for row in chart.rows) if line.strip())
    assert text[chart.column(3) : chart.column(6) + 1].strip() == "", drawn
    assert text[0] != " "
    assert text[-1] != " "
    assert draw((Panel((curve("none", "link", None, None),)),), 60, 10, UNICODE) is None
    assert draw((Panel((HILL,)),), 24, 10, UNICODE) is None, "no room"


def test_panels_share_the_height_and_the_first_has_most() -> None:
    panels = tuple(Panel((curve(name, "link", 0.0, 1.0),)) for name in ("a", "b", "c"))
    for height, shown in ((6, 1), (10, 2), (30, 3)):
        chart = draw(panels, 60, height, UNICODE)
        assert chart is not None
        assert len(chart.rows) == height - 1
        assert [row.name for row in chart.rows if row.name] == ["a", "b", "c"][:shown]


def test_the_legend_has_the_characters_of_the_curves_in_ascii() -> None:
    assert legend((HILL, SLOPE), LOOK, UNICODE).plain == "  hill  slope"
    assert legend((HILL, SLOPE), LOOK, ASCII).plain == "  o hill  x slope"
