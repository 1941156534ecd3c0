"""Pictures of the screen that look the same whichever fonts there are: Textual's SVG with every cell in its place.

Textual's export asks for a font from the network, which README pages and `rsvg-convert` do not fetch. Of the fonts that
stand in for it none has braille in the width of a cell (DejaVu Sans Mono has none at all, DejaVu Sans a wider one), so
the dots are drawn as shapes.
"""

from __future__ import annotations

import html
import re

# What Rich's export measures with, in units of the picture.
_CELL, _LINE = 12.2, 24.4
# Where a line begins above the baseline of its text.
_ABOVE = 18.5
_RADIUS = 1.75
# The advance of DejaVu Sans Mono is 1233 of 2048 units: at this size it is a cell.
_SIZE = _CELL * 2048 / 1233
_TEXT = re.compile(r"<text ([^>]*)>([^<]*)</text>")
_AT = re.compile(r'\b(x|y)="([0-9.]+)"')
_KEPT = re.compile(r'(?:class|clip-path)="[^"]*"')
# Column and row of each of the dots, by its bit.
_DOTS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))


def for_any_font(svg: str) -> str:
    """The picture with its spaces kept, its letters as wide as a cell, and its braille as shapes."""
    svg = re.sub(r'font-family: "?Fira Code"?, *monospace', 'font-family: "DejaVu Sans Mono", monospace', svg)
    svg = re.sub(r"font-size: 20px", f"font-size: {_SIZE:.3f}px", svg)
    return _TEXT.sub(_placed, svg)


def _placed(found: re.Match[str]) -> str:
    """An element of text; beside it a path with the dots of the braille that was in it."""
    attributes, text = found.group(1), html.unescape(found.group(2))
    place = {name: float(value) for name, value in _AT.findall(attributes)}
    dots = []
    for column, glyph in enumerate(text):
        if "\u2800" <= glyph <= "\u28ff":
            for bit, (across, down) in enumerate(_DOTS):
                if (ord(glyph) - 0x2800) >> bit & 1:
                    x = place["x"] + (column + 0.25 + across / 2) * _CELL - _RADIUS
                    y = place["y"] - _ABOVE + (0.125 + down / 4) * _LINE
                    dots.append(f"M{x:.1f} {y:.1f}a{_RADIUS} {_RADIUS} 0 1 0 {2 * _RADIUS} 0")
                    dots.append(f"a{_RADIUS} {_RADIUS} 0 1 0 {-2 * _RADIUS} 0")
    plain = re.sub("[\u2800-\u28ff]", "\u00a0", text)
    shown = f'<text xml:space="preserve" {attributes}>{html.escape(plain, quote=False)}</text>' if plain.strip() else ""
    if not dots:
        return shown
    return f'{shown}<path {" ".join(_KEPT.findall(attributes))} d="{"".join(dots)}"/>'
