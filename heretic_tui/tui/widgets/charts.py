"""Charts that change rarely, as text: curves over the layers (plotext), histograms, heat map, kernel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from heretic_tui.engine.parameters import Kernel
from heretic_tui.tui.look import ASCII, Glyphs, to_ascii

_SGR = re.compile(r"\x1b\[[0-9;]*m")
_MARKERS = ("braille", "•", "×", "∘")
_SHADES_FROM = (0.0, 0.2, 0.4, 0.6, 0.8)
_KEYS = ("⣿", "•", "×", "∘")


def curves(series: Mapping[str, Sequence[float]], width: int, height: int, glyphs: Glyphs, start: int = 0) -> Text:
    """Curves over the layers, told apart by their markers; `start` is the layer of the first value."""
    if width < 24 or height < 5 or not series:
        return Text("")
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    # The room is ours to know: plotext would cut the plot to the size of the terminal as it was at some time.
    plotext.limit_size(False, False)
    plotext.plotsize(width, height - 1)
    keys = []
    for index, (name, values) in enumerate(series.items()):
        marker = _MARKERS[index % len(_MARKERS)]
        plotext.plot(list(range(start, start + len(values))), list(values), marker=marker)
        keys.append(f"{_KEYS[index % len(_KEYS)]} {name}")
    longest = max(len(values) for values in series.values())
    step = max(1, longest // max(1, width // 8))
    ticks = list(range(start, start + longest, step))
    plotext.xticks(ticks, [str(tick) for tick in ticks])
    plotext.frame(False)
    drawn = _SGR.sub("", plotext.build())
    lines = ["  ".join(keys)[:width], *(line.rstrip()[:width] for line in drawn.splitlines())]
    text = "\n".join(lines)
    return Text(to_ascii(text) if glyphs is ASCII else text, no_wrap=True)


def kernel_strengths(kernel: Mapping[str, float], layers: int) -> list[float]:
    """λ of every layer, of a kernel as events hold it."""
    return [Kernel(**kernel).strength(layer) for layer in range(layers)]


def strip_chart(values: Sequence[float], glyphs: Glyphs, highest: float | None = None) -> str:
    """One character a value, as tall as the value."""
    top = highest or max((abs(v) for v in values), default=0.0) or 1.0
    steps = len(glyphs.bars) - 1
    return "".join(glyphs.bars[min(steps, max(0, -(-int(abs(v) / top * steps * 100) // 100)))] for v in values)


def histogram(layer: Mapping[str, Any], width: int, glyphs: Glyphs) -> Text:
    """How good and bad prompts spread along a layer's direction: two rows of bars over one axis."""
    good, bad = layer["good"], layer["bad"]
    top = max(*good, *bad, 1)
    each = max(1, (width - 6) // len(good))
    text = Text(no_wrap=True)
    for name, counts in (("good", good), ("bad", bad)):
        text.append(f"{name:5} ")
        text.append("".join(c * each for c in strip_chart(counts, glyphs, top)), "bold" if name == "bad" else "")
        text.append("\n")
    left, right = f"{layer['low']:.2f}", f"{layer['high']:.2f}"
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
