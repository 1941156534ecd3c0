"""The front of a run: complete trials that no other beats in both objectives (Pareto)."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

from heretic_tui.run.trial_record import TrialRecord

# Keys of the first and the second objective.
Objectives = tuple[str, str]


def pareto_front(trials: Iterable[TrialRecord], objectives: Objectives) -> list[TrialRecord]:
    """The complete trials that no other is at least as good as in both objectives and better in one, by the second
    objective, then the first."""
    front: list[TrialRecord] = []
    for trial in trials:
        if can_be_compared(trial, objectives):
            enter_front(front, trial, objectives)
    return front


def enter_front(front: list[TrialRecord], trial: TrialRecord, objectives: Objectives) -> bool:
    """Take a complete trial into a front where no other of it is better, in place of those that it beats. Returns
    whether the front has a point now that it had not (another trial may have had the same figures)."""
    own = _order(trial, objectives)
    place = bisect.bisect_left(front, own, key=lambda each: _order(each, objectives))
    # Along the front the second objective grows and the first one shrinks, so the one before is best in the first of
    # all that are better in the second.
    if place and _beats(_order(front[place - 1], objectives), own):
        return False
    end = place
    while end < len(front) and _beats(own, _order(front[end], objectives)):
        end += 1
    same = any(_order(other, objectives)[:2] == own[:2] for other in front[max(0, place - 1) : place + 1])
    front[place:end] = [trial]
    return not same


def holds(front: list[TrialRecord], trial: TrialRecord, objectives: Objectives) -> bool:
    """Whether a trial is on a front."""
    if not can_be_compared(trial, objectives):
        return False
    place = bisect.bisect_left(front, _order(trial, objectives), key=lambda each: _order(each, objectives))
    return place < len(front) and front[place] is trial


def can_be_compared(trial: TrialRecord, objectives: Objectives) -> bool:
    """Whether a trial has an end with both objectives measured in full."""
    return trial.state == "complete" and all(key in trial.figures for key in objectives)


def _order(trial: TrialRecord, objectives: Objectives) -> tuple[float, float, int]:
    first, second = objectives
    return trial.figures[second], trial.figures[first], trial.number


def _beats(one: tuple[float, float, int], other: tuple[float, float, int]) -> bool:
    return one[0] <= other[0] and one[1] <= other[1] and one[:2] != other[:2]
