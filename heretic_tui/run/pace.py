"""How fast the trials of a search follow each other, and what that says of the time left."""

from __future__ import annotations

import statistics
from collections import deque

from heretic_tui.run.trial_record import TrialRecord

# The time left is reckoned from so many trials; where some are screened and decoded later, from more.
_LATEST, _LATEST_SCREENED = 20, 80


class Pace:
    """The latest trials that were measured, and when those of this session ended, in seconds since 1970 without the
    pauses."""

    def __init__(self) -> None:
        self._latest: deque[TrialRecord] = deque(maxlen=_LATEST_SCREENED)
        self._ended_at: deque[float] = deque(maxlen=_LATEST_SCREENED)
        # When a pause began, and seconds of those that have ended.
        self._paused_at: float | None = None
        self._paused_for = 0.0

    def begin_session(self) -> None:
        self._ended_at.clear()
        self._paused_at = None

    def turn(self, at: float, paused: bool) -> None:
        """The search is paused, or is not any more."""
        if paused:
            self._paused_at = at
        elif self._paused_at is not None:
            self._paused_for += at - self._paused_at
            self._paused_at = None

    def take(self, trial: TrialRecord, at: float) -> None:
        """Take in a trial that has ended for the first time."""
        self._latest.append(trial)
        self._ended_at.append(at - self._paused_for)

    def trials_a_minute(self, workers: int) -> float | None:
        """How fast the latest trials of this session ended, pauses left out; None before there are some."""
        ends = self._ended_at
        # Those that were measured together end together.
        if len(ends) <= max(2, 2 * workers) or ends[-1] <= ends[0]:
            return None
        return 60 * (len(ends) - 1) / (ends[-1] - ends[0])

    def seconds_left(self, trials: int, workers: int, at_work: int) -> float | None:
        """Time that so many trials more will take, by the mean of the latest; None until one has finished. With workers
        it goes by how fast trials follow each other.

        Args:
            at_work: how many of the workers have their model.
        """
        if not self._latest:
            return None
        if workers and (rate := self.trials_a_minute(workers)):
            return 60 / rate * trials
        # The mean: screened and dominated trials take a fraction of the time of others, and all kinds will come.
        latest = list(self._latest)
        if not any(trial.looked_at for trial in latest):
            latest = latest[-_LATEST:]
        return statistics.fmean(trial.seconds for trial in latest) * trials / (at_work or 1)
