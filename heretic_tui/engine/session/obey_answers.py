"""The commands by which models are asked to say something: a chat, samples, full answers, an edit that is tried."""

from __future__ import annotations

import logging
from collections.abc import Callable

from heretic_tui.commands import Answering, Chat, FullAnswers, Samples, Try
from heretic_tui.control import Aborted, Control
from heretic_tui.engine.session.chat import answer
from heretic_tui.engine.session.full_answers import find_full_answers, tell_failure
from heretic_tui.engine.session.samples import make_samples, parameters_of_trial
from heretic_tui.engine.session.trying import try_edit
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.errors import one_line
from heretic_tui.events import ChatEnded, ChatStarted, SamplesEnded, TryEnded
from heretic_tui.run.state import RunState
from heretic_tui.work import Work

log = logging.getLogger(__name__)


def obey_answering(
    asked: Answering, ready: Callable[[], Workbench], state: RunState, control: Control, work: Work
) -> None:
    """Let models answer, each under its own edit. What fails (memory, a template that rejects the turns, a trial that
    is not there) is told in a line, and costs no trial.

    Args:
        ready: makes the model ready where it is not.

    Raises:
        Aborted: from the session's control, while the model is made ready.
    """
    task = None
    try:
        # Before its turn: until then it can be withdrawn at once.
        if control.withdrawn(asked):
            return
        if control.replaced(asked):
            _tell_end(asked, "replaced", None, work)
            return
        bench = ready()
        if control.withdrawn(asked):
            return
        task = control.begin(asked)
        if not control.withdrawn(asked):
            _answer(asked, bench, state, work.under(task))
    except Aborted:
        if task is None or not task.aborting:
            raise
        _tell_end(asked, "replaced" if control.replaced(asked) else "stopped", None, work)
    except Exception as error:
        log.exception("no answer")
        _tell_end(asked, "failed", one_line(error), work)
    finally:
        if task:
            control.end()


def _answer(asked: Answering, bench: Workbench, state: RunState, work: Work) -> None:
    match asked:
        case Chat():
            work.tell(ChatStarted(id=asked.id, trial=asked.trial))
            with bench.edited(asked.edit or parameters_of_trial(asked.trial, state)):
                answer(bench.model, bench.baseline.evaluation.judge, asked, work)
        case Samples():
            make_samples(bench, asked, state, work)
        case FullAnswers():
            find_full_answers(bench, asked, state, work)
        case Try():
            # A newer one may have come while this one was made ready.
            work.checkpoint()
            try_edit(bench, asked, work)


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
