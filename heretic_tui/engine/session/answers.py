"""What models are asked to say (a chat, samples, full answers, an edit that is tried), answered a step at a time beside
whatever else the session does.

One of each kind is in hand at a time, in the order in which they came; those of different kinds have their turns
together. So a chat does not wait for full answers, and whoever gives a turn, between two steps of trials, waits for one
step of each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from heretic_tui.commands import Answering, Chat, FullAnswers, Samples, Try
from heretic_tui.control import Aborted, Control
from heretic_tui.engine.edits.attach import edits_aside
from heretic_tui.engine.memory import release_blocks
from heretic_tui.engine.model.decoding import Steps
from heretic_tui.engine.session.chat import answer
from heretic_tui.engine.session.full_answers import find_full_answers, tell_failure
from heretic_tui.engine.session.samples import make_samples, parameters_of_trial
from heretic_tui.engine.session.trying import try_edit
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.errors import HereticError, one_line
from heretic_tui.events import ChatEnded, ChatStarted, SamplesEnded, TryEnded
from heretic_tui.run.state import RunState
from heretic_tui.work import Work

log = logging.getLogger(__name__)

# Answers one thing, a step at a time: what is asked, the state, and the work under which it is done.
Answerer = Callable[[Answering, RunState, Work], Steps[None]]


@dataclass(frozen=True, eq=False)
class _InHand:
    """One that has begun."""

    asked: Answering
    task: Control
    steps: Steps[None]


class Answers:
    """Those that are asked for and have not ended. What fails (memory, a template that rejects the turns, a trial that
    is not there) is told in a line, and costs no trial.

    Args:
        ready: makes whoever answers ready.
    """

    def __init__(self, ready: Callable[[], Answerer], state: RunState, control: Control, work: Work) -> None:
        self._ready = ready
        self._state = state
        self._control = control
        self._work = work
        self._waiting: list[Answering] = []
        self._in_hand: list[_InHand] = []
        self._stepping = False

    def ask(self, asked: Answering) -> None:
        self._waiting.append(asked)

    def turn(self) -> bool:
        """Let those whose turn has come begin, and take each that is in hand one step further. Returns whether there
        is more to do.

        Raises:
            Aborted: from the session's control, while the model is made ready.
        """
        for asked in self._to_begin():
            self._waiting.remove(asked)
            self._begin(asked)
        for one in list(self._in_hand):
            self._step(one)
        return bool(self._in_hand or self._waiting)

    def finish(self) -> None:
        """Answer all that have been asked for. Raises as `turn` does."""
        while self.turn():
            pass

    def stop(self) -> None:
        """End those in hand as if each were cancelled; those that wait go on waiting."""
        for one in list(self._in_hand):
            one.task.abort()
            while one in self._in_hand:
                self._step(one)

    def spare(self) -> bool:
        """Memory has run out in the work beside which these are answered: those in hand fail. Returns whether there
        was any. While they have their turn it ran out in their own work, and none is dropped."""
        if self._stepping or not self._in_hand:
            return False
        for one in list(self._in_hand):
            self._step(one, HereticError("memory ran out beside the trials in hand: pause the search and ask again"))
        release_blocks()
        return True

    def _to_begin(self) -> list[Answering]:
        """The first of each kind of which none is in hand."""
        busy = {type(one.asked) for one in self._in_hand}
        found: dict[type, Answering] = {}
        for asked in self._waiting:
            if type(asked) not in busy:
                found.setdefault(type(asked), asked)
        return list(found.values())

    def _begin(self, asked: Answering) -> None:
        control = self._control
        # Before its turn: until then it can be withdrawn at once.
        if control.withdrawn(asked):
            return
        if control.replaced(asked):
            _tell_end(asked, "replaced", None, self._work)
            return
        try:
            answerer = self._ready()
        except Aborted:
            raise
        except Exception as error:
            log.exception("no answer")
            _tell_end(asked, "failed", one_line(error), self._work)
            return
        if control.withdrawn(asked):
            return
        task = control.begin(asked)
        if control.withdrawn(asked):
            control.end(asked)
            return
        self._in_hand.append(_InHand(asked, task, answerer(asked, self._state, self._work.under(task))))

    def _step(self, one: _InHand, error: Exception | None = None) -> None:
        """Take one that is in hand a step further, or let it end with an error."""
        control, asked = self._control, one.asked
        self._stepping = True
        try:
            with control.acting(one.task), edits_aside():
                if error:
                    one.steps.throw(error)
                else:
                    next(one.steps)
            return
        except StopIteration:
            pass
        except Aborted:
            _tell_end(asked, "replaced" if control.replaced(asked) else "stopped", None, self._work)
        except Exception as failure:
            log.exception("no answer")
            _tell_end(asked, "failed", one_line(failure), self._work)
        finally:
            self._stepping = False
        self._in_hand.remove(one)
        control.end(asked)


def answer_by(bench: Workbench) -> Answerer:
    """The model of a workbench answers."""
    return partial(_answer, bench)


def _answer(bench: Workbench, asked: Answering, state: RunState, work: Work) -> Steps[None]:
    match asked:
        case Chat():
            work.tell(ChatStarted(id=asked.id, trial=asked.trial))
            edits = bench.edits_of(asked.edit or parameters_of_trial(asked.trial, state))
            baseline = bench.baseline
            yield from answer(bench.model, baseline.evaluation.judge, asked, edits, baseline.pool, work)
        case Samples():
            yield from make_samples(bench, asked, state, work)
        case FullAnswers():
            yield from find_full_answers(bench, asked, state, work)
        case Try():
            # A newer one may have come while this one was made ready.
            work.checkpoint()
            yield from try_edit(bench, asked, work)


def _tell_end(asked: Answering, reason: str, error: str | None, work: Work) -> None:
    match asked:
        case Chat():
            work.tell(ChatEnded(id=asked.id, reason=reason, error=error))
        case Samples():
            work.tell(SamplesEnded(id=asked.id, reason=reason, error=error))
        case FullAnswers():
            tell_failure(asked, error or "cancelled", work)
        case Try():
            work.tell(TryEnded(id=asked.id, reason=reason, error=error))
