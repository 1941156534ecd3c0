"""Trials of a second round beside its start: the edit that the round is on top of.

The front knows nothing of a start. The sampler and the screening go by what the search itself found, and a round that
brought nothing better would have no front at all. So a trial on the front that gains nothing stays there, and is told
apart wherever people see it."""

from __future__ import annotations

from collections.abc import Sequence

from heretic_tui.events import StartMeasured
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord


def better_in(trial: TrialRecord, start: StartMeasured, keys: Sequence[str]) -> list[bool]:
    """Of each figure, whether it was measured of a trial and is less than the start's."""
    known = trial.figures.keys() & start.figures.keys()
    return [key in known and trial.figures[key] < start.figures[key] for key in keys]


def gains_nothing(trial: TrialRecord, start: StartMeasured | None, keys: Sequence[str]) -> bool:
    """Whether there is a start, and a trial is better than it in none of the figures."""
    return start is not None and not any(better_in(trial, start, keys))


def on_front_in_vain(state: RunState) -> frozenset[int]:
    """The numbers of the trials on the front that gain nothing."""
    return frozenset(trial.number for trial in state.front() if gains_nothing(trial, state.start, state.objectives))
