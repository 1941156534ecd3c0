"""Facts of a run as lines: the front as a table, a direction in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from heretic_tui.figures import Figure, in_tables
from heretic_tui.run.state import TrialRecord


def front_table(front: Sequence[TrialRecord], figures: Sequence[Figure]) -> list[str]:
    """Lines with number, figures and direction of each trial."""
    shown = in_tables(figures)
    widths = [max(8, figure.width) for figure in shown]

    def line(number: object, cells: Iterable[str], direction: str) -> str:
        padded = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        return f"{number:>5}  {padded}  {direction}"

    lines = [line("trial", (figure.short for figure in shown), "direction")]
    for trial in front:
        cells = (figure.text(trial.figures.get(figure.key), trial.prompts) for figure in shown)
        lines.append(line(trial.number, cells, direction_words(trial.parameters)))
    return lines


def figures_sentence(trial: TrialRecord, figures: Sequence[Figure]) -> str:
    """Figures of a trial that was measured in full, such as `5 refused, KL 0.0123`."""
    return ", ".join(figure.sentence(trial.figures.get(figure.key), None) for figure in in_tables(figures))


def direction_words(parameters: dict[str, Any]) -> str:
    index = parameters.get("direction_index")
    return "per layer" if index is None else f"layer {index:.2f}"
