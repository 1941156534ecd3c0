"""Charts that change rarely, as text: curves over the layers, histograms, heat map, kernel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from heretic_tui.engine.parameters import Kernel
from heretic_tui.tui.look import ASCII, Glyphs

# Cells to the left of a chart over the layers.
_AXIS = 9
_COLOUR = "cyan"
# As far as fonts have blocks that hang from above: by eighths.
_HANGING = " ▔▔▀▀▀███"
_SHADES_FROM = (0.0, 0.2, 0.4, 0.6, 0.8)


def curves(series: Mapping[str, Sequence[float | None]], width: int, height: int, glyphs: Glyphs) -> Text:
    """Values over the layers, one chart beneath the other on one scale: in a common chart one would lie over another.
    Filled down to the lowest value, or to zero where some are below it, so that neither a terminal nor a picture of it
    leaves gaps. What is not known is left out. Where `height` is too small for all of them more lines are taken."""
    known = [v for values in series.values() for v in values if v is not None and math.isfinite(v)]
    if width < _AXIS + 16 or not known:
        return Text("")
    scale = _Scale.of(min(known), max(known), max(4, (height - 1) // len(series) - 1))
    layers = max(len(values) for values in series.values())
    # As many columns to each layer; where there are more layers than columns, some are passed over.
    each = max(1, (width - _AXIS) // layers)
    shown = range(layers) if layers <= width - _AXIS else [i * layers // (width - _AXIS) for i in range(width - _AXIS)]
    labels = scale.labels()
    text = Text(no_wrap=True)
    for name, values in series.items():
        text.append(f"{'':{_AXIS}}{name}\n", "bold")
        known_here = [values[i] if i < len(values) else None for i in shown]
        for row in range(scale.above + scale.below):
            text.append(f"{labels.get(row, ''):>{_AXIS - 1}} ")
            for value in known_here:
                text.append(*scale.cell(value, row, each, glyphs))
            text.append("\n")
    return text.append(f"{'layer':>{_AXIS - 1}} {_ticks(shown, each)}")


@dataclass(frozen=True)
class _Scale:
    """Rows above and below a line at `base`, each `unit` high."""

    base: float
    unit: float
    above: int
    below: int

    @classmethod
    def of(cls, low: float, high: float, rows: int) -> _Scale:
        if low >= 0:
            return cls(low, (high - low) / rows, rows, 0)
        high = max(high, 0.0)
        above = min(rows - 1, max(round(rows * high / (high - low)), 1))
        return cls(0.0, max(high / above, -low / (rows - above)), above, rows - above)

    def labels(self) -> dict[int, str]:
        """By row, the ends of the scale and its line."""
        rows = self.above + self.below
        ends = {0: self.base + self.above * self.unit, rows - 1: self.base - self.below * self.unit}
        if self.below and self.above > 1:
            ends[self.above - 1] = self.base
        form = "{:.3f}" if max(abs(value) for value in ends.values()) < 10 else "{:.1f}"
        return {row: form.format(value) for row, value in ends.items()}

    def cell(self, value: float | None, row: int, width: int, glyphs: Glyphs) -> tuple[str, str]:
        """What stands for a value in a row, and its style."""
        if value is None or not math.isfinite(value):
            return " " * width, ""
        full = len(glyphs.bars) - 1
        tall = (value - self.base) / self.unit * full if self.unit else self.above * full
        if row < self.above:
            # A value at the line is not nothing.
            least = int(row == self.above - 1)
            step = max(least, min(full, round(tall) - (self.above - 1 - row) * full))
            return _filled(glyphs.bars[step], width, glyphs)
        step = max(0, min(full, round(-tall) - (row - self.above) * full))
        return _filled(glyphs.bars[step] if glyphs is ASCII else _HANGING[step], width, glyphs)


def _filled(glyph: str, width: int, glyphs: Glyphs) -> tuple[str, str]:
    # With the ground in the same colour, pictures of the screen show no lines between neighbouring blocks.
    return glyph * width, f"{_COLOUR} on {_COLOUR}" if glyph == glyphs.bars[-1] and glyphs is not ASCII else _COLOUR


def _ticks(shown: Sequence[int], each: int) -> str:
    """The numbers of the layers under their columns, as many as there is room for, at even distances."""
    room = len(str(shown[-1])) + 2
    apart = -(-room // each)
    return "".join(f"{shown[i]:<{apart * each}}" for i in range(0, len(shown), apart)).rstrip()


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
