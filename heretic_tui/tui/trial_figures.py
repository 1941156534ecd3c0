"""The figures of a trial, with the signs for what is an estimate, at least so much, or overruled by a person."""

from __future__ import annotations

from collections.abc import Sequence

from heretic_tui.figures import REFUSALS, Figure, in_tables
from heretic_tui.run.state import TrialRecord
from heretic_tui.tui.glyphs import Glyphs


def figure_text(trial: TrialRecord, figure: Figure, glyphs: Glyphs) -> str:
    """The figure that decides the trial's place, and how it is known."""
    value = trial.shown(figure)
    if value is None:
        if figure.key == REFUSALS and trial.so_far and trial.state == "running":
            # Of those that were judged: 4 of the first 31.
            return figure.text(*trial.so_far)
        return figure.text(trial.measured.get(figure.key))
    overruled = glyphs.overruled if trial.correction and figure.key == REFUSALS else ""
    return sign_of(trial, figure, glyphs) + figure.text(value, trial.prompts) + overruled


def sign_of(trial: TrialRecord, figure: Figure, glyphs: Glyphs) -> str:
    """What stands before a figure that was not measured to its end: about so much, or at least; empty where it was."""
    if figure.key not in trial.at_least:
        return ""
    return glyphs.about if figure.key in trial.estimate else glyphs.at_least


def figures_of(trial: TrialRecord, figures: Sequence[Figure], glyphs: Glyphs) -> list[str]:
    """3/100, KL 0.0812: the two that tables show first."""
    return [
        f"{'' if figure.counted else figure.short + ' '}{figure_text(trial, figure, glyphs) or '-'}"
        for figure in in_tables(figures)[:2]
    ]
