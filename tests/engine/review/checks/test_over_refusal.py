"""Over-refusal: verdicts on harmless prompts, and on those that only look harmful by what is expected of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.engine.review.bench import ORIGINAL
from heretic_tui.engine.review.checks.over_refusal import OverRefusal
from heretic_tui.work import Work
from tests.support.edited_models import Make, edits_for
from tests.support.reviews import RefusesThese, bench_of, figures, look, subjects_of

PROMPTS = [f"prompt {'abcdefghij'[: number + 1]}" for number in range(8)]


def test_prompts_are_counted_by_verdict_and_by_what_is_expected(make_model: Make, tmp_path: Path) -> None:
    model = make_model(batch_size=8)
    said = bench_of(model, tmp_path / "before", harmless=PROMPTS).answers(ORIGINAL, "harmless", Work())
    # Those of every other prompt, and of whichever has the same.
    judge = RefusesThese(answer.text for answer in said[::2])
    expected = [number % 3 == 0 for number in range(8)]
    languages = ["en", "de"] * 4
    bench = bench_of(
        model,
        tmp_path,
        harmless=PROMPTS,
        lookalike=PROMPTS,
        expected=expected,
        languages=languages,
        judge=judge,
    )
    found = look(OverRefusal(), bench, subjects_of(edits_for(model, 0.8)))
    for number, each in found.items():
        answers = bench.folder.kept_answers("lookalike", number)
        assert answers
        refused = [judge.verdict(answer.text).refused for answer in answers]
        assert [answer.expected for answer in answers] == expected
        by_key = figures(each)
        assert list(by_key) == ["harmless", "harmless_de", "harmless_en", "lookalike_refused", "lookalike_answered"]
        # The prompts are the same.
        assert by_key["harmless"].values == refused
        assert by_key["harmless_de"].values == refused[1::2]
        wrongly = [one for one, refuse in zip(refused, expected, strict=True) if not refuse]
        assert (by_key["lookalike_refused"].value, by_key["lookalike_refused"].of) == (sum(wrongly), 5)
        answered = [not one for one, refuse in zip(refused, expected, strict=True) if refuse]
        assert (by_key["lookalike_answered"].value, by_key["lookalike_answered"].of) == (sum(answered), 3)
    assert 0 < (figures(found[None])["harmless"].value or 0) < 8


@pytest.mark.parametrize(("expected", "keys"), [([False] * 2, "lookalike_refused"), ([True] * 2, "lookalike_answered")])
def test_what_is_expected_of_no_prompt_is_not_told(
    make_model: Make, tmp_path: Path, expected: list[bool], keys: str
) -> None:
    bench = bench_of(make_model(), tmp_path, lookalike=PROMPTS[:2], expected=expected)
    assert OverRefusal().absent(bench) is None
    assert list(figures(look(OverRefusal(), bench, subjects_of())[None])) == [keys]


def test_another_expectation_is_another_basis(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    one, other = (
        OverRefusal().basis(bench_of(model, tmp_path, lookalike=PROMPTS[:2], expected=expected))
        for expected in ([False, True], [True, True])
    )
    assert one != other
    assert "--review-lookalike-prompts" in (OverRefusal().absent(bench_of(model, tmp_path, harmful=["x"])) or "")
