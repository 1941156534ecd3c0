"""Curves over the layers: panels one below the other on one axis, and a line through all of them at one layer."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from rich.text import Text

from heretic_tui.tui.glyphs import ASCII, Glyphs, fit
from heretic_tui.tui.themes import Looks

# Cells beside a chart: the scale at the left, the names of the curves at the right. They are the same for all panels,
# so that a layer lies in one column of the screen.
LEFT, RIGHT = 7, 11
_LEAST = 12
# Colours are given to plotext as numbers, which come back in its escape sequences.
_SGR = re.compile(r"\x1b\[([0-9;]*)m")
_MARKERS = "ox+*"


@dataclass(frozen=True)
class Curve:
    """One value a layer; None, or what is no finite number, is left out. `look` names its colour (tui/themes.py)."""

    name: str
    values: tuple[float | None, ...]
    look: str


@dataclass(frozen=True)
class Panel:
    """Curves on one scale. `ends` are the lowest and the highest value shown; those of the curves where not given."""

    curves: tuple[Curve, ...]
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Row:
    """A line of a panel: its label, pieces of the plot with their looks, and the curve named at its end."""

    label: str
    pieces: tuple[tuple[str, str], ...]
    name: str = ""
    look: str = ""


@dataclass(frozen=True)
class LayerChart:
    """What was drawn, without colours, and without the line at the selected layer: both are put on in `text`, which
    costs 0.3 ms where drawing costs 15.

    Attributes:
        layers: how many layers the axis has.
        width: cells of the plot.
    """

    rows: tuple[_Row, ...]
    layers: int
    width: int

    def column(self, layer: int) -> int:
        """The cell of the plot that a layer lies in, as plotext places it."""
        return math.floor(0.5 + (self.width - 1) * layer / max(1, self.layers - 1))

    def text(self, look: Looks, glyphs: Glyphs, selected: int | None) -> Text:
        """The chart with a line at a layer (None: without), and the numbers of the layers below it."""
        text, at = Text(no_wrap=True), None if selected is None else self.column(selected)
        for row in self.rows:
            text.append(row.label, look.dim)
            place = 0
            for piece, meaning in row.pieces:
                style = getattr(look, meaning) if meaning else ""
                cut = len(piece) if at is None or at < place else at - place
                text.append(piece[:cut], style)
                for glyph in piece[cut : cut + 1]:
                    # A curve is not interrupted by the line.
                    free = glyph in (" ", glyphs.across)
                    text.append(glyphs.at if free else glyph, look.link if free else style)
                text.append(piece[cut + 1 :], style)
                place += len(piece)
            text.append(f" {row.name}\n", f"bold {getattr(look, row.look)}" if row.look else "")
        return text.append_text(self._axis(look, selected))

    def _axis(self, look: Looks, selected: int | None) -> Text:
        """The numbers of the layers. They are not plotext's, because the selected one is always among them."""
        cells = [" "] * (self.width + 2)
        place = (0, 0)
        if selected is not None:
            number = str(selected)
            start = max(0, min(self.width + 1 - len(number), self.column(selected) - len(number) // 2))
            place = (start, start + len(number))
            cells[slice(*place)] = number
        widest = len(str(self.layers - 1)) + 2
        apart = max(1, -(-self.layers * widest // max(1, self.width)))
        for layer in range(0, self.layers, apart):
            number = str(layer)
            start = max(0, self.column(layer) - len(number) // 2)
            around = cells[max(0, start - 1) : start + len(number) + 1]
            if start + len(number) <= len(cells) and all(cell == " " for cell in around):
                cells[start : start + len(number)] = number
        axis = "".join(cells)
        text = Text(" " * LEFT, no_wrap=True)
        text.append(axis[: place[0]], look.dim)
        text.append(axis[slice(*place)], f"bold {look.link}")
        return text.append(axis[place[1] :].rstrip(), look.dim)


@functools.lru_cache(maxsize=32)
def draw(panels: tuple[Panel, ...], width: int, height: int, glyphs: Glyphs) -> LayerChart | None:
    """The panels in `width` by `height` cells, the last line of which has the numbers of the layers. The first panel
    gets most of the height; those for which none is left are left out. None where there is nothing to draw, or no room.
    """
    known = tuple(panel for panel in panels if any(_is_known(v) for curve in panel.curves for v in curve.values))
    plot = width - LEFT - RIGHT
    if not known or plot < _LEAST or height < 3:
        return None
    layers = max(len(curve.values) for panel in known for curve in panel.curves)
    rows: list[_Row] = []
    for panel, lines in zip(known, _heights(len(known), height - 1), strict=False):
        rows += _panel_rows(panel, plot, lines, layers, glyphs)
    return LayerChart(tuple(rows), layers, plot)


def _heights(panels: int, height: int) -> list[int]:
    """Lines for each panel: two for the first to one for each other, at least three where there is more than one."""
    shown = max(1, min(panels, (height - 2) // 3))
    each = max(3, height // (shown + 1)) if shown > 1 else 0
    return [height - each * (shown - 1), *[each] * (shown - 1)]


def _panel_rows(panel: Panel, plot: int, lines: int, layers: int, glyphs: Glyphs) -> Iterator[_Row]:
    values = [value for curve in panel.curves for value in curve.values if _is_known(value)]
    low, high = panel.ends or (min(values), max(values))
    if not low < high:
        low, high = low - 0.5, low + 0.5
    labels = {0: _number(high, high - low), lines - 1: _number(low, high - low)}
    if low < 0 < high and 0 < (zero := round((lines - 1) * high / (high - low))) < lines - 1:
        labels[zero] = "0"
    names = _names(panel, low, high, lines)
    drawn = _plot(panel, (low, high), plot, lines, layers, glyphs)
    for line in range(lines):
        curve = names.get(line)
        yield _Row(
            f"{labels.get(line, ''):>{LEFT - 1}} ",
            drawn[line],
            fit(curve.name, RIGHT - 1).rstrip() if curve else "",
            curve.look if curve else "",
        )


def _names(panel: Panel, low: float, high: float, lines: int) -> dict[int, Curve]:
    """The line at which each curve is named: where it ends, or the nearest that is free."""
    found: dict[int, Curve] = {}
    for curve in panel.curves:
        last = next((value for value in reversed(curve.values) if _is_known(value)), None)
        if last is None:
            continue
        wanted = round((lines - 1) * (high - max(low, min(high, last))) / (high - low))
        free = [line for line in range(lines) if line not in found]
        if free:
            found[min(free, key=lambda line: abs(line - wanted))] = curve
    return found


def _plot(
    panel: Panel, ends: tuple[float, float], plot: int, lines: int, layers: int, glyphs: Glyphs
) -> list[tuple[tuple[str, str], ...]]:
    """The curves as plotext draws them, by line: pieces of text with the looks of their curves."""
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    # The room is ours to know: plotext would cut the plot to the size of the terminal as it was at some time.
    plotext.limit_size(False, False)
    plotext.plotsize(plot, lines)
    plotext.frame(False)
    plotext.xticks([])
    plotext.yticks([])
    plotext.xlim(0, max(1, layers - 1))
    plotext.ylim(*ends)
    # The line at the selected layer is not plotext's `vline`: that would be drawn anew, with everything else, at each
    # press of a key. Where two curves meet in a cell plotext keeps the later one: so the first is drawn last.
    looks = {str(number): curve.look for number, curve in enumerate(panel.curves, start=1)}
    if ends[0] < 0 < ends[1]:
        plotext.hline(0, len(looks) + 1)
    looks[str(len(looks) + 1)] = "frame"
    for number, curve in reversed(list(enumerate(panel.curves, start=1))):
        marker = _MARKERS[(number - 1) % len(_MARKERS)] if glyphs is ASCII else "braille"
        known = [(layer, value) for layer, value in enumerate(curve.values) if _is_known(value)]
        for _, group in itertools.groupby(enumerate(known), key=lambda pair: pair[1][0] - pair[0]):
            at, heights = zip(*(point for _, point in group), strict=True)
            plotext.plot(list(at), list(heights), marker=marker, color=number)
    drawn = [_pieces(line, looks, plot, glyphs) for line in plotext.build().splitlines()[:lines]]
    return drawn + [((" " * plot, ""),)] * (lines - len(drawn))


def _pieces(line: str, looks: dict[str, str], plot: int, glyphs: Glyphs) -> tuple[tuple[str, str], ...]:
    """A line of plotext's as pieces with looks, exactly `plot` characters."""
    pieces, meaning, length = [], "", 0
    for place, part in enumerate(_SGR.split(line)):
        if place % 2:
            # 38;5;N: the colour that the curve was given; anything else ends it.
            meaning = looks.get(part.removeprefix("38;5;"), "") if part.startswith("38;5;") else ""
        elif part := part[: plot - length].replace("─", glyphs.across):
            pieces.append((part, meaning if part.strip() else ""))
            length += len(part)
    if length < plot:
        pieces.append((" " * (plot - length), ""))
    return tuple(pieces)


def _number(value: float, span: float) -> str:
    digits = 2 if span < 3 else 1 if span < 100 else 0
    return f"{value:.{digits}f}"


def _is_known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def legend(curves: Sequence[Curve], look: Looks, glyphs: Glyphs) -> Text:
    """The names of curves in their colours; in ASCII with the characters that they are drawn with."""
    text = Text(no_wrap=True)
    for number, curve in enumerate(curves):
        marker = f"{_MARKERS[number % len(_MARKERS)]} " if glyphs is ASCII else ""
        text.append(f"  {marker}{curve.name}", f"bold {getattr(look, curve.look)}")
    return text
