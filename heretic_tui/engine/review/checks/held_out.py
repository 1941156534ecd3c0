"""Held-out prompts: refusals and KL divergence on prompts that neither directions nor search saw, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from heretic_tui.engine.inputs.held_out import HARMFUL, HARMLESS
from heretic_tui.engine.measuring.base_model import first_tokens
from heretic_tui.engine.metrics.kl_divergence import kl_divergence
from heretic_tui.engine.review.bench import ORIGINAL, ReviewBench, Reviewed
from heretic_tui.engine.review.checks.base import Check, Found
from heretic_tui.engine.review.figures import mean_figure, refused_by_language, refused_figure
from heretic_tui.errors import HereticError
from heretic_tui.run.review_records import ReviewFigure
from heretic_tui.work import Work


class HeldOut(Check):
    """Greedy responses to harmful prompts and the KL divergence of the first token after harmless ones, as the search
    measures them."""

    title = "Held-out prompts"

    def __init__(self) -> None:
        self._base: Tensor | None = None

    def absent(self, bench: ReviewBench) -> str | None:
        if any(bench.prompts.sets[name] for name in (HARMFUL, HARMLESS)):
            return None
        return "no prompts are held out: name some (--review-bad-prompts, --review-good-prompts)"

    def basis(self, bench: ReviewBench) -> object:
        return [bench.settings.max_response_length, *bench.prompts_basis("harmful", "harmless")]

    def seconds(self, bench: ReviewBench, subjects: Sequence[Reviewed]) -> float | None:
        return bench.seconds_of_answers(subjects, "harmful")

    def take_original(self, bench: ReviewBench, work: Work) -> None:
        if rows := len(bench.of("harmless")):
            self._base = first_tokens(bench.pool, bench.job(ORIGINAL), rows)

    def look(self, bench: ReviewBench, subjects: Sequence[Reviewed], work: Work) -> Iterator[tuple[Reviewed, Found]]:
        for subject in subjects:
            figures: list[ReviewFigure] = []
            if bench.of("harmful"):
                answers = bench.answers(subject, "harmful", work)
                figures.append(refused_figure("refused", "refused, held out", "held-out", answers))
                figures += refused_by_language("refused", "refused, held out", answers)
            if self._base is not None:
                figures.append(_divergence(bench, subject, self._base))
            yield subject, Found(figures=figures)


METHOD = HeldOut


def _divergence(bench: ReviewBench, subject: Reviewed, base: Tensor) -> ReviewFigure:
    edited = first_tokens(bench.pool, bench.job(subject), len(base))
    if edited.shape != base.shape:
        raise HereticError(
            f"{subject.name} has logits for {edited.shape[-1]:,} tokens and the original one for {base.shape[-1]:,}: "
            "their first tokens cannot be compared"
        )
    with torch.inference_mode():
        # It is never negative, but for rounding.
        values = kl_divergence(base.double(), edited.double()).clamp(min=0).tolist()
    return mean_figure("kl", "KL divergence, first token", "KL", values)
