"""The screening of one search: what trials are expected to refuse, by those that were decoded; which are decoded next;
and what the sampler is shown of them.

All of it follows from the run's state, and from the number of the trial that it is asked for: so a search that was
killed goes on the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from heretic_tui import events as ev
from heretic_tui.engine.measuring.checked import of_openings
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.odds import History, compared
from heretic_tui.engine.measuring.openings import Openings
from heretic_tui.engine.measuring.screening import (
    ERRORS,
    Cheap,
    Expectation,
    Front,
    Value,
    errors_beyond,
    expected,
    measure_cheaply,
    rounded,
)
from heretic_tui.engine.session.phases.baseline import Baseline
from heretic_tui.figures import EXPECTED_REFUSALS
from heretic_tui.run.state import MEASURED_STATES, RunState, TrialRecord
from heretic_tui.work import Work

# The first trials are decoded whatever they are expected to be: by them estimates are calibrated.
CALIBRATING = 8
# After so many trials those that seem to be on the front are decoded, so that the search learns from true figures.
ROUND = 20
# A trial may be decoded in a round where its estimate as it is lies on the front; at the end within the errors set.
_ON_THE_FRONT = 0.0


class Screener:
    """
    Args:
        screening: the setting; not off.
        objectives: the keys of the figure that is known first, and of the refusals.
        state: folded from all events.
    """

    def __init__(
        self,
        screening: str,
        objectives: tuple[str, str],
        baseline: Baseline,
        openings: Openings,
        state: RunState,
        history: History,
    ) -> None:
        self._errors = ERRORS[screening]
        self._first, self._counted = objectives
        self._baseline = baseline
        self._openings = openings
        self._state = state
        self._history = history
        self._base = rounded(openings.base.tolist()), [response.verdict.refused for response in baseline.responses]
        self._known: tuple[list[int], Expectation] | None = None

    def measure(self, job: Job, work: Work) -> Cheap:
        """Look at a trial without decoding it: until it is certain to be beaten, or all prompts have been looked at.
        Raises as `measure_cheaply` does."""
        assert job.number is not None
        front, expectation = self._front(job.number), self._expectation(job.number)

        def is_beaten(cheap: Cheap) -> bool:
            counted = expectation.refusals(cheap.openings)
            return errors_beyond(front, cheap.figures[self._first], counted) > self._errors

        return measure_cheaply(self._baseline.pool, job, self._baseline.evaluation, self._openings, is_beaten, work)

    def ended(self, job: Job, cheap: Cheap) -> ev.TrialFinished:
        """The end of a trial that was looked at."""
        assert job.number is not None
        counted = self._expectation(job.number).refusals(cheap.openings)
        evaluation, known = self._baseline.evaluation, dict(cheap.figures)
        if len(cheap.openings) == len(evaluation.bad):
            begins = torch.tensor(cheap.openings, dtype=torch.float64)
            known |= {key: Value(value) for key, value in of_openings(evaluation.metrics, begins).items()}
        else:
            known[EXPECTED_REFUSALS] = expected(cheap.openings, len(evaluation.bad))
        estimates = {key: each for key, each in known.items() if each.error} | {self._counted: counted}
        return ev.TrialFinished(
            number=job.number,
            state="screened",
            figures={key: each.value for key, each in known.items() if not each.error},
            estimate={key: compared(each.value) for key, each in estimates.items()},
            error={key: compared(each.error) for key, each in estimates.items()},
            looked_at=dict(cheap.looked_at),
            openings=list(cheap.openings),
        )

    def shown(self, number: int) -> dict[int, tuple[float, float]]:
        """What the sampler is shown, when it is asked for a trial, of those before it: both objectives, in the order
        of the run. What was decoded since it ended, and what was learned of the others' estimates, is in it."""
        found = {}
        for trial in self._state.trials.values():
            if trial.number < number and trial.state in (*MEASURED_STATES, "screened"):
                values = {**trial.estimate, **trial.figures}
                if trial.state == "screened":
                    values[self._counted] = self._counted_of(trial, number).value
                first, second = (compared(values[key]) for key in self._state.objectives)
                found[trial.number] = first, second
        return found

    def to_take_up(self, before: int, most: int, at_the_end: bool) -> list[int]:
        """The trials that are decoded next, nearest to the front (or furthest beyond it) first; none where all that
        could be on the front have been. Those whose decoding was interrupted come first.

        Args:
            before: trials with lower numbers have ended.
            most: so many at once.
            at_the_end: of the search.
        """
        screened = [t for t in self._state.trials.values() if t.state == "screened" and t.number < before]
        if interrupted := [trial.number for trial in screened if trial.taken_up]:
            return interrupted
        front, limit = self._front(before), self._errors if at_the_end else _ON_THE_FRONT
        near = []
        for trial in screened:
            first, counted = self._first_of(trial), self._counted_of(trial, before)
            beyond = errors_beyond(front, first, counted)
            if beyond <= limit:
                near.append((beyond, first.value, counted.value, trial.number))
        chosen: list[int] = []
        best: list[tuple[float, float]] = []
        # Those come first that no other of them is expected to beat: their verdicts may settle what the others are.
        for _, value, refusals, number in sorted(near):
            if not any(one <= value and other <= refusals for one, other in best):
                best.append((value, refusals))
                chosen.append(number)
        return chosen[:most]

    def front_when_taken_up(self) -> Front:
        """The trials that had been measured in full when the latest were taken up."""
        return [self._point(trial) for trial in self._decoded_when_taken_up()]

    def decoded_when_taken_up(self) -> list[int]:
        """Their numbers."""
        return [trial.number for trial in self._decoded_when_taken_up()]

    def _decoded_when_taken_up(self) -> list[TrialRecord]:
        after = self._state.taken_up_after
        return [t for t in self._state.trials.values() if t.state == "complete" and t.ended_as <= after]

    def _front(self, before: int) -> Front:
        complete = (t for t in self._state.trials.values() if t.state == "complete" and t.number < before)
        return [self._point(trial) for trial in complete]

    def _point(self, trial: TrialRecord) -> tuple[float, float]:
        return trial.measured_figures[self._first], trial.measured_figures[self._counted]

    def _expectation(self, before: int) -> Expectation:
        """By the trials with lower numbers that were decoded, and the base model."""
        decoded = [
            trial.number
            for trial in self._state.trials.values()
            if trial.state == "complete" and trial.number < before and len(trial.openings) == len(self._base[0])
        ]
        if self._known is None or self._known[0] != decoded:
            openings, verdicts = [self._base[0]], [self._base[1]]
            for number in decoded:
                if refused := self._history.refused(number):
                    openings.append(self._state.trials[number].openings)
                    verdicts.append(refused)
            self._known = decoded, Expectation(openings, verdicts)
        return self._known[1]

    def _first_of(self, trial: TrialRecord) -> Value:
        return _value(trial, self._first)

    def _counted_of(self, trial: TrialRecord, before: int) -> Value:
        """The refusals of a screened trial as they are to be expected by what is known now."""
        return self._expectation(before).refusals(trial.openings)


def _value(trial: TrialRecord, key: str) -> Value:
    if key in trial.figures:
        return Value(trial.figures[key])
    return Value(trial.estimate.get(key, math.inf), trial.error.get(key, 0.0))


def known_figures(trial: TrialRecord, needed: Mapping[str, object]) -> dict[str, float] | None:
    """The figures of first tokens that a screened trial has already; None where they were not measured in full."""
    if all(key in trial.figures for key in needed):
        return {key: trial.figures[key] for key in needed}
    return None
