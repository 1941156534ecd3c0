"""The trials of a search in their order: asked for, measured together, told.

Several trials are in hand at once. Trial n is asked for as soon as trial n - k and all before it have been told,
whatever has ended since; and it is compared with those alone. So the course of a search does not depend on which trial
ends first, nor on an abort or a kill. (Where those in hand are let end before further ones are asked for, at a stop
after the trial, for an export, or at the last trial of a run that is extended later, the sampler knows more than it
would have.)
"""

from __future__ import annotations

import logging

from heretic_tui.engine import events as ev
from heretic_tui.engine.control import Aborted, Control
from heretic_tui.engine.metrics.refusals import Refusals
from heretic_tui.engine.odds import History
from heretic_tui.engine.pool import Job
from heretic_tui.engine.search import Search
from heretic_tui.engine.workbench import Workbench
from heretic_tui.errors import HereticError, one_line
from heretic_tui.runtime.state import DIED, FINISHED, RunState

# A process that dies in the same trial this often would die in it for ever.
_ATTEMPTS = 5

log = logging.getLogger(__name__)


class Trials:
    """Runs the trials of one search; what comes of them goes into events, responses and the study.

    Args:
        state: folded from all events; it says which trials have ended.
    """

    def __init__(self, study: Search, workbench: Workbench, state: RunState, emit: ev.Emit, control: Control) -> None:
        self._study = study
        self._bench = workbench
        self._state = state
        self._emit = emit
        self._control = control
        self._in_hand: list[Job] = []
        self._told = 0
        self._asked = 0
        self._history = History(workbench.refusals.base)
        for number, trial in sorted(state.trials.items()):
            if trial.state == "complete":
                self._remember(number, trial.kl_divergence or 0.0)

    def next(self, n_trials: int, may_ask: bool) -> bool | None:
        """Work until one more trial has ended. Returns whether it succeeded; None when there is nothing more to do.

        Args:
            n_trials: how many there are to be.
            may_ask: false lets those in hand end and begins no further one.

        Raises:
            Aborted: from the control; the trials in hand are told as stopped.
        """
        try:
            while True:
                self._control.checkpoint(self._emit)
                while may_ask and self._asked < min(self._told + self._bench.trials_at_once, n_trials):
                    failed = self._ask(self._asked) is False
                    self._asked += 1
                    if failed:
                        return False
                if self._told < self._asked and self._has_ended(self._told):
                    self._tell(self._told)
                    self._told += 1
                elif self._in_hand:
                    return self._advance()
                else:
                    return None
        except Aborted:
            for job in self._in_hand:
                self._finish(job, "stopped", reason="interrupted")
            self._in_hand.clear()
            self._bench.pool.cancel()
            raise
        finally:
            self._control.in_trial = bool(self._in_hand)

    @property
    def in_hand(self) -> bool:
        return bool(self._in_hand)

    def _has_ended(self, number: int) -> bool:
        trial = self._state.trials.get(number)
        return trial is not None and trial.state in FINISHED

    def _ask(self, number: int) -> bool | None:
        """Take a trial in hand. Returns false where it failed at once, None where there is nothing to measure: it has
        ended in an earlier session."""
        study, earlier = self._study, self._state.trials.get(number)
        if self._has_ended(number):
            # A study that was lost learns of it again.
            if number >= study.count:
                study.ask(number)
            return None
        if result := study.result(number):
            self._recover(number, *result)
            return None
        clock = self._control.clock
        start = clock()
        parameters = study.ask(number)
        sampling = clock() - start
        attempt = 1 if earlier is None else earlier.attempts + (earlier.reason == DIED)
        self._emit(ev.TrialStarted(number=number, parameters=parameters.to_json(), attempt=attempt))
        job = Job(number, {}, 0)
        if attempt > _ATTEMPTS:
            self._finish(job, "failed", reason=f"the process died {_ATTEMPTS} times while this trial was in hand")
            return False
        self._control.in_trial = True
        try:
            job = self._bench.job(number, parameters)
            job.add("sampling", sampling)
            # What was told when this trial was asked for, not what has ended by chance since.
            known = number - self._bench.trials_at_once + 1
            job.odds = self._history.before(known)
            if self._bench.settings.early_stop:
                job.front = [
                    (t.kl_divergence, t.refusals)
                    for t in self._state.trials.values()
                    if t.number < known and t.kl_divergence is not None and t.refusals is not None
                ]
            self._in_hand.append(job)
            self._bench.pool.start(job)
        except Aborted:
            raise
        except Exception as error:
            job.error = error
            if job in self._in_hand:
                self._in_hand.remove(job)
            return self._conclude(job)
        return True

    def _advance(self) -> bool:
        try:
            job = self._bench.pool.advance()
        except Aborted:
            raise
        except Exception as error:
            # Which of them is at fault cannot be told.
            log.exception("trials failed")
            jobs, self._in_hand = self._in_hand, []
            self._bench.pool.cancel()
            for job in jobs:
                self._finish(job, "failed", reason=one_line(error))
            return False
        self._in_hand.remove(job)
        return self._conclude(job)

    def _conclude(self, job: Job) -> bool:
        assert job.number is not None
        if job.error:
            log.error("trial %d failed", job.number, exc_info=job.error)
            self._finish(job, "failed", reason=one_line(job.error))
            return False
        self._bench.refusals.write(self._bench.folder, job.number, job.responses)
        if job.dominated:
            estimate = round(job.estimate(), 2)
            self._finish(job, "dominated", kl_divergence=job.kl_divergence, at_least=job.refusals, estimate=estimate)
        else:
            responses = [response for response in job.responses if response]
            self._history.add(job.number, job.kl_divergence or 0.0, responses)
            self._finish(job, "complete", kl_divergence=job.kl_divergence, refusals=job.refusals)
        return True

    def _finish(self, job: Job, state: str, **figures: object) -> None:
        assert job.number is not None
        stages = {stage: round(seconds, 3) for stage, seconds in job.stages.items()}
        self._emit(
            ev.TrialFinished(
                number=job.number,
                state=state,
                prompts=len(job.responses) or None,
                seconds=round(sum(stages.values()), 3),
                stages=stages,
                **figures,  # type: ignore[arg-type]
            )
        )

    def _tell(self, number: int) -> None:
        """Tell the study how a trial ended, unless it knows."""
        trial = self._state.trials[number]
        if not self._study.is_open(number):
            return
        if trial.kl_divergence is None:
            self._study.fail(number)
        elif trial.refusals is None:
            self._study.tell(number, trial.kl_divergence, trial.estimate or 0.0, estimated=True)
        else:
            self._study.tell(number, trial.kl_divergence, trial.refusals)

    def _recover(self, number: int, kl_divergence: float, refusals: float, estimated: bool) -> None:
        """Enter in the journal what only the study has."""
        self._emit(ev.TrialStarted(number=number, parameters=self._study.parameters(number).to_json()))
        figures: dict[str, object] = {"kl_divergence": kl_divergence}
        if estimated:
            figures |= {"at_least": 0, "estimate": refusals}
        else:
            figures["refusals"] = int(refusals)
        job = Job(number, {}, 0, responses=[None] * len(self._bench.refusals.base))
        self._finish(job, "dominated" if estimated else "complete", **figures)

    def _remember(self, number: int, kl_divergence: float) -> None:
        try:
            self._history.add(number, kl_divergence, Refusals.read(self._bench.folder, number))
        except (FileNotFoundError, HereticError, KeyError):
            log.warning("the responses of trial %d cannot be read", number)
