"""Refusals under sampling: several answers to each held-out prompt, drawn as the model's own settings say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from heretic_tui.commands import Sampling
from heretic_tui.engine.inputs.held_out import HARMFUL
from heretic_tui.engine.review.bench import ReviewBench, Reviewed
from heretic_tui.engine.review.checks.base import Check, Found
from heretic_tui.engine.review.figures import SEED, count_figure, mean_figure
from heretic_tui.engine.review.sampled import SampledAnswers, own_sampling, sample_answers
from heretic_tui.records import as_json
from heretic_tui.words import counted
from heretic_tui.work import Work

# Batches of rows that are drawn in one go: of fewer, those of the last ones would be a large part, and where there are
# many more, much would be lost with an abort.
_BATCHES = 4


class UnderSampling(Check):
    """The share of refused answers, and the prompts of which at least one answer is refused."""

    title = "Refusals under sampling"

    def __init__(self) -> None:
        self._sampling: Sampling | None = None

    def absent(self, bench: ReviewBench) -> str | None:
        if bench.of("harmful"):
            return None
        return "no harmful prompts are held out: name some (--review-bad-prompts)"

    def basis(self, bench: ReviewBench) -> object:
        return [as_json(self._how(bench)), bench.settings.review_samples, *bench.prompts_basis("harmful")]

    def seconds(self, bench: ReviewBench, subjects: Sequence[Reviewed]) -> float | None:
        return bench.seconds_of("harmful", len(subjects) * bench.settings.review_samples)

    def look(self, bench: ReviewBench, subjects: Sequence[Reviewed], work: Work) -> Iterator[tuple[Reviewed, Found]]:
        sampling, count = self._how(bench), bench.settings.review_samples
        # What was drawn of several subjects in one batch is there at once.
        several = math.ceil(_BATCHES * bench.model.batch_size / _rows(bench)) if bench.together else 1
        for start in range(0, len(subjects), several):
            some = subjects[start : start + several]
            drawn = sample_answers(
                bench.model, bench.judge, bench.tokens[HARMFUL], [subject.edits for subject in some], sampling, count,
                bench.together, work,
            )  # fmt: skip
            for subject, answers in zip(some, drawn, strict=True):
                yield subject, _found(answers, count)

    def _how(self, bench: ReviewBench) -> Sampling:
        """As the settings of the original model say, which is asked first: all subjects are sampled alike."""
        if self._sampling is None:
            self._sampling = own_sampling(bench.model, bench.settings.max_response_length, SEED)
        return self._sampling


METHOD = UnderSampling


def _rows(bench: ReviewBench) -> int:
    """Of one subject."""
    return len(bench.of("harmful")) * bench.settings.review_samples


def _found(answers: SampledAnswers, count: int) -> Found:
    how = f"temperature {answers.sampling.temperature:g} and top-p {answers.sampling.top_p:g}"
    return Found(
        figures=[
            mean_figure("refused", "refused, sampled", "sampled", answers.by_prompt.tolist(), form="share"),
            count_figure("once", "refused at least once", "once", [bool(one) for one in answers.at_least_once]),
        ],
        notes=[f"{counted(count, 'answer')} to each prompt, drawn at {how}"],
    )
