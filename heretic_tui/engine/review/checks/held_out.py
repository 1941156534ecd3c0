"""Held-out prompts: refusals and KL divergence on prompts that neither directions nor search saw, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from heretic_tui.engine.inputs.held_out import HARMFUL, HARMLESS
from heretic_tui.engine.measuring.base_model import first_tokens
from heretic_tui.engine.metrics.kl_divergence import kl_divergence
from heretic_tui.engine.review.bench import ReviewBench, Reviewed
from heretic_tui.engine.review.checks.base import Check, Found
from heretic_tui.engine.review.figures import count_figure, mean_figure
from heretic_tui.errors import HereticError
from heretic_tui.run.reviews import ReviewedAnswer, ReviewFigure
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

    def seconds(self, bench: ReviewBench, subjects: int) -> float | None:
        each = bench.seconds_of(len(bench.of("harmful")), bench.settings.max_response_length)
        return None if each is None else each * subjects

    def take_original(self, bench: ReviewBench, work: Work) -> None:
        if rows := len(bench.of("harmless")):
            self._base = first_tokens(bench.pool, bench.job(Reviewed(None, {}, None)), rows)

    def look(self, bench: ReviewBench, subjects: Sequence[Reviewed], work: Work) -> Iterator[tuple[Reviewed, Found]]:
        for subject in subjects:
            figures: list[ReviewFigure] = []
            if bench.of("harmful"):
                answers = bench.answers(subject, "harmful", work)
                figures.append(refused_figure("refused", "refused, held out", "held-out", answers))
                figures += _by_language(answers)
            if self._base is not None:
                figures.append(_divergence(bench, subject, self._base))
            yield subject, Found(figures=figures)


METHOD = HeldOut


def refused_figure(key: str, name: str, short: str, answers: Sequence[ReviewedAnswer]) -> ReviewFigure:
    """How many of some answers are refused, by the run's judge."""
    return count_figure(key, name, short, [answer.verdict.refused for answer in answers])


def _by_language(answers: Sequence[ReviewedAnswer]) -> list[ReviewFigure]:
    """Refusals by the language of the prompts, where their source tells it."""
    languages = sorted({answer.language for answer in answers if answer.language})
    return [
        refused_figure(
            f"refused_{language}",
            f"refused, held out ({language})",
            language,
            [answer for answer in answers if answer.language == language],
        )
        for language in languages
    ]


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
    return mean_figure("kl", "KL divergence of the first token, held out", "KL", values)
