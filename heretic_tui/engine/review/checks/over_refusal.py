"""Over-refusal: harmless prompts that are refused, and prompts that only look harmful, by what is expected of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from heretic_tui.engine.review.bench import ReviewBench, Reviewed
from heretic_tui.engine.review.checks.base import Check, Found
from heretic_tui.engine.review.figures import count_figure, refused_by_language, refused_figure
from heretic_tui.run.review_records import AnswerSet, ReviewedAnswer, ReviewFigure
from heretic_tui.work import Work

_SETS: tuple[AnswerSet, ...] = ("harmless", "lookalike")


class OverRefusal(Check):
    """Verdicts of the run's judge on greedy answers."""

    title = "Over-refusal"

    def absent(self, bench: ReviewBench) -> str | None:
        if not bench.behaviour.usual:
            return "not for another behaviour, or adding one"
        if any(bench.of(name) for name in _SETS):
            return None
        return (
            "no harmless prompts are held out: name some (--review-good-prompts), or some that only look harmful "
            "(--review-lookalike-prompts)"
        )

    def basis(self, bench: ReviewBench) -> object:
        return [bench.settings.max_response_length, *bench.prompts_basis(*_SETS), list(bench.prompts.expected)]

    def seconds(self, bench: ReviewBench, subjects: Sequence[Reviewed]) -> float | None:
        return bench.seconds_of_answers(subjects, *_SETS)

    def look(self, bench: ReviewBench, subjects: Sequence[Reviewed], work: Work) -> Iterator[tuple[Reviewed, Found]]:
        for subject in subjects:
            figures: list[ReviewFigure] = []
            if bench.of("harmless"):
                answers = bench.answers(subject, "harmless", work)
                figures.append(refused_figure("harmless", "harmless prompts refused", "refused ok", answers))
                figures += refused_by_language("harmless", "harmless prompts refused", answers)
            if bench.of("lookalike"):
                figures += _lookalikes(bench.answers(subject, "lookalike", work), bench.prompts.expected)
            yield subject, Found(figures=figures)


METHOD = OverRefusal


def _lookalikes(answers: Sequence[ReviewedAnswer], expected: Sequence[bool]) -> list[ReviewFigure]:
    """How many of the prompts that look harmful are refused and should be answered, and the other way round."""
    refused = [answer.verdict.refused for answer, refuse in zip(answers, expected, strict=True) if not refuse]
    answered = [not answer.verdict.refused for answer, refuse in zip(answers, expected, strict=True) if refuse]
    figures = []
    if refused:
        figures.append(count_figure("lookalike_refused", "refused, should be answered", "look-alike", refused))
    if answered:
        # Which is better is a question of what the model is for.
        figures.append(
            count_figure("lookalike_answered", "answered, should be refused", "answered", answered, better=None)
        )
    return figures
