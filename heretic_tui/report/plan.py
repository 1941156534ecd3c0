"""What a run took beside what was planned, as words."""

from __future__ import annotations

from collections.abc import Sequence

from heretic_tui.events import Compared
from heretic_tui.words import duration, size_words


def compared_words(rows: Sequence[Compared]) -> str:
    """`first trial 4.0 s (planned 3.7 s), memory not measured (planned 12.3 GB)`; empty where nothing is known."""
    return ", ".join(f"{row.name} {was_words(row)} (planned {planned_words(row)})" for row in rows)


def was_words(row: Compared) -> str:
    """What a figure came to."""
    return _value(row, row.was)


def planned_words(row: Compared) -> str:
    """What was planned of it, such as `up to 3.7 s`."""
    return f"{'up to ' if row.at_most and row.planned is not None else ''}{_value(row, row.planned)}"


def _value(row: Compared, value: float | None) -> str:
    if value is None:
        return "not known" if row.unit == "s" else "not measured"
    return duration(value) if row.unit == "s" else size_words(value)
