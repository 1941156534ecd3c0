"""What follows from the estimates of screened trials: which of them could be on the front, and how far the estimates of
those that were decoded after all were off."""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

# By the setting `screening`: a trial that is beaten by so many standard errors of its estimates is not decoded.
MARGINS = {"safe": 2.0, "fast": 1.0}
# In words, by the same.
MARGIN_WORDS = {"safe": "two standard errors", "fast": "one standard error"}


class Estimated(Protocol):
    """What is known of a trial (run/trial_record.py: TrialRecord)."""

    figures: dict[str, float]
    estimate: dict[str, float]
    error: dict[str, float]
    looked_at: dict[str, int]

    @property
    def measured_figures(self) -> dict[str, float]: ...

    def expected(self, key: str) -> float | None: ...


T = TypeVar("T", bound=Estimated)


def margin_of(screening: str) -> float:
    """Standard errors for a value of the setting; those of `safe` where nothing is screened."""
    return MARGINS.get(screening, MARGINS["safe"])


def at_best(trial: Estimated, key: str, margin: float) -> float | None:
    """The least that a figure of a trial can be: what was measured, or an estimate less its error."""
    if key in trial.figures:
        return trial.figures[key]
    value = trial.expected(key)
    return None if value is None else value - margin * trial.error.get(key, 0.0)


def beaten_by(trial: T, front: Sequence[T], objectives: tuple[str, str], margin: float) -> T | None:
    """The trial of a front that is as good in both objectives as this one is at best; None where there is none, so that
    this one could be on the front.

    Args:
        front: by the second objective, which grows, while the first one shrinks.
        margin: in standard errors.
    """
    first, second = objectives
    own = [at_best(trial, key, margin) for key in objectives]
    if own[0] is None or own[1] is None:
        return None
    place = bisect.bisect_right(front, own[1], key=lambda other: other.figures[second])
    # Of all that are as good in the second objective the one before is the best in the first.
    return front[place - 1] if place and front[place - 1].figures[first] <= own[0] else None


@dataclass(frozen=True)
class Reliability:
    """How far the estimates of trials that were decoded after all were off.

    Attributes:
        trials: how many they are.
        mean: of the differences, without their signs.
        inside: the share of them that are less than two standard errors.
    """

    trials: int
    mean: float
    inside: float


def reliability(trials: Iterable[Estimated], key: str) -> Reliability | None:
    """For one figure, by what was measured; None where no trial was estimated first and decoded then."""
    found = [
        (abs(measured - trial.estimate[key]), trial.error.get(key, 0.0))
        for trial in trials
        if trial.looked_at and key in trial.estimate and (measured := trial.measured_figures.get(key)) is not None
    ]
    if not found:
        return None
    inside = sum(off <= 2 * error for off, error in found) / len(found)
    return Reliability(len(found), statistics.fmean(off for off, _ in found), inside)
