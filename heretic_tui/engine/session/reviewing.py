"""A review of a run's finalists: which trials, with which checks; under a session, or by itself on a run that lies on
the disk."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from transformers import PretrainedConfig, PreTrainedTokenizerBase

from heretic_tui.commands import Review
from heretic_tui.control import Aborted, Control
from heretic_tui.engine.checkpoint.source import load_config, load_tokenizer
from heretic_tui.engine.inputs.held_out import ReviewPrompts, review_prompts
from heretic_tui.engine.inputs.prompts import PromptSets
from heretic_tui.engine.inputs.text_check import check_text
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.review.bench import ReviewBench, Reviewed
from heretic_tui.engine.review.review import ReviewRun, checks_named
from heretic_tui.engine.session.opening import recorded_settings, unchanged_inputs
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.workbench import EditBench, Workbench, open_edit_bench
from heretic_tui.errors import UsageError, one_line
from heretic_tui.events import ReviewEnded
from heretic_tui.run.batch_sizes import by_rows
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import read_events
from heretic_tui.run.record import RunRecord
from heretic_tui.run.results import read_responses
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.reviews import spread
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.settings.identity import deciding
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work

log = logging.getLogger(__name__)


def finalists(state: RunState, wanted: Sequence[int] | None) -> list[TrialRecord]:
    """The trials that are to be reviewed: those wanted, or some that are spread over the front, both ends among them.

    Raises:
        UsageError: for one that is not there or has no parameters, or where there is no front yet.
    """
    if wanted is None:
        front = state.front()
        if not front:
            raise UsageError("there is no trial to review yet: no trial has been measured in full")
        return spread(front)
    found = []
    for number in dict.fromkeys(wanted):
        trial = state.trial(number)
        # Refused before anything is loaded where they are not known.
        _ = trial.required_parameters
        found.append(trial)
    return found


def review_run(
    folder: RunFolder,
    trials: Sequence[int] | None,
    changes: Mapping[str, object],
    own: Settings,
    work: Work,
) -> list[str]:
    """Review trials of a run that lies on the disk; what is found is kept in its folder.

    Args:
        trials: by number; None: some that are spread over the front.
        changes: settings of reviews that differ from the run's.
        own: the user's settings: they allow what the run's record cannot.

    Returns the names of the checks, in their order.

    Raises:
        UsageError: for a run at which another process is at work, trials or checks that are not there, prompts that
            cannot be read, or a model or prompts that are not those of the run any more.
        HereticError: where the model cannot be made ready.
    """
    settings = recorded_settings(folder, changes, own)
    state = RunState.replay(read_events(folder.events))
    chosen = finalists(state, trials)
    checks_named(settings.review_checks)
    if holder := folder.holder():
        raise UsageError(
            f"process {holder} is at work on run {folder.name}: review there (R on Trials, or heretic-tui attach "
            f"{folder.called}), or wait until it has ended"
        )
    inputs = unchanged_inputs(folder, settings)
    prompts = checked_prompts(settings, inputs.sets, load_tokenizer(settings), load_config(settings))
    run = RunInputs.of(settings, inputs.sets, folder, own=False)
    folder.lock()
    try:
        bench = open_edit_bench(run, work)
        review(bench, prompts, chosen, None, work)
    finally:
        folder.unlock()
    return settings.review_checks


def obey_review(
    asked: Review,
    ready: Callable[[], Workbench],
    state: RunState,
    control: Control,
    beside: Callable[[], None],
    work: Work,
) -> None:
    """Review trials on request, under a session.

    Args:
        ready: makes the model ready where it is not.
        beside: called between batches: models answer meanwhile.

    Raises:
        Aborted: from the session's control, not from that of the command.
    """
    task, problem = control.begin(asked), None
    serve = control.beside(task, beside)
    try:
        with control.acting(task):
            task.checkpoint()
            chosen = finalists(state, asked.trials)
            bench = ready()
            # From here on there is a model that can answer.
            task.serve = serve
            prompts = checked_prompts(
                bench.run.settings, bench.run.sets, bench.model.tokenizer, bench.model.network.config
            )
            review(bench, prompts, chosen, asked.checks, work.under(task))
    except Aborted:
        if not task.aborting:
            raise
        problem = "cancelled; what was found is kept, and the same review goes on with it"
    except Exception as error:
        log.exception("the review failed")
        problem = one_line(error)
    finally:
        control.end(asked)
    work.tell(ReviewEnded(error=problem))


def checked_prompts(
    settings: Settings, used: PromptSets, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig
) -> ReviewPrompts:
    """The prompts of a review, of which it is known that they reach the model.

    Raises:
        UsageError: as `review_prompts` and `check_text`.
    """
    found = review_prompts(settings, used)
    there = {name: prompts for name, prompts in found.sets.items() if prompts}
    return replace(found, notes=[*found.notes, *check_text(tokenizer, config, settings, there)])


def review(
    bench: EditBench, prompts: ReviewPrompts, trials: Sequence[TrialRecord], checks: Sequence[str] | None, work: Work
) -> None:
    """Review the original model and some trials. What is known is not found again, what is found is kept at once.

    Raises:
        UsageError: for a check that is not there.
        HereticError: where the folder cannot be written.
        Aborted: from the control.
    """
    settings = bench.run.settings
    for note in prompts.notes:
        work.note(note, "warning")
    subjects = [
        Reviewed(trial.number, bench.edits(trial.required_parameters), trial.required_parameters) for trial in trials
    ]
    run = ReviewRun(
        review_bench(bench, prompts, trials, work), subjects, checks_named(checks or settings.review_checks), work
    )
    run.plan()
    run.run()


def review_bench(bench: EditBench, prompts: ReviewPrompts, trials: Sequence[TrialRecord], work: Work) -> ReviewBench:
    """The model of a run as checks see it.

    Args:
        trials: those that are reviewed.
    """
    run = bench.run
    identity = identity_of(run.record.identity, run.settings, bench.model)
    found = bench_of(bench.model, run.settings, identity, prompts, ReviewFolder(run.folder.review), run.record, work)
    return replace(found, answer_tokens=_answer_tokens(run.folder, trials))


def _answer_tokens(folder: RunFolder, trials: Sequence[TrialRecord]) -> float | None:
    """Tokens of an answer of these trials, in the mean, of those that are no refusals: these were decoded no further
    than to the verdict. None where none is known."""
    lengths: list[int] = []
    for trial in trials:
        # What is damaged is told where it is used.
        with suppress(FileNotFoundError, UsageError):
            records = read_responses(folder, trial.number)
            lengths += [each.tokens for each in records if each.tokens and each.whole and not each.refused]
    return sum(lengths) / len(lengths) if lengths else None


def identity_of(inputs: object, settings: Settings, model: ChatModel) -> dict[str, object]:
    """What a model is and what it is measured with, as plain JSON: findings of another are none of this.

    Args:
        inputs: the identity of the run, or of what a run would be made of.
    """
    return {"model": inputs, "settings": deciding(settings), "prefix": model.response_prefix}


def bench_of(
    model: ChatModel,
    settings: Settings,
    identity: Mapping[str, object],
    prompts: ReviewPrompts,
    folder: ReviewFolder,
    record: RunRecord,
    work: Work,
) -> ReviewBench:
    """A model made ready as checks see it.

    Args:
        identity: see `identity_of`.
        record: of the folder in which it was made ready.
    """
    return ReviewBench(
        model=model,
        judge=RunJudge.made(settings, model.tokenizer.all_special_tokens),
        settings=settings,
        prompts=prompts,
        folder=folder,
        identity=identity,
        step_seconds=by_rows(record.step_seconds),
        work=work,
    )
