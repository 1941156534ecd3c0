"""The figures of a trial, with the signs for what is an estimate, at least so much, or overruled by a person; and the
signs of the trial itself."""

from __future__ import annotations

from collections.abc import Sequence

from heretic_tui.figures import REFUSALS, Figure, in_tables
from heretic_tui.report.lines import error_text
from heretic_tui.run.annotations import Annotations
from heretic_tui.run.start import gains_nothing
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.tui.glyphs import Glyphs


def figure_text(trial: TrialRecord, figure: Figure, glyphs: Glyphs) -> str:
    """The figure that decides the trial's place, and how it is known; of a trial in hand how far it is."""
    if figure.key == REFUSALS and trial.so_far and trial.runs:
        # Of those that were judged: 4 of the first 31.
        return figure.text(*trial.so_far)
    value = trial.shown(figure)
    if value is None:
        return figure.text(trial.measured.get(figure.key))
    overruled = glyphs.overruled if trial.correction and figure.key == REFUSALS else ""
    return sign_of(trial, figure, glyphs) + figure.text(value, trial.out_of) + overruled


def sign_of(trial: TrialRecord, figure: Figure, glyphs: Glyphs) -> str:
    """What stands before a figure that was not measured to its end: about so much, or at least; empty where it was."""
    if trial.estimates(figure.key):
        return glyphs.about
    return glyphs.at_least if figure.key in trial.at_least else ""


def estimate_words(trial: TrialRecord, figure: Figure, glyphs: Glyphs) -> str:
    """An estimate with its standard error, as sentences have it: ≈ 12 ± 2."""
    value, error = f"{glyphs.about} {figure.text(trial.shown(figure))}", trial.error.get(figure.key)
    return value if error is None else f"{value} {glyphs.give_or_take} {error_text(figure, error)}"


def figures_of(trial: TrialRecord, figures: Sequence[Figure], glyphs: Glyphs) -> list[str]:
    """3/100, KL 0.0812: the two that tables show first."""
    return [
        f"{'' if figure.counted else figure.short + ' '}{figure_text(trial, figure, glyphs) or '-'}"
        for figure in in_tables(figures)[:2]
    ]


def signs_of(number: int, state: RunState, annotations: Annotations, glyphs: Glyphs) -> list[str]:
    """What stands behind the name of a trial: that it is on the front, that it is marked."""
    signs = [glyphs.marked] * annotations.marked(number)
    if state.on_front(number):
        in_vain = gains_nothing(state.trials[number], state.start, state.objectives)
        signs.insert(0, glyphs.in_vain if in_vain else glyphs.front)
    return signs
