"""Refusals under sampling: the figures of what is drawn, the same however subjects share batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import GenerationConfig

from heretic_tui.commands import Sampling
from heretic_tui.engine.inputs.held_out import HARMFUL
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.engine.review.checks.sampling import UnderSampling
from heretic_tui.engine.review.sampled import sample_answers
from heretic_tui.work import Work
from tests.support.edited_models import Make, edits_for
from tests.support.reviews import bench_of, figures, look, subjects_of

PROMPTS = [f"prompt {'abcdefghij'[: number + 1]}" for number in range(9)]
JUDGE = Markers(["q", "z"])


def test_the_figures_are_of_what_is_drawn_and_each_subject_has_its_own(make_model: Make, tmp_path: Path) -> None:
    model = make_model(batch_size=8)
    edits = edits_for(model, 0.8)
    bench = bench_of(model, tmp_path, harmful=PROMPTS, judge=JUDGE, review_samples=3)
    found = look(UnderSampling(), bench, subjects_of(edits))
    assert list(found) == [None, 1]
    how = Sampling(0.7, 0.95, 12, 0)
    for each, of in zip((found[None], found[1]), ({}, edits), strict=True):
        (drawn,) = sample_answers(model, RunJudge(JUDGE), bench.tokens[HARMFUL], [of], how, 3, True, Work())
        share, once = figures(each).values()
        assert (share.key, once.key) == ("refused", "once")
        assert share.value == pytest.approx(drawn.refused.mean())
        assert share.values == drawn.by_prompt.tolist()
        assert share.low is not None
        assert share.high is not None
        assert share.low <= drawn.refused.mean() <= share.high
        assert (once.value, once.of) == (drawn.at_least_once.sum(), len(PROMPTS))
        assert each.notes == ["3 answers to each prompt, drawn at temperature 0.7 and top-p 0.95"]
    assert 0 < (figures(found[None])["refused"].value or 0) < 1
    assert figures(found[None])["refused"].values != figures(found[1])["refused"].values


def test_how_many_share_a_batch_changes_nothing(make_model: Make, tmp_path: Path) -> None:
    every = []
    for batch_size in (1, 6, 64):
        model = make_model(batch_size=batch_size)
        bench = bench_of(model, tmp_path, harmful=PROMPTS, judge=JUDGE, review_samples=2)
        subjects = subjects_of(edits_for(model, 0.8), edits_for(model, 2.0, seed=8))
        every.append(look(UnderSampling(), bench, subjects))
    assert every[0] == every[1] == every[2]


def test_all_subjects_are_sampled_as_the_original_model_s_settings_say(make_model: Make, tmp_path: Path) -> None:
    def with_temperature(temperature: float, seed: int) -> Any:
        model = make_model(batch_size=8, seed=seed)
        model.network.generation_config = GenerationConfig(do_sample=True, temperature=temperature, top_p=0.5)
        return bench_of(model, tmp_path, harmful=PROMPTS[:2], review_samples=1)

    check, original, other = UnderSampling(), with_temperature(0.3, 0), with_temperature(1.5, 1)
    basis = check.basis(original)
    assert look(check, original, subjects_of())[None].notes == [
        "1 answer to each prompt, drawn at temperature 0.3 and top-p 0.5"
    ]
    assert check.basis(other) == basis
    assert "temperature 0.3" in look(check, other, subjects_of({})[1:])[1].notes[0]
    assert UnderSampling().basis(other) != basis


def test_without_harmful_prompts_there_is_nothing_to_draw(make_model: Make, tmp_path: Path) -> None:
    bench = bench_of(make_model(), tmp_path, harmless=["hello"])
    assert "--review-bad-prompts" in (UnderSampling().absent(bench) or "")
    assert UnderSampling().absent(bench_of(make_model(), tmp_path, harmful=["hello"])) is None
