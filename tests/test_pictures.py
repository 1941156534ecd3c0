"""Pictures of the screen."""

from __future__ import annotations

import re

from tools.pictures import for_any_font

CELL, LINE = 12.2, 24.4


def test_braille_is_drawn_as_dots_in_its_cells() -> None:
    """The upper left dot of the first cell, and the lower right one of the third."""
    text = '<text class="r1" x="122" y="20" textLength="36.6" clip-path="url(#a)">\u2801 \u2880</text>'
    drawn = for_any_font(text)
    assert not re.search("[\u2800-\u28ff]", drawn)
    (path,) = re.findall(r'<path class="r1" clip-path="url\(#a\)" d="([^"]*)"/>', drawn)
    starts = [(float(x) + 1.75, float(y)) for x, y in re.findall(r"M([0-9.]+) ([0-9.]+)a", path)]
    (x0, y0), (x1, y1) = starts
    assert 122 < x0 < 122 + CELL / 2
    assert 122 + 2.5 * CELL < x1 < 122 + 3 * CELL
    assert 20 - 18.5 < y0 < 20 - 18.5 + LINE / 4 < 20 - 18.5 + LINE * 3 / 4 < y1 < 20 - 18.5 + LINE


def test_letters_and_spaces_stay_where_they_were() -> None:
    drawn = for_any_font('<text class="r1" x="0" y="20">&#160;&#160;a &lt; b</text>')
    assert drawn == '<text xml:space="preserve" class="r1" x="0" y="20">\u00a0\u00a0a &lt; b</text>'
