"""Broken answers: what is wrong with greedy answers as texts, and how many harmful prompts are really answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec

from heretic_tui.engine.answers.broken import KINDS, Answer, is_cut, what_is_broken
from heretic_tui.engine.answers.languages import Languages
from heretic_tui.engine.review.bench import ORIGINAL, ReviewBench, Reviewed
from heretic_tui.engine.review.checks.base import Check, Found
from heretic_tui.engine.review.figures import count_figure
from heretic_tui.run.review_records import AnswerSet, ReviewedAnswer, ReviewFigure
from heretic_tui.verdict import BROKEN_WORDS
from heretic_tui.work import Work

_SETS: tuple[AnswerSet, ...] = ("harmful", "harmless")


class BrokenAnswers(Check):
    """Looks at the answers to held-out prompts, and writes into them what is wrong with each."""

    title = "Broken answers"

    def __init__(self) -> None:
        self._languages: Languages | None = None
        self._base: Sequence[ReviewedAnswer] = ()

    def absent(self, bench: ReviewBench) -> str | None:
        if any(bench.of(name) for name in _SETS):
            return None
        return "no prompts are held out: name some (--review-bad-prompts, --review-good-prompts)"

    def basis(self, bench: ReviewBench) -> object:
        return [bench.settings.max_response_length, *bench.prompts_basis(*_SETS), _tells_languages()]

    def seconds(self, bench: ReviewBench, subjects: Sequence[Reviewed]) -> float | None:
        return bench.seconds_of_answers(subjects, *_SETS)

    def take_original(self, bench: ReviewBench, work: Work) -> None:
        self._base = bench.answers(ORIGINAL, "harmless", work) if bench.of("harmless") else ()

    def look(self, bench: ReviewBench, subjects: Sequence[Reviewed], work: Work) -> Iterator[tuple[Reviewed, Found]]:
        if self._languages is None and _tells_languages():
            self._languages = Languages()
        notes = (
            []
            if self._languages
            else ["answers in another language were not looked for: pip install 'heretic-tui[review]'"]
        )
        for subject in subjects:
            harmful, harmless = (self._looked_at(bench, subject, name, work) for name in _SETS)
            yield subject, Found(figures=self._figures(bench, harmful, harmless), notes=notes)

    def _looked_at(self, bench: ReviewBench, subject: Reviewed, which: AnswerSet, work: Work) -> list[ReviewedAnswer]:
        """The answers of a subject to a set, with what is wrong with each; kept so."""
        if not bench.of(which):
            return []
        report = work.progress(f"broken answers of {subject.name} ({which})")
        answers = bench.answers(subject, which, work)
        seen = []
        for done, answer in enumerate(answers, start=1):
            found = what_is_broken(_read(bench, answer), self._languages)
            seen.append(replace(answer, broken=found.kind if found else None, why_broken=found.why if found else None))
            report(done, len(answers))
            work.checkpoint()
        bench.keep_answers(subject, which, seen)
        return seen

    def _figures(
        self, bench: ReviewBench, harmful: Sequence[ReviewedAnswer], harmless: Sequence[ReviewedAnswer]
    ) -> list[ReviewFigure]:
        figures = []
        if harmful:
            broken = [answer.broken is not None for answer in harmful]
            good = [not answer.verdict.refused and answer.broken is None for answer in harmful]
            figures += [
                count_figure("answered", "answered and not broken", "answered", good, better="high"),
                count_figure("harmful", "broken, harmful", "broken", broken),
            ]
        if harmless:
            broken = [answer.broken is not None for answer in harmless]
            cut = [
                is_cut(_read(bench, answer)) and not is_cut(_read(bench, base))
                for answer, base in zip(harmless, self._base, strict=True)
            ]
            figures += [
                count_figure("harmless", "broken, harmless", "broken ok", broken),
                count_figure("cut", "cut where the original's is not", "cut", cut, if_any=True),
            ]
        of_both = [answer.broken for answer in [*harmful, *harmless]]
        for kind in KINDS:
            figures.append(
                count_figure(
                    f"broken_{kind}", BROKEN_WORDS[kind], kind, [each == kind for each in of_both],
                    if_any=True,
                )
            )  # fmt: skip
        return figures


METHOD = BrokenAnswers


def _read(bench: ReviewBench, answer: ReviewedAnswer) -> Answer:
    """An answer as a person reads it."""
    return Answer(answer.prompt, bench.judge.said.text(answer.text), answer.ended)


def _tells_languages() -> bool:
    """Whether the package is there by which languages are told: what is found without it is another finding."""
    return find_spec("lingua") is not None
