"""What the trials of a search are measured by, here or on workers, and what they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from heretic_tui.engine.measuring.base_model import keep_responses, kept_responses
from heretic_tui.engine.measuring.job import Evaluation, Job, JobPool
from heretic_tui.engine.measuring.openings import Openings
from heretic_tui.engine.metrics.base import Response
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.parameters import Parameters


@dataclass(frozen=True)
class TrialBench:
    """
    Attributes:
        evaluation: what trials are measured on.
        responses: of the base model to the bad evaluation prompts; empty where no metric needs them.
        figures: of the base model, by key.
        trials_at_once: how many are in hand while their responses are decoded.
        looks_at_once: how many are in hand of those that are only looked at.
        job: an edit (by the number of its trial, and its parameters) ready for the pool.
        add_checked: adds to a job that was measured in full what checks find of its edit, unless the pool does so.
        find_openings: how refusals of the model begin, None where that tells nothing. Raises as `Workbench.openings`.
    """

    run: RunInputs
    evaluation: Evaluation
    responses: Sequence[Response]
    figures: Mapping[str, float]
    pool: JobPool
    trials_at_once: int
    looks_at_once: int
    job: Callable[[int, Parameters | None], Job]
    add_checked: Callable[[Job], None]
    find_openings: Callable[[], Openings | None]

    @classmethod
    def here(cls, bench: Workbench) -> TrialBench:
        """Trials are measured by a model in this process."""
        baseline = bench.baseline
        return cls(
            bench.run,
            baseline.evaluation,
            baseline.responses,
            baseline.figures,
            baseline.pool,
            baseline.trials_at_once,
            bench.run.record.looks_at_once,
            bench.job,
            baseline.add_checked,
            lambda: bench.openings,
        )

    @cached_property
    def openings(self) -> Openings | None:
        """How refusals of the model begin; found when it is first asked for. Raises as `find_openings`."""
        return self.find_openings()

    def keep_responses(self, trial: int, responses: Sequence[Response | None]) -> None:
        """Write the responses of a trial to the run folder."""
        keep_responses(self.run.folder, trial, self.run.sets["bad_evaluation_prompts"], responses)

    def kept_responses(self, trial: int) -> list[Response] | None:
        """The responses of a trial that was measured in full; None where there are none that this version can use.

        Raises:
            UsageError: when they are damaged.
        """
        return kept_responses(self.run.folder, trial, len(self.run.sets["bad_evaluation_prompts"]))
