"""A study that agrees with the events of its run.

What happened is in the events. The study, which the sampler learns from, may have been written to before or after a
process died: what only it knows is told as events, and where it says otherwise it is begun again from there.
"""

from __future__ import annotations

import logging

from heretic_tui import events as ev
from heretic_tui.engine.measuring.odds import compared
from heretic_tui.engine.search.study import Search
from heretic_tui.engine.session.trial_bench import TrialBench
from heretic_tui.errors import HereticError
from heretic_tui.event_records import read_event
from heretic_tui.run.front import Objectives
from heretic_tui.run.results import read_responses
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import FINISHED, KNOWN_STATES, MEASURED_STATES, TrialRecord
from heretic_tui.work import Work

# What the study keeps of a trial's end: the fields of the event.
_ENDED = (
    *("state", "figures", "at_least", "estimate", "error", "looked_at", "per_prompt", "prompts", "seconds", "stages"),
    "reason",
)

log = logging.getLogger(__name__)


def agree(study: Search, bench: TrialBench, state: RunState, work: Work) -> None:
    """Make a study agree with the events that a run's state was folded from."""
    _recover(study, bench, state, work)
    _reconcile(study, state)


def has_ended(trial: TrialRecord | None) -> bool:
    """Whether a trial has an end that tells something: figures without parameters tell nothing."""
    return trial is not None and trial.state in FINISHED and trial.parameters is not None


def is_by_hand(number: int, study: Search, state: RunState) -> bool:
    """Whether a trial was chosen by a person, by what either knows."""
    known = state.trials.get(number)
    return (known is not None and known.by_hand) or study.by_hand(number)


def enter_known(number: int, study: Search, state: RunState) -> None:
    """Enter a trial in the study, as its next one, where the events alone know it."""
    earlier = state.trials.get(number)
    if number == study.count and earlier and earlier.parameters:
        study.enter(number, earlier.parameters, earlier.sampled, earlier.by_hand, earlier.origin)


def enter_all_known(study: Search, state: RunState) -> int:
    """The same for all trials. Returns the number that the next one has: the study holds fewer where it lacks some."""
    number = max(study.count, max(state.trials, default=-1) + 1)
    for earlier in range(study.count, number):
        enter_known(earlier, study, state)
    return number


def tell_study(study: Search, trial: TrialRecord, objectives: Objectives) -> None:
    """Tell a study how a trial ended."""
    ended = {name: getattr(trial, name) for name in _ENDED}
    if (told := _values(trial, objectives)) is None:
        study.fail(trial.number, ended)
    else:
        study.tell(trial.number, told, ended)


def _values(trial: TrialRecord, objectives: Objectives) -> tuple[float, float] | None:
    """What the study is told of both objectives; None for a trial that failed."""
    if trial.state not in KNOWN_STATES:
        return None
    known = {**dict.fromkeys(objectives, 0.0), **trial.estimate, **trial.figures}
    first, second = (compared(known[key]) for key in objectives)
    return first, second


def _recover(study: Search, bench: TrialBench, state: RunState, work: Work) -> None:
    """Enter in the journal the ends that only the study has, with what they were."""
    for number in range(study.count):
        earlier, ended = state.trials.get(number), study.ended(number)
        if ended is None or has_ended(earlier) or not _agrees(number, study, earlier):
            continue
        if ended["state"] in MEASURED_STATES and "prompts" not in ended:
            # A study of an older version.
            ended["prompts"] = len(bench.responses)
            if ended["state"] == "dominated":
                ended["at_least"] = _certain(number, bench)
        try:
            record = {"type": ev.TrialFinished.type, "number": number, **ended}
            finished = read_event(record, figures=state.figures)
        except ValueError:
            log.warning("what the study holds of trial %d cannot be", number, exc_info=True)
            continue
        assert finished is not None
        work.tell(
            ev.TrialStarted(
                number=number,
                parameters=study.parameters(number),
                attempt=earlier.attempts if earlier else 1,
                sampled=study.sampled(number),
                by_hand=is_by_hand(number, study, state),
                origin=study.origin(number),
            )
        )
        work.tell(finished)


def _reconcile(study: Search, state: RunState) -> None:
    """Where the study holds other parameters or results than the events do, it is started again there: a figure
    belongs to the parameters that it was measured with."""
    wrong = []
    for number in range(study.count):
        trial = state.trials.get(number)
        agrees = _agrees(number, study, trial)
        if agrees and not study.is_open(number):
            agrees = trial is not None and has_ended(trial) and _told_as_it_ended(trial, study, state.objectives)
        if not agrees:
            wrong.append(number)
    if wrong:
        log.warning("the study differs from the events from trial %d on, and is entered again", min(wrong))
        study.forget(wrong)


def _told_as_it_ended(trial: TrialRecord, study: Search, objectives: Objectives) -> bool:
    # Of one that was screened the study keeps what was expected at first; the sampler is shown what is known now.
    return bool(trial.looked_at) or study.told(trial.number) == _values(trial, objectives)


def _agrees(number: int, study: Search, recorded: TrialRecord | None) -> bool:
    """Whether a trial of the study is whole, and has the parameters that were recorded, if any were."""
    if not study.whole(number):
        return False
    return not (recorded and recorded.parameters) or (study.parameters(number) == recorded.parameters)


def _certain(number: int, bench: TrialBench) -> int:
    """Refusals that are certain by the responses of a trial; 0 where they are lost."""
    try:
        return sum(record.refused is True for record in read_responses(bench.run.folder, number))
    except (OSError, HereticError):
        log.warning("the responses of trial %d cannot be read", number, exc_info=True)
        return 0
