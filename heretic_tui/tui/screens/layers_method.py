"""Which direction method is shown on the Layers screen where a run has several: a run's state as that one found it."""

from __future__ import annotations

import copy
from dataclasses import replace

from heretic_tui.layer_figures import several_directions
from heretic_tui.report.layers import of_method
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.words import plain


def methods_of(state: RunState) -> tuple[str, ...]:
    """The run's methods of which something can be shown, the first one first; none before directions are found."""
    found = state.directions
    return (found.method, *found.others) if found else ()


def as_found_by(state: RunState, method: str) -> RunState:
    """The state with the directions of another method, and what the analysis of the layers says of these; the same
    where there is no such method, or it is the first."""
    found, analysis = state.directions, state.analysis
    if found is None or method not in found.others:
        return state
    own = found.others[method]
    layers = [replace(layer, separation=apart) for layer, apart in zip(found.layers, own.separations, strict=True)]
    shown = copy.copy(state)
    shown.directions = replace(
        found,
        layers=layers,
        histograms=own.histograms,
        cosines=own.cosines,
        rank=found.ranks.get(method, 1),
        method=method,
        left_alone=own.left_alone,
    )
    if analysis:
        shown.analysis = of_method(analysis, method, found.method)
        rank = found.ranks.get(method, 1)
        if rank > 1 and method not in analysis.other_notes:
            # An older version kept no notes on it.
            shown.analysis = replace(shown.analysis, notes=[several_directions(rank), *shown.analysis.notes])
    return shown


def left_alone_by(state: RunState, trial: TrialRecord | None) -> frozenset[int]:
    """Layers that a trial leaves alone, whatever its kernels say: those of the mask of its own method."""
    found = state.directions
    if found is None or trial is None or trial.parameters is None:
        return frozenset()
    own = found.others.get(trial.parameters.direction_method or "")
    return frozenset(own.left_alone if own else found.left_alone)


def method_title(state: RunState, method: str) -> str:
    """Behind a pane's title, which of the run's methods is shown; empty where there is one alone."""
    known, found = methods_of(state), state.directions
    if len(known) < 2:
        # A run of before kept nothing of the others.
        return f": {named(found.method)}" if found and len(found.ranks) > 1 else ""
    shown = method if method in known else known[0]
    return f": {named(shown)} ({known.index(shown) + 1} of {len(known)})"


def method_words(state: RunState, method: str, trial: TrialRecord | None) -> str:
    """Which method is shown, and whether the selected trial's edit is of another; empty where there is one alone."""
    known = methods_of(state)
    if len(known) < 2:
        return ""
    shown = method if method in known else known[0]
    words = f"Directions of {named(shown)} ({known.index(shown) + 1} of {len(known)}; d: next method)."
    own = trial.parameters.direction_method if trial and trial.parameters else None
    if trial and own and own != shown:
        words += f" Trial {trial.number} ablates those of {named(own)}."
    return words


def named(method: str) -> str:
    return plain(method).replace("_", " ")
