"""Small charts as text: histograms, heat map, bars, strengths of a kernel. (Curves: layer_chart.py, braille.py.)"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rich.text import Text

from heretic_tui.behaviour import USUAL, Behaviour
from heretic_tui.layer_figures import Histogram, layer_name
from heretic_tui.parameters import Kernel
from heretic_tui.tui.glyphs import ASCII, Glyphs
from heretic_tui.tui.themes import Looks

_SHADES_FROM = (0.0, 0.2, 0.4, 0.6, 0.8)
_EIGHTHS = " ▏▎▍▌▋▊▉"
_FULL_STRENGTH = 1.5
# Cells of the names of both sets.
_NAMES = 9


def kernel_strengths(kernel: Kernel, layers: int) -> list[float]:
    """λ of every layer."""
    return [kernel.strength(layer) for layer in range(layers)]


def strip_chart(values: Sequence[float], glyphs: Glyphs, highest: float | None = None) -> str:
    """One character a value, as tall as the value."""
    top = highest or max((abs(v) for v in values), default=0.0) or 1.0
    steps = len(glyphs.bars) - 1
    return "".join(glyphs.bars[min(steps, max(0, -(-int(abs(v) / top * steps * 100) // 100)))] for v in values)


def drawn_strengths(values: Sequence[float], cells: int, glyphs: Glyphs) -> str:
    """Strengths over the layers in at most so many cells, each as high as the strongest of its layers."""
    count = min(cells, len(values))
    bounds = [len(values) * place // max(1, count) for place in range(count + 1)]
    # Where directions are added, strengths lie below 0; what counts is how far.
    tops = [max(map(abs, values[a:b])) for a, b in itertools.pairwise(bounds)]
    return strip_chart(tops, glyphs, _FULL_STRENGTH)


def bar(share: float, width: int, glyphs: Glyphs) -> str:
    """A bar of up to `width` cells, to an eighth of one; anything above nothing is seen."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    if glyphs is ASCII:
        return glyphs.full * max(bool(eighths), eighths // 8)
    eighths = max(eighths, int(share > 0))
    return (glyphs.full * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def gauge(share: float, width: int, glyphs: Glyphs) -> tuple[str, str]:
    """The full and the empty cells of a bar that is always `width` cells wide."""
    filled = max(0, min(width, round(width * share)))
    return glyphs.full * filled, glyphs.empty * (width - filled)


def histogram(layer: Histogram, width: int, look: Looks, glyphs: Glyphs, behaviour: Behaviour = USUAL) -> Text:
    """How harmless and harmful prompts spread along a layer's direction: two rows of bars over one axis."""
    top = max(*layer.good, *layer.bad, 1)
    each = max(1, (width - _NAMES) // len(layer.good))
    text = Text(no_wrap=True)
    for name, counts, style in ((behaviour.good, layer.good, look.link), (behaviour.bad, layer.bad, look.bad)):
        text.append(f"{name:{_NAMES}}", style)
        text.append("".join(c * each for c in strip_chart(counts, glyphs, top)) + "\n", style)
    left, right = f"{layer.low:.2f}", f"{layer.high:.2f}"
    room = each * len(layer.good) - len(left) - len(right)
    return text.append(f"{'':{_NAMES}}{left}{' ' * max(1, room)}{right}", look.dim)


def heat_map(cosines: Sequence[Sequence[float]], selected: int, width: int, look: Looks, glyphs: Glyphs) -> Text:
    """Cosines between the layers' directions: fuller is nearer to 1 (a minus sign where they point apart)."""
    count = len(cosines)
    cell = 2 if count * 2 + 5 <= width else 1
    text = Text(no_wrap=True)
    shades = "  ".join(f"{low:.1f} {shade * 2}" for shade, low in zip(glyphs.shades, _SHADES_FROM, strict=True))
    text.append(f"from {shades}\n", look.dim)
    for row in range(count):
        mark = ">" if row == selected else " "
        text.append(f"{mark}{layer_name(row):>3} ", f"bold {look.link}" if row == selected else look.dim)
        for column in range(count):
            value = cosines[row][column]
            shade = glyphs.shades[min(4, int(abs(value) * 5))]
            glyph = "-" if value <= -0.2 else shade
            chosen = row == selected or column == selected
            text.append(glyph * cell, look.link if chosen else look.ink)
        text.append("\n")
    return text


def nearest_layers(cosines: Sequence[Sequence[float]], index: int, count: int = 4) -> list[tuple[int, float]]:
    """The other residual indices whose directions are nearest, with their cosines."""
    others = [(i, value) for i, value in enumerate(cosines[index]) if i != index]
    return sorted(others, key=lambda pair: -abs(pair[1]))[:count]
