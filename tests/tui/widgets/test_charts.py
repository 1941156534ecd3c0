"""Charts as text."""

from __future__ import annotations

import itertools
import math

from heretic_tui.tui.glyphs import ASCII, UNICODE
from heretic_tui.tui.widgets.charts import curves


def test_curves_that_are_compared_have_one_scale_and_hide_nothing() -> None:
    values: dict[str, list[float | None]] = {
        "one": [0.5, 0.75, 1.0, 0.5],
        "other": [0.5, 0.75, 1.0, 0.5],
        "gone": [None, math.nan, 0.0, 1.0],
    }
    for glyphs in (UNICODE, ASCII):
        lines = curves(values, 50, 20, glyphs).plain.splitlines()
        assert glyphs is UNICODE or all(line.isascii() for line in lines)
        places = [next(i for i, line in enumerate(lines) if line.strip() == name) for name in values]
        charts = [lines[a + 1 : b] for a, b in itertools.pairwise([*places, len(lines) - 1])]
        assert charts[0] == charts[1]
        assert all(chart[0].split()[0] == "1.000" and chart[-1].split()[0] == "0.000" for chart in charts)
        assert all(len(chart[-1]) == 50 for chart in charts)
        for chart in charts[:2]:
            assert " " not in chart[-1][8:], "no column is left blank"
        left, right = charts[2][-1][8:34].strip(), charts[2][-1][36:].strip()
        assert (bool(left), bool(right)) == (False, True), "what is not known is left out"
    assert "120" in curves({"many": [float(n) for n in range(126)]}, 140, 8, UNICODE).plain.splitlines()[-1]
    signed = curves({"edit": [-1.0, 0.0, 4.0, -4.0], "add": [1.0, 2.0, 4.0, 0.0]}, 49, 15, UNICODE)
    edit, add = (signed.plain.splitlines()[a : a + 6] for a in (1, 8))
    for chart in (edit, add):
        assert [row.split()[0] for row in chart if row[:8].strip()] == ["4.000", "0.000", "-4.000"]
        assert all(any(row[column : column + 1].strip() for row in chart) for column in range(8, 49)), "no gap"
    assert not add[-1][8:].strip(), "nothing hangs from the line where all values are above it"
    assert edit[-1][40:].strip(), "what is lowered hangs from the line"
    assert not edit[0][40:].strip()
    assert curves({"nothing": [None]}, 50, 10, UNICODE).plain == ""
