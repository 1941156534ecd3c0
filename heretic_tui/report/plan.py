"""What a run took beside what was planned, as words."""

from __future__ import annotations

from collections.abc import Sequence

from heretic_tui.run.plan import Compared
from heretic_tui.words import duration, size_words


def compared_words(rows: Sequence[Compared]) -> str:
    """`first trial 4.0 s (planned 3.7 s), memory not measured (planned 12.3 GB)`; empty where nothing is known."""
    return ", ".join(f"{row.name} {_value(row, row.was)} (planned {_value(row, row.planned)})" for row in rows)


def _value(row: Compared, value: float | None) -> str:
    if value is None:
        return "not known" if row.unit == "s" else "not measured"
    return duration(value) if row.unit == "s" else size_words(value)
