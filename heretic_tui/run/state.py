"""RunState: what is known of a run, folded from its events; live or replayed, the same."""

from __future__ import annotations

import bisect
import statistics
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from heretic_tui import events as ev

DIED = "the process died"
# A trial in one of these states has an end; others are taken up again.
MEASURED_STATES = ("complete", "dominated")
FINISHED = (*MEASURED_STATES, "failed")
# The time left is reckoned from so many trials.
_LATEST = 20


@dataclass
class TrialRecord:
    """One trial. `refusals` is None unless it is complete: a dominated one has `at_least` so many, and an `estimate`.
    `measured` holds, by the metric's name, what is known before the end; `sampled` is what the parameters were made
    of."""

    number: int
    parameters: dict[str, Any]
    state: str = "running"
    kl_divergence: float | None = None
    refusals: int | None = None
    at_least: int | None = None
    estimate: float | None = None
    prompts: int | None = None
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    attempts: int = 1
    measured: dict[str, float] = field(default_factory=dict)
    sampled: dict[str, Any] = field(default_factory=dict)

    @property
    def expected_refusals(self) -> float | None:
        """What decides the place of a trial among others, in a table and on a plot: its refusals, or where they were
        not counted to the end the estimate of them, or those that are certain."""
        if self.refusals is not None:
            return self.refusals
        return self.at_least if self.estimate is None else self.estimate

    @property
    def shown_refusals(self) -> int | None:
        """Expected refusals as a whole number, never less than are certain."""
        expected = self.expected_refusals
        return None if expected is None else max(round(expected), self.at_least or 0)


