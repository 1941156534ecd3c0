"""Figures of trials that checks of reviews find: as objectives, beside others, in both ways of measuring, and later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.engine.inputs.held_out import HARMFUL, HARMLESS, LOOKALIKE, ReviewPrompts
from heretic_tui.engine.measuring.plain_pool import PlainPool
from heretic_tui.engine.metrics.base import metrics_named
from heretic_tui.engine.review.bench import ReviewBench, Reviewed
from heretic_tui.engine.review.checks.damage import MeasuredDamage
from heretic_tui.engine.review.checks.sampling import UnderSampling
from heretic_tui.engine.session.phases.checked_figures import CheckedFigures
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.events import BaselineMeasured, Event
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.review_records import ReviewFigure
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work

KERNEL = Kernel(1.0, 6.0, 0.5, 6.0)
EDIT = Parameters(None, {"attn.o_proj": KERNEL, "mlp.down_proj": KERNEL})

Open = Callable[..., Workbench]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """A workbench of the demo's model with a few of its prompts."""
    given = settings_of_the_demo()
    counts = {"good_prompts": 30, "bad_prompts": 30, "good_evaluation_prompts": 6, "bad_evaluation_prompts": 6}
    for name, count in counts.items():
        given[name] = {**cast(dict[str, str], given[name]), "split": f"[:{count}]"}
    given |= {"max_response_length": 24, "batch_size": 24, "response_prefix": "", "review_samples": 2}

    def open_one(told: Callable[[Event], None] = lambda event: None, folder: str = "run", **more: object) -> Workbench:
        settings = load_settings({**given, **more}, environment=False)
        return Workbench.open(settings, folder=tmp_path / folder, work=Work(told))

    return open_one


def test_they_are_what_the_checks_find_on_the_evaluation_prompts(opened: Open, tmp_path: Path) -> None:
    told: list[Event] = []
    chosen = {"objectives": ["kl_of_answers", "sampled_refusals"], "figures": ["changed_answers"]}
    bench = opened(told.append, **chosen)
    metrics = bench.baseline.evaluation.metrics
    assert metrics.stopping is None
    assert not metrics.responses, "nothing is decoded but what the checks decode"
    found = bench.measure(EDIT).figures

    sets = {HARMLESS: "good_evaluation_prompts", HARMFUL: "bad_evaluation_prompts"}
    prompts = ReviewPrompts({name: bench.run.sets[ours] for name, ours in sets.items()} | {LOOKALIKE: ()})
    judge, folder = bench.baseline.evaluation.judge, ReviewFolder(tmp_path / "review")
    review = ReviewBench(bench.model, judge, bench.run.settings, prompts, folder, {}, {}, Work())
    subject = Reviewed(1, bench.edits(EDIT), None)
    figures: dict[str, ReviewFigure] = {}
    for check in (MeasuredDamage(), UnderSampling()):
        check.take_original(review, Work())
        figures |= {figure.key: figure for _, each in check.look(review, [subject], Work()) for figure in each.figures}
    changed = figures["changed"]
    assert found == {
        "kl_of_answers": pytest.approx(figures["kl"].value, rel=1e-3),
        "sampled_refusals": figures["refused"].value,
        "changed_answers": changed.number / 6,
    }
    assert found["kl_of_answers"] > 0
    # What they are of the original model is told when they are known.
    bases = [event.figures for event in told if isinstance(event, BaselineMeasured)]
    assert bases[-1] == bench.baseline.figures
    assert bases[-1]["kl_of_answers"] == pytest.approx(0.0, abs=1e-6)
    assert bases[-1]["sampled_refusals"] > found["sampled_refusals"]


def test_the_plain_way_gives_the_same(opened: Open) -> None:
    bench = opened(objectives=["kl_of_answers", "refusals"], figures=["sampled_refusals"])
    evaluation, work = bench.baseline.evaluation, Work()
    plain = PlainPool(bench.model, evaluation, work)
    checked = CheckedFigures(bench.run, bench.model, evaluation, (plain, False), work)
    base = checked.original()
    assert base["sampled_refusals"] == bench.baseline.figures["sampled_refusals"]
    slow = replace(bench.baseline, pool=plain, trials_at_once=1, checked=checked)
    assert slow.measure(bench.job(None, EDIT)).figures == pytest.approx(bench.measure(EDIT).figures, rel=1e-3)


def test_a_run_keeps_to_what_it_was_measured_with(opened: Open) -> None:
    chosen = {"objectives": ["kl_of_answers", "refusals"]}
    opened(**chosen)
    opened(**chosen)
    opened(**chosen, review_samples=3)
    with pytest.raises(UsageError, match=r"settings or prompts that the check damage .* changed since"):
        opened(**chosen, review_kl_tokens=3)


def test_a_check_without_anything_to_work_with_is_told_before_the_search(opened: Open) -> None:
    with pytest.raises(UsageError, match="benchmark cannot be measured: no task is chosen"):
        opened(figures=["benchmark"])


def test_of_benchmarks_the_main_figures_count() -> None:
    metric = metrics_named(["kl_divergence", "benchmark"], "", 8).review["benchmark"]

    def score(key: str, short: str, value: float, better: str | None = "high") -> ReviewFigure:
        return ReviewFigure(key=key, name=f"{short} acc", short=short, value=value, form="share", better=better)  # type: ignore[arg-type]

    found = [score("a", "a", 0.5), score("b", "b", 0.75), score("b.c", "c", 0.0)]
    assert metric.of({each.key: each for each in found}) == pytest.approx(0.375)
    assert metric.of({"b.c": found[2], "b.d": score("b.d", "d", 1.0)}) == pytest.approx(0.5), "a group without its own"
    with pytest.raises(HereticError, match="perplexity acc is no score"):
        metric.of({"perplexity": score("perplexity", "perplexity", 0.5, "low")})
