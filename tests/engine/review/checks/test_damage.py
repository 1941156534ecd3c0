"""Damage: the figures of what was measured along the original's answers, and of texts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from heretic_tui.engine.inputs.held_out import HARMLESS
from heretic_tui.engine.review.checks.damage import MeasuredDamage
from heretic_tui.engine.review.damage import greedy_answers, measure_damage, reference_of
from heretic_tui.engine.review.perplexity import encode_texts, likelihood_of_texts
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.work import Work
from tests.support.edited_models import Make, edits_for
from tests.support.reviews import bench_of, figures, look, subjects_of

PROMPTS = [f"prompt {'abcdefghij'[: number + 1]}" for number in range(9)]
TEXTS = ["It rains in the mountains.", "x", "The cat sat on the mat and said nothing at all."]


def test_the_figures_are_of_what_is_measured_along_the_original_s_answers(make_model: Make, tmp_path: Path) -> None:
    model = make_model(batch_size=4)
    edits = edits_for(model, 2.0)
    bench = bench_of(model, tmp_path, harmless=PROMPTS, texts=TEXTS, review_kl_tokens=5)
    original, edited = subjects = subjects_of(edits)
    found = look(MeasuredDamage(), bench, subjects)
    answers = greedy_answers(model, bench.tokens[HARMLESS], 12, Work())
    reference = reference_of(model, bench.pool, answers, Work(), 5)
    for subject in (original, edited):
        damage = measure_damage(model, bench.pool, bench.job(subject), reference, Work(), 12)
        by_key = figures(found[subject.number])
        assert list(by_key) == ["kl", "changed", "perplexity", "perplexity_texts"]
        assert by_key["kl"].value == pytest.approx(damage.kl_by_prompt.mean())
        assert by_key["kl"].name == "KL divergence, first 5 tokens"
        assert by_key["kl"].values == pytest.approx(damage.kl_by_prompt.tolist())
        assert by_key["changed"].values == damage.changed.tolist()
        assert "within 12 tokens" in by_key["changed"].name
        answers_nats, answers_tokens = damage.likelihood.nats.sum(), damage.likelihood.tokens.sum()
        assert by_key["perplexity"].value == pytest.approx(math.exp(answers_nats / answers_tokens))
        assert found[subject.number].curves["kl_by_position"] == pytest.approx(damage.kl_by_position.tolist())
        of_texts = likelihood_of_texts(model, subject.edits, encode_texts(model, TEXTS), Work())
        assert by_key["perplexity_texts"].value == pytest.approx(math.exp(of_texts.nats.sum() / of_texts.tokens.sum()))
        assert by_key["perplexity_texts"].of == 2, "a text of one token has nothing to be told"
    assert figures(found[None])["kl"].value == pytest.approx(0, abs=1e-9)
    assert figures(found[None])["changed"].value == 0
    assert (figures(found[1])["kl"].value or 0) > 1e-4
    assert figures(found[1])["perplexity"].value != pytest.approx(figures(found[None])["perplexity"].value)


def test_positions_that_no_answer_gets_to_are_not_on_the_curve(make_model: Make, tmp_path: Path) -> None:
    model = make_model(batch_size=4)
    # Whatever is said ends the answer at once.
    model.end_tokens = frozenset(range(256))
    bench = bench_of(model, tmp_path, harmless=PROMPTS)
    found = look(MeasuredDamage(), bench, subjects_of(edits_for(model, 0.8)))[1]
    assert len(found.curves["kl_by_position"]) == 1
    assert figures(found)["kl"].name == "KL divergence, first token"
    assert all(math.isfinite(value or 0) for figure in found.figures for value in figure.values or ())


def test_texts_alone_are_enough_and_nothing_is_not(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    bench = bench_of(model, tmp_path, harmful=PROMPTS, texts=TEXTS)
    assert MeasuredDamage().absent(bench) is None
    found = look(MeasuredDamage(), bench, subjects_of())[None]
    assert list(figures(found)) == ["perplexity_texts"]
    assert not found.curves
    assert "--review-texts" in (MeasuredDamage().absent(bench_of(model, tmp_path, harmful=PROMPTS)) or "")
    with pytest.raises(UsageError, match="no text of two tokens"):
        MeasuredDamage().check(bench_of(model, tmp_path, texts=["x"]), Work())


def test_other_texts_and_another_number_of_tokens_are_another_basis(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    bases = [
        MeasuredDamage().basis(bench_of(model, tmp_path, harmless=PROMPTS, **given))
        for given in ({}, {"texts": TEXTS}, {"review_kl_tokens": 9})
    ]
    assert all(bases.count(basis) == 1 for basis in bases)


def test_a_model_that_reads_prompts_as_other_tokens_cannot_be_compared(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    check = MeasuredDamage()
    look(check, bench_of(model, tmp_path, harmless=PROMPTS), subjects_of())
    other = make_model()
    other.response_prefix = "Well"
    _, edited = subjects_of({})
    with pytest.raises(HereticError, match="reads prompts as other tokens than the original one"):
        list(check.look(bench_of(other, tmp_path, harmless=PROMPTS), [edited], Work()))


def test_what_is_as_good_as_impossible_has_no_perplexity_and_a_note(make_model: Make, tmp_path: Path) -> None:
    model = make_model(batch_size=4)
    with_head = model.network.get_output_embeddings()
    check, bench = MeasuredDamage(), bench_of(model, tmp_path, harmless=PROMPTS)
    check.take_original(bench, Work())
    with_head.weight.data *= -1e4
    ((_, found),) = check.look(bench, subjects_of(), Work())
    assert figures(found)["perplexity"].value is None
    assert figures(found)["perplexity"].text == ""
    assert found.notes == ["perplexity, original's answers: beyond all numbers"]
    assert np.isfinite(figures(found)["kl"].value or 0)