@dataclass
class RunState:
    """The state of one run. `fold` is the only thing that changes it, and takes about as long for the last of many
    thousand trials as for the first: what screens and printers ask for at every event is kept up to date.

    Attributes:
        finished: number of trials that have an end: complete, dominated or failed.
    """

    opened: ev.RunOpened | None = None
    model: ev.ModelLoaded | None = None
    coverage: ev.Coverage | None = None
    batch_size: int | None = None
    prefix: ev.ResponsePrefixFound | None = None
    base: ev.BaselineMeasured | None = None
    directions: ev.DirectionsFound | None = None
    analysis: ev.LayersAnalysed | None = None
    memory: ev.Memory | None = None
    phase: str | None = None
    phases: dict[str, float] = field(default_factory=dict)
    progress: ev.Progress | None = None
    state: str = "running"
    n_trials: int = 0
    trials: dict[int, TrialRecord] = field(default_factory=dict)
    notices: list[ev.Notice] = field(default_factory=list)
    export: ev.ExportStarted | ev.ExportFinished | None = None
    outcome: str | None = None
    reason: str | None = None
    ended: float | None = None
    finished: int = 0
    # Those in hand, by number; the times of the latest that were measured; the front as it stands, in its order, None
    # when it has to be found anew.
    _in_hand: dict[int, TrialRecord] = field(default_factory=dict, repr=False, compare=False)
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=_LATEST), repr=False, compare=False)
    _front: list[TrialRecord] | None = field(default_factory=list, repr=False, compare=False)

    def fold(self, event: ev.Event) -> None:
        match event:
            case ev.RunOpened():
                self.opened, self.n_trials = event, event.n_trials
                self.outcome = self.reason = self.ended = None
                self.state = "running"
                # What was running when the last process died is not running now.
                for trial in self._in_hand.values():
                    trial.state, trial.reason = "stopped", DIED
                self._in_hand.clear()
                if isinstance(self.export, ev.ExportStarted):
                    self.export = None
            case ev.ModelLoaded():
                self.model = event
            case ev.Coverage():
                self.coverage = event
            case ev.BatchSizeChosen():
                self.batch_size = event.batch_size
            case ev.ResponsePrefixFound():
                self.prefix = event
            case ev.BaselineMeasured():
                self.base = event
            case ev.DirectionsFound():
                self.directions = event
            case ev.LayersAnalysed():
                self.analysis = event
            case ev.Memory():
                self.memory = event
            case ev.PhaseStarted():
                self.phase, self.progress = event.phase, None
            case ev.PhaseFinished():
                self.phases[event.phase] = event.seconds
            case ev.Progress():
                self.progress = event
            case ev.TrialStarted():
                self._forget_end(event.number)
                begun = TrialRecord(event.number, event.parameters, attempts=event.attempt, sampled=event.sampled)
                self.trials[event.number] = self._in_hand[event.number] = begun
            case ev.Measured():
                numbers = list(self._in_hand) if event.number is None else [event.number]
                for number in numbers:
                    if number in self.trials:
                        self.trials[number].measured[event.metric] = event.value
            case ev.TrialFinished():
                self._finish(event)
            case ev.TargetChanged():
                self.n_trials = event.n_trials
            case ev.StateChanged():
                self.state = event.state
            case ev.Notice():
                self.notices.append(event)
            case ev.RunEnded():
                self.outcome, self.reason, self.ended = event.outcome, event.reason, event.time
                self.progress = None
            case ev.ExportStarted() | ev.ExportFinished():
                self.export, self.progress = event, None

    def _finish(self, event: ev.TrialFinished) -> None:
        self._forget_end(event.number)
        trial = self.trials.setdefault(event.number, TrialRecord(event.number, {}))
        self._in_hand.pop(event.number, None)
        trial.state = event.state
        trial.kl_divergence = event.kl_divergence
        trial.refusals = event.refusals
        trial.at_least = event.at_least
        trial.estimate = event.estimate
        trial.prompts = event.prompts
        trial.seconds = event.seconds
        trial.stages = event.stages
        trial.reason = event.reason
        self.finished += trial.state in FINISHED
        if trial.state in MEASURED_STATES:
            self._times.append(trial.seconds)
        if trial.state == "complete" and self._front is not None:
            enter_front(self._front, trial)

    def _forget_end(self, number: int) -> None:
        """A trial that is begun again, or ends again, has no end until then."""
        trial = self.trials.get(number)
        if trial is not None and trial.state in FINISHED:
            self.finished -= 1
            if trial.state == "complete":
                self._front = None

    @classmethod
    def replay(cls, events: Iterable[ev.Event]) -> RunState:
        """The state after all events of a journal."""
        state = cls()
        for event in events:
            state.fold(event)
        return state

    @property
    def running(self) -> TrialRecord | None:
        """The latest of the trials in hand."""
        return next(reversed(self._in_hand.values()), None)

    def front(self) -> list[TrialRecord]:
        """Complete trials that no other beats (Pareto), by refusals, then KL divergence."""
        if self._front is None:
            self._front = pareto_front(self.trials.values())
        return list(self._front)

    def on_front(self, number: int) -> bool:
        """Whether a trial is on the front."""
        trial, front = self.trials.get(number), self.front()
        if trial is None or trial.state != "complete":
            return False
        place = bisect.bisect_left(front, _order(trial), key=_order)
        return place < len(front) and front[place] is trial

    def word(self, alive: bool) -> str:
        """The state of the run in a word; `alive` says whether a process is at work on it."""
        if self.outcome and not alive:
            return self.outcome
        if self.opened is None:
            return "starting" if alive else "idle"
        if not alive:
            return "stopped"
        if self.state != "running":
            return self.state
        return "ready" if self.phase == "ready" else "running"

    def seconds_left(self) -> float | None:
        """Time the rest of the search will take by the mean of the latest trials; None until one has finished."""
        if not self._times:
            return None
        # The mean: dominated trials take a fraction of the time of others, and both kinds will come.
        return statistics.fmean(self._times) * max(0, self.n_trials - self.finished)


def pareto_front(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The complete trials that no other is at least as good as on both counts and better on one, by refusals, then KL
    divergence."""
    front: list[TrialRecord] = []
    for trial in trials:
        if trial.state == "complete":
            enter_front(front, trial)
    return front


def enter_front(front: list[TrialRecord], trial: TrialRecord) -> None:
    """Take a complete trial into a front where no other of it is better, in place of those that it beats."""
    place = bisect.bisect_left(front, _order(trial), key=_order)
    # Along the front refusals rise and KL divergences fall, so the one before is the best of all with fewer refusals.
    if place and _beats(front[place - 1], trial):
        return
    end = place
    while end < len(front) and _beats(trial, front[end]):
        end += 1
    front[place:end] = [trial]


def _order(trial: TrialRecord) -> tuple[int, float, int]:
    assert trial.refusals is not None
    assert trial.kl_divergence is not None
    return trial.refusals, trial.kl_divergence, trial.number


def _beats(one: TrialRecord, other: TrialRecord) -> bool:
    (r, k, _), (r_other, k_other, _) = _order(one), _order(other)
    return r <= r_other and k <= k_other and (r, k) != (r_other, k_other)
