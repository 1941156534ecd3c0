"""Damage: how far an edit takes the model away from the original's own answers to harmless prompts, and from texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from heretic_tui.engine.inputs.held_out import HARMLESS
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.review.bench import ReviewBench, Reviewed
from heretic_tui.engine.review.checks.base import Check, Found
from heretic_tui.engine.review.damage import WITHIN, Damage, Reference, greedy_answers, measure_damage, reference_of
from heretic_tui.engine.review.figures import count_figure, mean_figure, perplexity_figure
from heretic_tui.engine.review.perplexity import encode_texts, likelihood_of_texts
from heretic_tui.errors import HereticError
from heretic_tui.run.review_records import ReviewFigure
from heretic_tui.work import Work


class MeasuredDamage(Check):
    """KL divergence along the original's greedy answers, their perplexity, and how many are other ones; perplexity of
    the user's texts."""

    title = "Damage"

    def __init__(self) -> None:
        self._reference: Reference | None = None

    def absent(self, bench: ReviewBench) -> str | None:
        if bench.of("harmless") or bench.prompts.texts:
            return None
        return "no harmless prompts are held out: name some (--review-good-prompts), or texts (--review-texts)"

    def basis(self, bench: ReviewBench) -> object:
        settings = bench.settings
        lengths = [settings.max_response_length, settings.review_kl_tokens]
        return [*lengths, *bench.prompts_basis("harmless"), list(bench.prompts.texts)]

    def check(self, bench: ReviewBench, work: Work) -> None:
        _texts(bench)

    def seconds(self, bench: ReviewBench, subjects: Sequence[Reviewed]) -> float | None:
        # The original model's answers; what comes after them is read, not decoded.
        return bench.seconds_of("harmless")

    def take_original(self, bench: ReviewBench, work: Work) -> None:
        if not bench.of("harmless"):
            return
        length = bench.settings.max_response_length
        answers = greedy_answers(bench.model, bench.tokens[HARMLESS], length, work)
        positions = min(bench.settings.review_kl_tokens, length)
        self._reference = reference_of(bench.model, bench.pool, answers, work, positions)

    def look(self, bench: ReviewBench, subjects: Sequence[Reviewed], work: Work) -> Iterator[tuple[Reviewed, Found]]:
        texts, within = _texts(bench), min(WITHIN, bench.settings.max_response_length)
        for subject in subjects:
            figures: list[ReviewFigure] = []
            curves: dict[str, list[float]] = {}
            if self._reference is not None:
                if list(bench.tokens[HARMLESS]) != list(self._reference.answers.prompts):
                    raise HereticError(
                        f"{subject.name} reads prompts as other tokens than the original one: answers cannot be "
                        "compared token by token"
                    )
                damage = measure_damage(bench.model, bench.pool, bench.job(subject), self._reference, work, within)
                figures += _figures(damage)
                # Positions that no answer gets to are the last ones.
                curves["kl_by_position"] = damage.kl_by_position[damage.prompts_by_position > 0].tolist()
            if texts:
                likelihood = likelihood_of_texts(bench.model, subject.edits, texts, work)
                figures.append(perplexity_figure("perplexity_texts", "perplexity of the texts", "texts", likelihood))
            beyond = [f"{figure.name}: beyond all numbers" for figure in figures if figure.value is None]
            yield subject, Found(figures=figures, notes=beyond, curves=curves)


METHOD = MeasuredDamage


def _texts(bench: ReviewBench) -> list[Tokens]:
    return encode_texts(bench.model, bench.prompts.texts) if bench.prompts.texts else []


def _figures(damage: Damage) -> list[ReviewFigure]:
    # Where the model has no room for an answer there is nothing to compare.
    there = damage.likelihood.tokens > 0
    positions = int((damage.prompts_by_position > 0).sum())
    first = "first token" if positions == 1 else f"first {positions} tokens"
    return [
        mean_figure("kl", f"KL divergence, {first}", f"KL:{positions}", damage.kl_by_prompt[there].tolist()),
        count_figure(
            "changed", f"changed within {damage.within} tokens", "changed",
            [bool(one) for one in damage.changed[there]],
        ),
        perplexity_figure("perplexity", "perplexity, original's answers", "perplexity", damage.likelihood),
    ]  # fmt: skip
