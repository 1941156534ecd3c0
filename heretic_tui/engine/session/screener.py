"""The screening of one search: what trials are expected to refuse, by those that were decoded; which are decoded next;
and what the sampler is shown of them.

All of it follows from the run's state, and from the number of the trial that it is asked for: so a search that was
killed goes on the same way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from heretic_tui import events as ev
from heretic_tui.engine.measuring.checked import of_first_tokens, of_openings
from heretic_tui.engine.measuring.expectation import Expectation, Shares, Value
from heretic_tui.engine.measuring.first_tokens import rounded
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.odds import History, compared
from heretic_tui.engine.measuring.openings import Openings
from heretic_tui.engine.measuring.screening import (
    Front,
    PerPrompt,
    Plan,
    errors_beyond,
    evenly,
    plan_of,
)
from heretic_tui.engine.session.trial_bench import TrialBench
from heretic_tui.figures import EXPECTED_REFUSALS
from heretic_tui.run.screened import margin_of
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import KNOWN_STATES, MEASURED_STATES, TrialRecord

# The first trials are decoded whatever they are expected to be: by them estimates are calibrated.
CALIBRATING = 8
# After so many trials some of those that seem to be on the front are decoded, so that the search learns from true
# figures: so many a round in the mean. In a young search nearly all seem to be on it, and are beaten soon.
ROUND, _PER_ROUND = 20, 2
# What is known is kept for so many sets of trials: the sampler and the front go by different ones.
_KEPT = 3
# A trial may be decoded in a round where its estimate as it is lies on the front; at the end within the errors set.
_ON_THE_FRONT = 0.0


@dataclass(frozen=True)
class Due:
    """What has to be found of some screened trials: their verdicts, or (`decode` is false) their cheap figures on more
    of the prompts."""

    numbers: Sequence[int]
    decode: bool


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
        bench: TrialBench,
        openings: Openings,
        state: RunState,
        history: History,
    ) -> None:
        self._errors = margin_of(screening)
        self._first, self._counted = objectives
        self._evaluation = bench.evaluation
        self._original = bench.figures
        self._state = state
        self._history = history
        self._base = rounded(openings.base.tolist()), [response.verdict.refused for response in bench.responses]
        metrics, prompts = bench.evaluation.metrics, bench.evaluation
        self._counts = dict.fromkeys(metrics.first_tokens, len(prompts.good)) | {EXPECTED_REFUSALS: len(prompts.bad)}
        self._known: dict[tuple[tuple[int, ...], ...], _Known] = {}
        self._plan: Plan | None = None

    # Looking at a trial

    def begin(self, job: Job) -> None:
        """Give a job the prompts that its trial is to be looked at on: the first part, or, where it was looked at
        before, the rest of the good ones."""
        job.part = self._planned.part_from(len(self._seen(job).get(self._first, ())))

    def end(self, job: Job, before: int) -> ev.TrialFinished | None:
        """The end of a trial that was looked at; None where that says nothing yet of the other prompts, and the job is
        to be looked at on the rest of them.

        Args:
            before: trials with lower numbers have ended, and say what is to be expected of this one.
        """
        assert job.number is not None
        seen = self._seen(job)
        ended = self._ended(job.number, seen, before)
        if ended is None:
            job.part = self._planned.part_from(len(seen[self._first]))
        return ended

    def _seen(self, job: Job) -> dict[str, list[float]]:
        """What is known of a trial by prompt, from earlier looks and from those of a job, in the order of the plan."""
        assert job.number is not None
        trial, plan = self._state.trials.get(job.number), self._planned
        known = {key: list(values) for key, values in trial.per_prompt.items()} if trial else {}
        if len(openings := known.get(EXPECTED_REFUSALS, [])) == len(plan.bad):
            # What was found of all is kept in the order of the prompts.
            known[EXPECTED_REFUSALS] = [openings[row] for row in plan.bad]
        return {key: [*known.get(key, ()), *job.seen.get(key, ())] for key in {**known, **job.seen}}

    def _ended(self, number: int, known: PerPrompt, trials_before: int) -> ev.TrialFinished | None:
        """The end of a trial that was looked at on some prompts; None where they say nothing of the others."""
        metrics, plan, before = self._evaluation.metrics, self._planned, self._before(trials_before)
        per_prompt, values = dict(known), dict[str, Value]()
        if len(known[self._first]) == len(plan.good):
            per_prompt |= {key: _in_order(known[key], plan.good) for key in metrics.first_tokens}
            tensors = {key: torch.tensor(per_prompt[key], dtype=torch.float64) for key in metrics.first_tokens}
            figures = of_first_tokens(metrics, tensors, len(plan.bad))
            values = {key: Value(value) for key, value in figures.items()}
        else:
            for key in metrics.first_tokens:
                estimate = before.figure(key, known[key])
                if estimate is None:
                    return None
                values[key] = estimate
        if len(known[EXPECTED_REFUSALS]) == len(plan.bad):
            per_prompt[EXPECTED_REFUSALS] = _in_order(known[EXPECTED_REFUSALS], plan.bad)
            openings = torch.tensor(per_prompt[EXPECTED_REFUSALS], dtype=torch.float64)
            values |= {key: Value(value) for key, value in of_openings(metrics, openings).items()}
        values[self._counted] = before.refusals(per_prompt[EXPECTED_REFUSALS])
        estimates = {key: each for key, each in values.items() if each.error}
        return ev.TrialFinished(
            number=number,
            state="screened",
            figures={key: each.value for key, each in values.items() if not each.error},
            estimate={key: compared(each.value) for key, each in estimates.items()},
            error={key: compared(each.error) for key, each in estimates.items()},
            looked_at={"good": len(known[self._first]), "bad": len(known[EXPECTED_REFUSALS])},
            per_prompt={key: list(each) for key, each in per_prompt.items()},
        )

    @property
    def _planned(self) -> Plan:
        """By the first trials, which were measured on all prompts."""
        if self._plan is None:
            calibrating = (t for t in self._state.trials.values() if t.number < CALIBRATING)
            first = [trial for trial in calibrating if self._has_whole(trial, *self._counts)]
            openings = [self._base[0], *(trial.per_prompt[EXPECTED_REFUSALS] for trial in first)]
            values = [trial.per_prompt[self._first] for trial in first]
            self._plan = plan_of(values or [[1.0] * len(self._evaluation.good)], openings)
        return self._plan

    def _has_whole(self, trial: TrialRecord, *keys: str) -> bool:
        """Whether some figures of a trial were measured by prompt on all of them."""
        return trial.state in KNOWN_STATES and all(
            len(trial.per_prompt.get(key, ())) == self._counts[key] for key in keys
        )

    # What trials are expected to be

    def shown(self, number: int) -> dict[int, tuple[float, float]]:
        """What the sampler is shown, when it is asked for a trial, of those before it: both objectives, in the order
        of the run. What was decoded since it ended, and what was learned of the others' estimates, is in it."""
        found: dict[int, tuple[float, float]] = {}
        for trial in self._state.trials.values():
            if trial.number < number and trial.state in MEASURED_STATES:
                values = {**trial.estimate, **trial.figures}
                found[trial.number] = compared(values[self._first]), compared(values[self._counted])
        if screened := self._screened(number):
            known = self._before(number)
            for trial in screened:
                first, counted = self._expected(trial, known)
                found[trial.number] = compared(first.value), compared(counted.value)
        return dict(sorted(found.items()))

    def due(self, before: int, most: int, looks: int, at_the_end: bool) -> Due | None:
        """What has to be found next, so that nothing is left that could be on the front, nearest to it (or furthest
        beyond it) first; None where nothing is. What was interrupted comes first.

        Args:
            before: trials with lower numbers have ended.
            most: so many are decoded at once.
            looks: so many are looked at, at once.
            at_the_end: of the search.
        """
        interrupted = [trial.number for trial in self._screened(before) if trial.taken_up]
        if interrupted:
            return Due(interrupted, decode=True)
        chosen: list[TrialRecord] = []
        best: list[tuple[float, float]] = []
        # Those come first that no other of them is expected to beat: what is found of them may settle what the others
        # are.
        for trial, value, refusals in self._near(before, self._errors if at_the_end else _ON_THE_FRONT):
            if not any(one <= value and other <= refusals for one, other in best):
                best.append((value, refusals))
                chosen.append(trial)
        if not at_the_end:
            # What a person chose takes nothing from those of the search.
            counted = (t for t in self._state.trials.values() if t.number < CALIBRATING or not t.by_hand)
            decoded = sum(t.number < before and t.state in MEASURED_STATES for t in counted)
            chosen = evenly(chosen, CALIBRATING + _PER_ROUND * (before // ROUND) - decoded)
        # What their refusals are expected to be more of the bad prompts would hardly tell better.
        if unsure := [trial.number for trial in chosen if self._first not in trial.figures]:
            return Due(unsure[:looks], decode=False)
        return Due([trial.number for trial in chosen[:most]], decode=True) if chosen else None

    def undecided(self, before: int) -> int:
        """How many trials could be on the front by the errors that are set, and have not been decoded."""
        return len(self._near(before, self._errors))

    def _near(self, before: int, limit: float) -> list[tuple[TrialRecord, float, float]]:
        """Screened trials that the front does not beat by more than some errors, with what both figures are expected to
        be; those that it beats least first."""
        front, known = self._front(before), self._before(before)
        near = []
        for trial in self._screened(before):
            first, counted = self._expected(trial, known)
            beyond = errors_beyond(front, first, counted)
            if beyond <= limit:
                near.append((beyond, first.value, counted.value, trial.number))
        return [(self._state.trials[number], value, refusals) for _, value, refusals, number in sorted(near)]

    def _screened(self, before: int) -> list[TrialRecord]:
        return [t for t in self._state.trials.values() if t.state == "screened" and t.number < before]

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
        # What refuses as much as the original model is beaten by that. (A search on top of an edit looks for what is
        # better than the edit: where it adds what the edit took out, the original model is better than any trial.)
        original = [] if self._state.start else [(self._original[self._first], self._original[self._counted])]
        return [*original, *(self._point(trial) for trial in complete)]

    def _point(self, trial: TrialRecord) -> tuple[float, float]:
        return trial.measured_figures[self._first], trial.measured_figures[self._counted]

    def _expected(self, trial: TrialRecord, known: _Known) -> tuple[Value, Value]:
        """Both objectives of a screened trial, as they are to be expected by what is known now."""
        counted = known.refusals(trial.per_prompt[EXPECTED_REFUSALS])
        if self._first in trial.figures:
            return Value(trial.figures[self._first]), counted
        first = known.figure(self._first, trial.per_prompt[self._first])
        recorded = trial.estimate[self._first], trial.error.get(self._first, math.inf)
        return first or Value(*recorded), counted

    def _before(self, number: int) -> _Known:
        """What is known by the trials with lower numbers, and the base model."""
        earlier = [trial for trial in self._state.trials.values() if trial.number < number]
        keys = self._evaluation.metrics.first_tokens
        measured = [t for t in earlier if self._has_whole(t, *keys)]
        decoded = [t for t in earlier if t.state == "complete" and self._has_whole(t, EXPECTED_REFUSALS)]
        which = tuple(t.number for t in measured), tuple(t.number for t in decoded)
        if which not in self._known:
            openings, verdicts = [self._base[0]], [self._base[1]]
            for trial in decoded:
                if refused := self._history.refused(trial.number):
                    openings.append(trial.per_prompt[EXPECTED_REFUSALS])
                    verdicts.append(refused)
            shares = {k: Shares([t.per_prompt[k] for t in measured], [t.figures[k] for t in measured]) for k in keys}
            while len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            self._known[which] = _Known(Expectation(openings, verdicts), shares, self._planned)
        return self._known[which]


class _Known:
    """What the trials that were measured on all prompts say of those that were not.

    Args:
        expectation: by those with verdicts.
        shares: by key, of figures of first tokens.
    """

    def __init__(self, expectation: Expectation, shares: Mapping[str, Shares], plan: Plan) -> None:
        self._expectation, self._shares, self._plan = expectation, shares, plan

    def refusals(self, openings: Sequence[float]) -> Value:
        """The refusals of a trial that was looked at: by all bad prompts, or the first of the plan."""
        whole = len(openings) == len(self._plan.bad)
        return self._expectation.refusals(openings, None if whole else self._plan.bad[: len(openings)])

    def figure(self, key: str, values: Sequence[float]) -> Value | None:
        """A figure of first tokens from the first good prompts of the plan; None where they say nothing of it."""
        return self._shares[key].estimate(values, self._plan.good[: len(values)])


def _in_order(values: Sequence[float], order: Sequence[int]) -> list[float]:
    """Values that are in the order of a plan, in that of the prompts."""
    found = dict(zip(order, values, strict=True))
    return [found[row] for row in range(len(found))]


def known_figures(trial: TrialRecord, needed: Mapping[str, object]) -> dict[str, float]:
    """The figures without verdicts that a screened trial has already; none where those of first tokens were not
    measured in full."""
    return dict(trial.figures) if all(key in trial.figures for key in needed) else {}
