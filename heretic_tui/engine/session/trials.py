"""The trials of a search in their order: asked for, measured together, told.

Several trials are in hand at once. Trial n is asked for as soon as trial n - k and all before it have been told, and
knows of those alone, whatever else has ended since. So the course of a search does not depend on which trial ends
first, nor on a stop, an abort or a crash.

With screening trials are looked at without decoding (screener.py): one after the other, or as many at once as workers
have room for. After every round of them, and at the end, those that could be on the front are taken up: their verdicts
are decoded, several together.

A trial that a person chose (`keep`) takes the next number that is free and is measured beside the others, in full. The
search passes over its number, and learns from it as from any trial.

What happened is in the events. The study, which the sampler learns from, is made to agree with them at the start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from heretic_tui import events as ev
from heretic_tui.commands import Keep
from heretic_tui.control import Aborted, Control
from heretic_tui.engine.measuring.cluster_pool import NoWorkersError
from heretic_tui.engine.measuring.first_tokens import rounded
from heretic_tui.engine.measuring.job import Job, failures_of
from heretic_tui.engine.measuring.odds import History
from heretic_tui.engine.metrics.base import Response
from heretic_tui.engine.search.study import Search
from heretic_tui.engine.session.agreement import (
    agree,
    enter_all_known,
    enter_known,
    has_ended,
    is_by_hand,
    tell_study,
)
from heretic_tui.engine.session.screener import CALIBRATING, ROUND, Due, Screener, known_figures
from heretic_tui.engine.session.trial_bench import TrialBench
from heretic_tui.errors import HereticError, one_line
from heretic_tui.run.state import DIED, RunState
from heretic_tui.run.trial_record import KNOWN_STATES, MEASURED_STATES
from heretic_tui.work import Work

# A process that has ended in the same trial this often would end in it again.
_ATTEMPTS = 5

log = logging.getLogger(__name__)


class Trials:
    """Runs the trials of one search; their results go into events, responses and the study.

    Args:
        state: folded from all events; it says which trials have ended.
    """

    def __init__(self, study: Search, bench: TrialBench, state: RunState, control: Control, work: Work) -> None:
        self._study = study
        self._bench = bench
        self._state = state
        self._control = control
        self._work = work
        self._in_hand: list[Job] = []
        self._told = 0
        self._asked = 0
        # Of those asked for, the search's own.
        self._own = 0
        self._stopping = bench.evaluation.metrics.stopping
        self._history: History | None = None
        self._screener: Screener | None = None
        # The last trial that an earlier session began.
        self._reached = max(state.trials, default=-1)
        agree(study, bench, state, work)
        if self._stopping:
            known, _ = self._stopping
            self._history = History(bench.responses, self._responses, bench.figures[known])
            for number, trial in sorted(state.trials.items()):
                if trial.state == "complete" and self._has_ended(number):
                    self._history.add(number, trial.figures[known])
            self._screener = self._screened(self._history)

    def next(self, n_trials: int, may_ask: bool) -> bool | None:
        """Work until one more trial has ended. Returns whether it succeeded; None when there is nothing more to do.

        Args:
            n_trials: how many there are to be of the search's own.
            may_ask: false lets those in hand end and begins no further one.

        Raises:
            Aborted: from the control; the trials in hand are told as stopped.
            NoWorkersError: where no worker is left; the same.
        """
        # Between a trial that was only looked at and the next one there is none in hand, and the search goes on.
        self._control.in_trial = True
        try:
            while True:
                self._work.checkpoint()
                if may_ask and (due := self._due(n_trials)):
                    if due.decode:
                        self._take_up(due.numbers)
                    else:
                        self._look_again(due.numbers)
                if may_ask and not self._ask_for_more(n_trials):
                    return False
                if self._told < self._asked and self._has_ended(self._told):
                    self._tell(self._told)
                    self._told += 1
                elif self._in_hand:
                    if (succeeded := self._advance()) is not None:
                        return succeeded
                else:
                    return None
        except (Aborted, NoWorkersError):
            for job in self._in_hand:
                # One that is looked at once more is still what it was.
                if not (job.part and self._state.trials[job.number or 0].state == "screened"):
                    self._fail(job, "interrupted", "stopped")
            self._in_hand.clear()
            self._bench.pool.cancel()
            raise
        finally:
            self._control.in_trial = bool(self._in_hand)

    def _ask_for_more(self, n_trials: int) -> bool:
        """Take further trials in hand, as many as may be. Returns false where one failed at once."""
        while self._asked < self._told + self._at_once(self._asked):
            by_hand = self._is_by_hand(self._asked)
            if not by_hand and self._own >= n_trials:
                break
            if self._is_looked_at(self._asked) and self._has_to_wait():
                break
            begun = self._ask(self._asked, by_hand)
            self._asked += 1
            self._own += not by_hand
            if begun is False:
                return False
        return True

    def undecided(self, n_trials: int) -> int:
        """How many of the trials that have ended could be on the front and have to be decoded before a search of so
        many is done."""
        if self._screener is None or self._own < n_trials:
            return 0
        return self._screener.undecided(self._told)

    def keep(self, keep: Keep) -> None:
        """Make an edit that was chosen by hand the next trial, and begin to measure it. It can be cancelled alone."""
        if not self._control.begin_beside(keep):
            return
        number = enter_all_known(self._study, self._state)
        if self._study.count != number:
            problem = "the study lacks trials of this run: let the search go on first"
            self._work.tell(ev.TrialKept(id=keep.id, error=problem))
            return
        self._study.enter(number, keep.parameters, {}, by_hand=True)
        self._begin(number, by_hand=True, given_up=partial(self._control.cancelled, keep))
        self._work.tell(ev.TrialKept(id=keep.id, trial=number))

    def take_up(self, number: int) -> None:
        """Begin to decode a screened trial that a person chose; nothing where it is none, or is in hand."""
        trial = self._state.trials.get(number)
        if (
            self._screener
            and trial
            and trial.state == "screened"
            and not any(j.number == number for j in self._in_hand)
        ):
            self._take_up([number], in_full=True)

    @property
    def in_hand(self) -> bool:
        return bool(self._in_hand)

    def _is_by_hand(self, number: int) -> bool:
        return is_by_hand(number, self._study, self._state)

    def _has_ended(self, number: int) -> bool:
        return has_ended(self._state.trials.get(number))

    # Screening

    def _screened(self, history: History) -> Screener | None:
        """What screens the trials; None where every trial is decoded."""
        bench, screening = self._bench, self._bench.run.settings.screening
        if screening == "off" or self._stopping is None or bench.openings is None:
            return None
        return Screener(screening, self._stopping, bench, bench.openings, self._state, history)

    def _is_looked_at(self, number: int) -> bool:
        """Whether a trial is looked at before it is decoded, if it ever is. What a person chose is measured in full."""
        return self._screener is not None and number >= CALIBRATING and not self._is_by_hand(number)

    def _at_once(self, number: int) -> int:
        """How many trials may be in hand with this one."""
        return self._bench.looks_at_once if self._is_looked_at(number) else self._bench.trials_at_once

    def _known(self, number: int) -> int:
        """A trial is asked for when those with numbers below this have been told, and knows of no others, whatever has
        ended since by chance. The first ones say in which order the others look at prompts."""
        return max(CALIBRATING if self._is_looked_at(number) else 0, number - self._at_once(number) + 1)

    def _at_a_round(self) -> bool:
        return self._own > CALIBRATING and self._own % ROUND == 0

    def _has_to_wait(self) -> bool:
        """Whether no further trial may be looked at yet: what is being decoded comes first, and, after a round, what is
        found of those before."""
        if any(job.part is None for job in self._in_hand):
            return True
        return self._at_a_round() and bool(self._in_hand or self._asked > self._told)

    def _due(self, n_trials: int) -> Due | None:
        """After a round of trials, and at the end: what has to be found of those that could be on the front."""
        at_the_end = self._own >= n_trials > 0
        due = at_the_end or self._at_a_round()
        if self._screener is None or not due or self._in_hand or self._asked > self._told:
            return None
        if not at_the_end and self._asked <= self._reached:
            # An earlier session went on from this round: by what is known now others would be taken up.
            return None
        return self._screener.due(self._told, self._bench.trials_at_once, self._bench.looks_at_once, at_the_end)

    def _look_again(self, numbers: Sequence[int]) -> None:
        """Begin to look at screened trials on more of the prompts."""
        for number in numbers:
            job = Job(number, {}, 0)
            with failures_of(job):
                self._look(self._bench.job(number, self._state.trials[number].parameters))
            if job.error:
                self._conclude(job)

    def _look(self, job: Job) -> None:
        """Take a trial in hand that is looked at."""
        assert self._screener
        self._screener.begin(job)
        self._in_hand.append(job)
        self._bench.pool.start(job)

    def _take_up(self, numbers: Sequence[int], in_full: bool = False) -> None:
        """Begin to decode some trials that were screened; in full, or until they are certain to be beaten."""
        assert self._screener is not None
        self._work.tell(ev.TrialsTakenUp(numbers=list(numbers)))
        # What was known when they were first taken up: an interruption changes nothing.
        front, decoded = self._screener.front_when_taken_up(), self._screener.decoded_when_taken_up()
        for number in numbers:
            trial = self._state.trials[number]
            job = Job(number, {}, 0)
            if trial.attempts > _ATTEMPTS:
                self._fail(job, f"the process died {_ATTEMPTS} times while this trial was in hand")
                continue
            with failures_of(job):
                begun = self._bench.job(number, trial.parameters)
                begun.known = known_figures(trial, self._bench.evaluation.metrics.first_tokens)
                begun.odds = self._history.of(sorted(decoded)) if self._history else None
                if self._stopping and self._bench.run.settings.early_stop and not in_full:
                    begun.stopping, begun.front = self._stopping, [(one, int(other)) for one, other in front]
                self._in_hand.append(begun)
                self._bench.pool.start(begun)
            if job.error:
                self._conclude(job)

    def _ask(self, number: int, by_hand: bool) -> bool | None:
        """Take a trial in hand. Returns false where it failed at once, None where there is nothing to measure: it has
        ended in an earlier session, or is in hand already."""
        enter_known(number, self._study, self._state)
        if self._has_ended(number) or any(job.number == number for job in self._in_hand):
            return None
        return self._begin(number, by_hand)

    def _begin(self, number: int, by_hand: bool, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Begin to measure a trial. Returns false where it failed at once."""
        study, earlier = self._study, self._state.trials.get(number)
        cheaply = self._is_looked_at(number)
        known = self._known(number)
        clock = self._work.clock
        start = clock()
        parameters = study.ask(number, known, self._screener.shown(known) if self._screener else {})
        sampling = clock() - start
        attempt = 1 if earlier is None else earlier.attempts + (earlier.reason == DIED)
        self._work.tell(
            ev.TrialStarted(
                number=number,
                parameters=parameters,
                attempt=attempt,
                sampled=study.sampled(number),
                by_hand=by_hand,
                origin=study.origin(number),
            )
        )
        job = Job(number, {}, 0)
        if attempt > _ATTEMPTS:
            self._fail(job, f"the process died {_ATTEMPTS} times while this trial was in hand")
            return False
        with failures_of(job):
            begun = self._bench.job(number, parameters)
            begun.given_up = given_up
            begun.add("sampling", sampling)
            if cheaply:
                self._look(begun)
                return True
            begun.odds = self._history.before(known) if self._history else None
            # What a person chose is measured in full, whatever comes out.
            if self._stopping and self._bench.run.settings.early_stop and not by_hand:
                begun.stopping = (first, counted) = self._stopping
                begun.front = [
                    (t.figures[first], int(t.figures[counted]))
                    for t in self._state.trials.values()
                    if t.number < known and t.state == "complete"
                ]
            self._in_hand.append(begun)
            self._bench.pool.start(begun)
            return True
        self._in_hand = [other for other in self._in_hand if other.number != number]
        self._conclude(job)
        return False

    def _advance(self) -> bool | None:
        """Work until a job has ended. Returns whether the trial did well; None where it has not ended yet."""
        try:
            job = self._bench.pool.advance()
        except (Aborted, NoWorkersError):
            raise
        except Exception as error:
            # Which of them caused it is not known.
            log.exception("trials failed")
            jobs, self._in_hand = self._in_hand, []
            self._bench.pool.cancel()
            for job in jobs:
                self._fail(job, one_line(error))
            return False
        if job.whole:
            # It is in hand until then, so that it is told where it is interrupted.
            with failures_of(job):
                self._bench.add_checked(job)
        self._in_hand.remove(job)
        succeeded = self._conclude(job)
        if job.number is not None and self._is_by_hand(job.number):
            # It may be that no further trial is asked for, and its turn to be told never comes.
            self._tell(job.number)
        return succeeded

    def _conclude(self, job: Job) -> bool | None:
        """The end of a job. Returns whether the trial did well; None where it is looked at on further prompts."""
        assert job.number is not None
        if job.given_up():
            self._fail(job, "cancelled")
            return True
        if job.part and job.error is None:
            with failures_of(job):
                assert self._screener
                if ended := self._screener.end(job, self._looked_before(job.number)):
                    self._finish(job, ended)
                    return True
                self._in_hand.append(job)
                self._bench.pool.start(job)
                return None
            self._in_hand = [other for other in self._in_hand if other is not job]
        evaluation, responses = self._bench.evaluation, job.responses
        figures: dict[str, float] = {}
        at_least: dict[str, float] = {}
        if job.error is None:
            # A metric of another package may fail too.
            with failures_of(job):
                figures, at_least = evaluation.figures(job), evaluation.at_least(job)
        if job.error:
            log.error("trial %d failed", job.number, exc_info=job.error)
            self._fail(job, one_line(job.error))
            return False
        if responses:
            self._bench.keep_responses(job.number, responses)
        ended = ev.TrialFinished(number=job.number, state="complete", figures=figures)
        ended = replace(ended, per_prompt={key: rounded(values) for key, values in job.per_prompt.items()})
        if job.dominated and job.stopping:
            ended = replace(ended, state="dominated", at_least=at_least, estimate=self._estimate(job, at_least))
        elif self._history and self._stopping:
            whole = [response for response in responses if response]
            self._history.add(job.number, figures[self._stopping[0]], whole)
        self._finish(job, ended)
        return True

    def _looked_before(self, number: int) -> int:
        """Of which trials on nothing is known of one that was looked at: those after it, where it is looked at once
        more, and all before have ended."""
        return number if self._state.trials[number].state == "screened" else self._known(number)

    def _estimate(self, job: Job, at_least: Mapping[str, float]) -> dict[str, float]:
        """What is expected of the refusals of a trial that was stopped."""
        assert job.number is not None
        assert job.stopping
        counted = job.stopping[1]
        screened = self._state.trials[job.number].estimate.get(counted)
        # By how its responses begin, where that is known; what was counted is certain.
        expected = round(job.estimate(), 2) if screened is None else max(screened, at_least.get(counted, 0.0))
        return {counted: expected}

    def _fail(self, job: Job, reason: str, state: str = "failed") -> None:
        assert job.number is not None
        self._finish(job, ev.TrialFinished(number=job.number, state=state, reason=reason))

    def _finish(self, job: Job, ended: ev.TrialFinished) -> None:
        """Tell the end of a trial, with the time that it took."""
        stages = {stage: round(seconds, 3) for stage, seconds in job.stages.items()}
        earlier = self._state.trials.get(ended.number)
        if earlier and earlier.state == "screened" and ended.state in KNOWN_STATES:
            # What was found before is a part of it.
            stages = {
                name: round(earlier.stages.get(name, 0.0) + stages.get(name, 0.0), 3)
                for name in {**earlier.stages, **stages}
            }
        if earlier and earlier.state == "screened" and ended.state in MEASURED_STATES:
            per_prompt = {**earlier.per_prompt, **ended.per_prompt}
            figures = {**earlier.figures, **ended.figures}
            ended = replace(ended, figures=figures, looked_at=earlier.looked_at, per_prompt=per_prompt)
            if ended.state == "complete":
                ended = replace(ended, estimate=earlier.estimate, error=earlier.error)
        seconds = round(sum(stages.values()), 3)
        self._work.tell(replace(ended, prompts=len(job.responses) or None, seconds=seconds, stages=stages))

    def _tell(self, number: int) -> None:
        """Tell the study how a trial ended, unless it knows."""
        if self._study.is_open(number):
            tell_study(self._study, self._state.trials[number], self._state.objectives)

    def _responses(self, number: int) -> Sequence[Response] | None:
        try:
            return self._bench.kept_responses(number)
        except (OSError, HereticError):
            log.warning("the responses of trial %d cannot be read", number, exc_info=True)
            return None
