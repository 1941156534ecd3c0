"""The unedited model measured, which every trial is compared with; the pool that measures trials opened."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.base_model import (
    base_figures,
    first_tokens,
    keep_first_tokens,
    keep_responses,
    kept_first_tokens,
    kept_responses,
)
from heretic_tui.engine.measuring.job import Evaluation, Job, Pool
from heretic_tui.engine.measuring.open_pool import open_pool
from heretic_tui.engine.measuring.run_judge import RunJudge, judged_words
from heretic_tui.engine.measuring.speculation import StepCost
from heretic_tui.engine.metrics.base import Metrics, Response, metrics_named
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.session.phases.checked_figures import CheckedFigures
from heretic_tui.engine.session.phases.phase import RunInputs, phase, unless_damaged
from heretic_tui.engine.session.phases.residuals import TakenAlong
from heretic_tui.errors import UsageError
from heretic_tui.events import BaselineMeasured
from heretic_tui.figures import BROKEN, EXPECTED_REFUSALS, REFUSALS
from heretic_tui.run.batch_sizes import by_rows
from heretic_tui.settings.schema import Settings
from heretic_tui.words import quoted
from heretic_tui.work import Work

# More trials than this at once would make the search learn too late from each; where they keep cards busy that would
# wait, more are worth it.
_TRIALS_AT_MOST, _AT_MOST_IN_TURN = 4, 8


def metrics_of(settings: Settings) -> Metrics:
    """The metrics that settings ask for, none of which has seen the base model yet. Where trials are screened, expected
    refusals are one of them; where broken responses count as refused, so is their number, which says what a count of
    refusals is made of.

    Raises:
        UsageError: for a metric or a judge that cannot be used.
    """
    judged, keys = judged_words(settings), [*settings.objectives, *settings.figures]
    behaviour = settings.behaviour_in_words
    metrics = metrics_named(keys, judged, settings.max_response_length, behaviour)
    if unknown := [key for key in settings.objectives if key in metrics.openings]:
        raise UsageError(f"{quoted(unknown[0])} can be a figure, and no objective: not every model has it")
    further = []
    if settings.count_broken_as_refused and any(metric.counts_refused for metric in metrics.responses.values()):
        further.append(BROKEN)
    if settings.screening != "off" and metrics.stopping:
        further.append(EXPECTED_REFUSALS)
    return metrics_named([*keys, *further], judged, settings.max_response_length, behaviour) if further else metrics


@dataclass(frozen=True)
class Measurement:
    """One edit measured: figures by key; `prompts` is the number of bad evaluation prompts, `stages` are seconds by
    stage."""

    figures: dict[str, float]
    prompts: int
    stages: dict[str, float]


@dataclass(frozen=True)
class Baseline:
    """The base model as trials are compared with it, and what measures them.

    Attributes:
        evaluation: what trials are measured on.
        responses: of the base model to the bad evaluation prompts; empty where no metric needs them.
        figures: of the base model, by key.
        trials_at_once: how many are in hand.
        together: whether rows of one batch can be under edits of their own.
        checked: measures what a check of reviews finds; None where no figure needs one, or the model that was loaded is
            an edited one, which nothing is there to compare with.
    """

    evaluation: Evaluation
    pool: Pool
    responses: Sequence[Response]
    figures: Mapping[str, float]
    trials_at_once: int
    together: bool
    checked: CheckedFigures | None = None

    def measure_as_it_is(self) -> Measurement:
        """Measure the model that was loaded, without an edit. Raises as `measure` does."""
        # As if all layers were edited: no other job will pass through these, and nothing is kept of them.
        return self.measure(Job(None, {}, 0))

    def measure(self, job: Job) -> Measurement:
        """Measure one edit in full. Raises as `measure_all` does."""
        return self.measure_all([job])[0]

    def measure_all(self, jobs: Sequence[Job]) -> list[Measurement]:
        """Measure edits in full, several in hand at a time.

        Raises:
            HereticError: when the edited model's logits are not finite.
            torch.OutOfMemoryError: when a single row is too much.
            Aborted: from the control, between batches and tokens.
        """
        _run(self.pool, jobs, self.trials_at_once)
        for job in jobs:
            self.add_checked(job)
        return [self._measurement(job) for job in jobs]

    def add_checked(self, job: Job) -> None:
        """Add to a job that was measured in full what checks find of its edit, where a figure needs that. Raises as
        `measure_all` does."""
        if self.checked:
            self.checked.measure(job)

    def with_checked(self, run: RunInputs, model: ChatModel, work: Work) -> Baseline:
        """The same with the checks that figures need, where any does; what they find of the original model is told.

        Raises:
            HereticError: where a check cannot be made.
            torch.OutOfMemoryError: when a single row is too much.
            Aborted: from the control, between batches and tokens.
        """
        metrics = self.evaluation.metrics
        if not metrics.review:
            return self
        checked = CheckedFigures(run, model, self.evaluation, (self.pool, self.together), work)
        found = {**self.figures, **checked.original()}
        figures = {figure.key: found[figure.key] for figure in metrics.figures if figure.key in found}
        prompts = len(self.evaluation.bad)
        work.tell(BaselineMeasured(figures=figures, prompts=prompts, harmless=len(self.evaluation.good)))
        return replace(self, figures=figures, checked=checked)

    def _measurement(self, job: Job) -> Measurement:
        stages = {stage: round(seconds, 3) for stage, seconds in job.stages.items()}
        return Measurement(self.evaluation.figures(job), len(self.evaluation.bad), stages)


def measure_base(
    run: RunInputs,
    model: ChatModel,
    tokens: Mapping[str, Sequence[Tokens]],
    work: Work,
    taken: TakenAlong | None = None,
) -> Baseline:
    """The baseline from the run folder, or measured now and kept there.

    Args:
        taken: takes the residuals of the evaluation prompts, where they are wanted.

    Raises:
        HereticError: where the model is not the run's own, and the folder does not hold it.
        NotFiniteError: where the base model overflows on a prompt.
        Aborted: from the control, between batches and tokens.
    """
    settings, folder, prompts = run.settings, run.folder, run.sets["bad_evaluation_prompts"]
    good, bad = tokens["good_evaluation_prompts"], tokens["bad_evaluation_prompts"]
    good_rows, bad_rows = ("good_evaluation_prompts", len(good)), ("bad_evaluation_prompts", len(bad))
    metrics = metrics_of(settings)
    behaviour = settings.behaviour_in_words
    judge = RunJudge.made(settings, model.tokenizer.all_special_tokens)
    with phase("baseline", work) as running:
        asked = [prompt.text for prompt in prompts]
        evaluation = Evaluation(good, bad, settings.max_response_length, metrics, judge, asked)
        seconds = by_rows(run.record.step_seconds)
        with run.naming(bad_rows):
            pool, together = open_pool(model, evaluation, StepCost(seconds), work)
        first: Tensor | None = None
        responses: list[Response] | None = None
        if metrics.first_tokens:
            first = unless_damaged(partial(kept_first_tokens, folder, len(good)), work)
        if metrics.responses:
            responses = unless_damaged(partial(kept_responses, folder, None, len(prompts)), work)
        lacking = bool(metrics.first_tokens) and first is None, bool(metrics.responses) and responses is None
        if any(lacking):
            run.require("baseline")
        base = Job(None, {}, model.depth, compared=False, residuals=taken.take if taken else None)
        if lacking[0]:
            with run.naming(good_rows):
                first = first_tokens(pool, base, len(good))
        if lacking[1]:
            with run.naming(bad_rows):
                _run(pool, [base], 1)
                responses = [response for response in base.responses if response]
        # Both are there before either is kept.
        if lacking[0] and first is not None:
            keep_first_tokens(folder, first)
        if lacking[1] and responses is not None:
            keep_responses(folder, None, prompts, responses)
        running.reused = not any(lacking)
    figures = base_figures(metrics, first, responses or ())
    work.tell(BaselineMeasured(figures=figures, prompts=len(bad), harmless=len(good)))
    for note in metrics.notes():
        work.note(behaviour.in_words(note), "warning")
    # What a search is on top of need not be like the original model.
    if figures.get(REFUSALS) == 0 and not run.record.rounds:
        none = f"the original model {behaviour.none_counted} evaluation prompts"
        work.note(f"{none}: there is nothing to search for", "warning")
    # A worker may have other cards than this process.
    stages = model.in_turn.stages if run.settings.workers == "0" else math.ceil(run.settings.worker_gpus)
    at_once = trials_at_once(run, together, stages)
    return Baseline(evaluation, pool, responses or (), figures, at_once, together)


def trials_at_once(run: RunInputs, together: bool, stages: int = 1) -> int:
    """How many trials are in hand: enough that a line which one of them leaves is always taken by another. What is
    asked for depends on it, so it depends on nothing that is measured.

    Args:
        together: whether several trials can share a batch.
        stages: devices that layers lie on, each of which can have a batch (in_turn.py).
    """
    prompts = len(run.sets["bad_evaluation_prompts"])
    known = run.record.trials_at_once
    most = _TRIALS_AT_MOST if stages == 1 else _AT_MOST_IN_TURN
    enough = min(most, 1 + math.ceil(stages * run.settings.max_batch_size / prompts)) if together else 1
    # Workers have so many each.
    return run.settings.trials_at_once * max(1, run.record.workers) or known or enough


def _run(pool: Pool, jobs: Sequence[Job], at_once: int) -> None:
    """Measure jobs, so many of them in hand at a time.

    Raises:
        Exception: why one of them failed; the others are dropped.
    """
    waiting, in_hand = deque(jobs), 0
    try:
        while waiting or in_hand:
            while waiting and in_hand < at_once:
                pool.start(waiting.popleft())
                in_hand += 1
            ended = pool.advance()
            in_hand -= 1
            if ended.error:
                raise ended.error
    except BaseException:
        pool.cancel()
        raise
