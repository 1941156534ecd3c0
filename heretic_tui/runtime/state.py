"""RunState: what is known of a run, folded from its events; live or replayed, the same."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from heretic_tui.engine import events as ev

DIED = "the process died"
# A trial in one of these states has an end; others are taken up again.
MEASURED = ("complete", "dominated")
FINISHED = (*MEASURED, "failed")


@dataclass
class TrialRecord:
    """One trial. `refusals` is None unless it is complete: a dominated one has `at_least` so many, and an `estimate`.
    `measured` holds, by the metric's name, what is known before the end."""

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
    """The state of one run. `fold` is the only thing that changes it."""

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
    _front: list[TrialRecord] | None = field(default=None, repr=False, compare=False)

    def fold(self, event: ev.Event) -> None:
        match event:
            case ev.RunOpened():
                self.opened, self.n_trials = event, event.n_trials
                self.outcome = self.reason = self.ended = None
                self.state = "running"
                # What was running when the last process died is not running now.
                for trial in self.trials.values():
                    if trial.state == "running":
                        trial.state, trial.reason = "stopped", DIED
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
                self._front = None
                self.trials[event.number] = TrialRecord(event.number, event.parameters, attempts=event.attempt)
            case ev.Measured():
                for trial in self.trials.values():
                    if trial.number == event.number or (event.number is None and trial.state == "running"):
                        trial.measured[event.metric] = event.value
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
        self._front = None
        trial = self.trials.setdefault(event.number, TrialRecord(event.number, {}))
        trial.state = event.state
        trial.kl_divergence = event.kl_divergence
        trial.refusals = event.refusals
        trial.at_least = event.at_least
        trial.estimate = event.estimate
        trial.prompts = event.prompts
        trial.seconds = event.seconds
        trial.stages = event.stages
        trial.reason = event.reason

    @classmethod
    def replay(cls, records: Iterable[Mapping[str, Any]]) -> RunState:
        """The state after all records of a journal; kinds that this version does not know are passed over."""
        state = cls()
        for record in records:
            if event := ev.from_json(record):
                state.fold(event)
        return state

    @property
    def running(self) -> TrialRecord | None:
        """The latest of the trials in hand."""
        return next((t for t in reversed(self.trials.values()) if t.state == "running"), None)

    @property
    def finished(self) -> int:
        """Number of trials that have an end: complete, dominated or failed."""
        return sum(trial.state in FINISHED for trial in self.trials.values())

    def front(self) -> list[TrialRecord]:
        """Complete trials that no other beats (Pareto), by refusals, then KL divergence."""
        # Asked for several times a second by screens, and changed by the end of a trial only.
        if self._front is None:
            self._front = pareto_front(self.trials.values())
        return self._front

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
        times = [t.seconds for t in self.trials.values() if t.state in MEASURED][-20:]
        if not times:
            return None
        # The mean: dominated trials take a fraction of the time of others, and both kinds will come.
        return statistics.fmean(times) * max(0, self.n_trials - self.finished)


def pareto_front(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The complete trials that no other is at least as good as on both counts and better on one."""
    front: list[TrialRecord] = []
    lowest = float("inf")
    complete = [t for t in trials if t.kl_divergence is not None and t.refusals is not None and t.state == "complete"]
    for trial in sorted(complete, key=lambda t: (t.refusals, t.kl_divergence, t.number)):
        assert trial.kl_divergence is not None
        same = bool(front) and (trial.refusals, trial.kl_divergence) == (front[-1].refusals, front[-1].kl_divergence)
        if trial.kl_divergence < lowest or same:
            front.append(trial)
            lowest = trial.kl_divergence
    return front
