"""Small charts as text."""

from __future__ import annotations

from heretic_tui.layer_figures import Histogram
from heretic_tui.tui.glyphs import ASCII, UNICODE
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.charts import bar, histogram

LOOK = Looks("ink", "dim", "frame", "focus", "link", "good", "bad", "busy", "base")


def test_a_bar_is_as_long_as_its_share() -> None:
    assert bar(1.0, 4, UNICODE) == "████"
    assert bar(0.5, 4, UNICODE) == "██"
    assert bar(0.3, 4, UNICODE) == "█▎"
    assert bar(0.001, 4, UNICODE) == "▏", "something is never nothing"
    assert bar(0.0, 4, UNICODE) == ""
    assert bar(7.0, 4, UNICODE) == "████", "never longer than its room"
    assert [bar(share, 4, ASCII) for share in (0.0, 0.1, 0.5, 1.0)] == ["", "#", "##", "####"]


def test_both_sets_lie_over_one_axis() -> None:
    found = Histogram(-1.5, 3.0, [4, 2, 0, 0], [0, 0, 1, 4])
    for glyphs in (UNICODE, ASCII):
        harmless, harmful, axis = histogram(found, 49, LOOK, glyphs).plain.splitlines()
        assert harmless.split()[0] == "harmless"
        assert harmful.split()[0] == "harmful"
        bars = harmless[9:], harmful[9:]
        assert all(len(line) == 40 for line in bars)
        assert [line[25].strip() == "" for line in bars] == [True, False]
        assert axis.split() == ["-1.50", "3.00"]
        assert glyphs is UNICODE or (harmless + harmful).isascii()
