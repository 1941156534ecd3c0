"""Figures of trials that checks of reviews find, measured while a run searches: on its evaluation prompts in place of
held-out ones, which stay unseen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from heretic_tui.engine.edits.attach import Edits
from heretic_tui.engine.inputs.held_out import HARMFUL, HARMLESS, LOOKALIKE, ReviewPrompts
from heretic_tui.engine.measuring.checked import of_checks
from heretic_tui.engine.measuring.job import Evaluation, Job, Pool, timed
from heretic_tui.engine.metrics.base import REVIEW
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.review.bench import ReviewBench, Reviewed, digest_of
from heretic_tui.engine.review.checks.base import Check
from heretic_tui.engine.review.review import checks_named
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.words import of_trial
from heretic_tui.work import Work


class CheckedFigures:
    """Measures the metrics of a run that need a check.

    Args:
        evaluation: of the run.
        opened: the pool of it, and whether rows of one batch can be under edits of their own.

    Raises:
        UsageError: where a check has nothing to work with.
        HereticError: where one cannot be made.
    """

    def __init__(
        self, run: RunInputs, model: ChatModel, evaluation: Evaluation, opened: tuple[Pool, bool], work: Work
    ) -> None:
        self._metrics, self._work = evaluation.metrics, work
        metrics = self._metrics
        # What checks keep is of no use here.
        self._kept = TemporaryDirectory(prefix="heretic-tui-checks-")
        sets = {HARMLESS: run.sets["good_evaluation_prompts"], HARMFUL: run.sets["bad_evaluation_prompts"]}
        self._bench = bench = ReviewBench(
            model=model,
            judge=evaluation.judge,
            settings=run.settings,
            prompts=ReviewPrompts({**sets, LOOKALIKE: ()}),
            folder=ReviewFolder(Path(self._kept.name)),
            identity={},
            step_seconds={},
            work=work,
            opened=opened,
        )
        self._checks: Mapping[str, Check] = checks_named(sorted({one.check for one in metrics.review.values()}))
        # By what a subject is, checks know again what they keep of it: each is another one here.
        self._numbers = count()
        for name, check in self._checks.items():
            if why := check.absent(bench):
                keys = ", ".join(key for key, metric in metrics.review.items() if metric.check == name)
                raise UsageError(f"{keys} cannot be measured: {why}")
            check.check(bench, work)
        bases = {name: digest_of(check.basis(bench)) for name, check in self._checks.items()}
        known = run.record.checked_with
        if changed := [name for name, digest in bases.items() if known.get(name, digest) != digest]:
            raise UsageError(
                f"settings or prompts that the check {changed[0]} finds figures of trials with changed since the run "
                "was made: give those of before (heretic-tui show has them), or begin another run"
            )
        if run.own and bases != known:
            run.folder.save_record(replace(run.record, checked_with={**known, **bases}))

    def original(self) -> dict[str, float]:
        """Look at the original model, which trials are compared with. Called once, before `measure`; raises as that.

        Returns its figures by key."""
        for check in self._checks.values():
            check.take_original(self._bench, self._work)
        return self._of({}, None)

    def measure(self, job: Job) -> None:
        """Add its figures to a job that a pool has measured.

        Raises:
            HereticError: where a check or a metric fails.
            torch.OutOfMemoryError: when a single row is too much.
            Aborted: from the control.
        """
        with timed(job, self._metrics.words(REVIEW), self._work):
            job.figures |= self._of(job.edits, job.number)

    def _of(self, edits: Edits, number: int | None) -> dict[str, float]:
        subject = Reviewed(number, edits, next(self._numbers), of_trial(number) if number is not None else "an edit")
        figures: dict[str, float] = {}
        for name, check in self._checks.items():
            for _, found in check.look(self._bench, [subject], self._work):
                if found.problem:
                    raise HereticError(f"{check.title}: {found.problem}")
                figures |= of_checks(self._metrics, name, {figure.key: figure for figure in found.figures})
        return figures
