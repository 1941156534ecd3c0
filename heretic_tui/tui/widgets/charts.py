"""Charts that change rarely, as text: curves over the layers (plotext), histograms, heat map, kernel."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from rich.text import Text

from heretic_tui.layer_figures import Histogram
from heretic_tui.parameters import Kernel
from heretic_tui.tui.glyphs import ASCII, Glyphs

_SGR = re.compile(r"\x1b\[[0-9;]*m")
# Cells to the left of a chart over the layers.
_AXIS = 8
_COLOUR = "cyan"
_SHADES_FROM = (0.0, 0.2, 0.4, 0.6, 0.8)


def curves(series: Mapping[str, Sequence[float | None]], width: int, height: int, glyphs: Glyphs) -> Text:
    """Values over the layers, one chart below the other on one scale: in a common chart one would lie over another.
    Filled down to the lowest value, or to zero where some are below it, so that neither a terminal nor a picture of it
    leaves gaps. What is not known is left out. Where `height` is too small for all of them more lines are taken."""
    known = [value for values in series.values() for value in values if _is_known(value)]
    if width < _AXIS + 16 or not known:
        return Text("")
    low, high = min(known), max(known)
    scale = (low, high if high > low else low + 1)
    rows = max(4, (height - 1) // len(series) - 1)
    last = max(len(values) for values in series.values()) - 1
    text = Text(no_wrap=True)
    for number, (name, values) in enumerate(series.items(), start=1):
        text.append(f"{'':{_AXIS}}{name}\n", "bold")
        # The numbers of the layers are written under the last chart, for all of them.
        text.append(_chart(values, last, scale, width, rows, number == len(series), glyphs))
    return text


def _chart(
    values: Sequence[float | None],
    last: int,
    scale: tuple[float, float],
    width: int,
    rows: int,
    numbered: bool,
    glyphs: Glyphs,
) -> Text:
    import plotext

    low, high = scale
    plotext.clear_figure()
    plotext.theme("clear")
    # The room is ours to know: plotext would cut the plot to the size of the terminal as it was at some time.
    plotext.limit_size(False, False)
    ends = [low, 0.0, high] if low < 0 < high else [low, high]
    form = "{:.3f}" if max(abs(low), abs(high)) < 10 else "{:.1f}"
    # plotext makes room at the left for the longest of them: it is to be the same in all charts.
    labels = [f"{form.format(end):>{_AXIS - 1}} " for end in ends]
    plotext.plotsize(width, rows + numbered)
    plotext.frame(False)
    plotext.xlim(0, max(1, last))
    plotext.ylim(low, high)
    plotext.yticks(ends, labels)
    apart = -(-(last + 1) * (len(str(last)) + 2) // (width - _AXIS))
    ticks = list(range(0, last + 1, apart)) if numbered else []
    plotext.xticks(ticks, [str(tick) for tick in ticks])
    # Quarters of a cell have no gaps between them in any font, as braille has.
    marker = "#" if glyphs is ASCII else "hd"
    known = [(layer, value) for layer, value in enumerate(values) if _is_known(value)]
    for _, group in itertools.groupby(enumerate(known), key=lambda pair: pair[1][0] - pair[0]):
        layers, heights = zip(*(point for _, point in group), strict=True)
        plotext.plot(list(layers), list(heights), marker=marker, fillx=True)
    drawn = _SGR.sub("", plotext.build()).splitlines()
    text = Text(no_wrap=True)
    for line in drawn[: rows + numbered]:
        text.append(line[:_AXIS])
        for glyph, run in itertools.groupby(line[_AXIS:].rstrip()):
            # With the ground in the same colour, pictures of the screen show no lines between neighbouring blocks.
            style = f"{_COLOUR} on {_COLOUR}" if glyph == "█" else "" if glyph.isdigit() else _COLOUR
            text.append("".join(run), style)
        text.append("\n")
    if numbered:
        text.right_crop(1)
    return text


def _is_known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def kernel_strengths(kernel: Kernel, layers: int) -> list[float]:
    """λ of every layer."""
    return [kernel.strength(layer) for layer in range(layers)]


def strip_chart(values: Sequence[float], glyphs: Glyphs, highest: float | None = None) -> str:
    """One character a value, as tall as the value."""
    top = highest or max((abs(v) for v in values), default=0.0) or 1.0
    steps = len(glyphs.bars) - 1
    return "".join(glyphs.bars[min(steps, max(0, -(-int(abs(v) / top * steps * 100) // 100)))] for v in values)


def histogram(layer: Histogram, width: int, glyphs: Glyphs) -> Text:
    """How good and bad prompts spread along a layer's direction: two rows of bars over one axis."""
    good, bad = layer.good, layer.bad
    top = max(*good, *bad, 1)
    each = max(1, (width - 6) // len(good))
    text = Text(no_wrap=True)
    for name, counts in (("good", good), ("bad", bad)):
        text.append(f"{name:5} ")
        text.append("".join(c * each for c in strip_chart(counts, glyphs, top)), "bold" if name == "bad" else "")
        text.append("\n")
    left, right = f"{layer.low:.2f}", f"{layer.high:.2f}"
    room = each * len(good) - len(left) - len(right)
    text.append(f"{'along':5} {left}{' ' * max(1, room)}{right}")
    return text


def heat_map(cosines: Sequence[Sequence[float]], selected: int, width: int, glyphs: Glyphs) -> Text:
    """Cosines between the layers' directions: fuller is nearer to 1 (a minus sign where they point apart)."""
    count = len(cosines)
    cell = 2 if count * 2 + 5 <= width else 1
    text = Text(no_wrap=True)
    shades = "  ".join(f"{low:.1f} {shade * 2}" for shade, low in zip(glyphs.shades, _SHADES_FROM, strict=True))
    text.append(f"cosines, from {shades}\n")
    for row in range(count):
        mark = ">" if row == selected else " "
        text.append(f"{mark}{_layer_name(row):>3} ", "bold" if row == selected else "")
        for column in range(count):
            value = cosines[row][column]
            shade = glyphs.shades[min(4, int(abs(value) * 5))]
            glyph = "-" if value <= -0.2 else shade
            chosen = row == selected or column == selected
            text.append(glyph * cell, "bold" if chosen else "")
        text.append("\n")
    return text


def nearest_layers(cosines: Sequence[Sequence[float]], index: int, count: int = 4) -> list[tuple[int, float]]:
    """The other residual indices whose directions are nearest, with their cosines."""
    others = [(i, value) for i, value in enumerate(cosines[index]) if i != index]
    return sorted(others, key=lambda pair: -abs(pair[1]))[:count]


def _layer_name(index: int) -> str:
    return "emb" if index == 0 else str(index - 1)
