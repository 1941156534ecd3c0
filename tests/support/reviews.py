"""A review's bench around a tiny model, and what a check finds on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from heretic_tui.engine.edits.attach import Edits
from heretic_tui.engine.inputs.held_out import HARMFUL, HARMLESS, LOOKALIKE, ReviewPrompts
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.metrics.judges.base import Judge
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.review.bench import ORIGINAL, ReviewBench, Reviewed
from heretic_tui.engine.review.checks.base import Check, Found
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.review_records import ReviewFigure, Subject
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.verdict import Verdict
from heretic_tui.work import Work

NEVER = Markers(["\x00 never"])


def bench_of(
    model: ChatModel,
    folder: Path,
    harmful: Sequence[str] = (),
    harmless: Sequence[str] = (),
    lookalike: Sequence[str] = (),
    expected: Sequence[bool] = (),
    texts: Sequence[str] = (),
    languages: Sequence[str] = (),
    judge: Judge = NEVER,
    **settings: Any,
) -> ReviewBench:
    """A bench with these prompts; answers have up to 12 tokens."""
    sets = {HARMFUL: harmful, HARMLESS: harmless, LOOKALIKE: lookalike}
    prompts = ReviewPrompts(
        {name: tuple(Prompt(text, "") for text in some) for name, some in sets.items()},
        languages={HARMFUL: languages, HARMLESS: languages} if languages else {},
        expected=expected,
        texts=texts,
    )
    chosen = load_settings({"model": "acme/tiny", "max_response_length": 12, **settings}, environment=False)
    return ReviewBench(model, RunJudge(judge), chosen, prompts, ReviewFolder(folder), {"model": "tiny"}, {}, Work())


def subjects_of(*edits: Edits) -> list[Reviewed]:
    """The original model, and trials with these edits from 1 on."""
    return [ORIGINAL, *(Reviewed(number, each, number) for number, each in enumerate(edits, start=1))]


def look(
    check: Check, bench: ReviewBench, subjects: Sequence[Reviewed], work: Work | None = None
) -> dict[Subject, Found]:
    """What a check finds of each subject, in the order in which it is found."""
    work = work or Work()
    check.check(bench, work)
    check.take_original(bench, work)
    return {subject.number: found for subject, found in check.look(bench, subjects, work)}


def figures(found: Found) -> dict[str, ReviewFigure]:
    """By their keys."""
    by_key = {figure.key: figure for figure in found.figures}
    assert len(by_key) == len(found.figures)
    return by_key


class RefusesThese:
    """A judge that knows which texts are refusals."""

    judged = "are some texts"

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = frozenset(texts)

    @classmethod
    def made(cls, settings: Settings, special_tokens: Sequence[str]) -> RefusesThese:
        return cls(())

    def verdict(self, text: str) -> Verdict:
        return Verdict(text in self._texts, None)

    def certain(self, text: str) -> bool:
        return False
