"""Every shortcut of a trial on and off, on the demo model: the same figures for twenty random trials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.plain_pool import PlainPool
from heretic_tui.engine.measuring.speculation import StepCost
from heretic_tui.engine.threads import PROCESS, Way
from heretic_tui.work import Work
from tests.support.trial_course import Course, assert_same


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Course:
    settings: dict[str, Any] = {
        **settings_of_the_demo(),
        "batch_size": 64,
        "response_prefix": "",
        "layer_test_prompts": 1,
    }
    for name in ("good_evaluation_prompts", "bad_evaluation_prompts"):
        settings[name] = {**settings[name], "split": "[:50]"}
    return Course(tmp_path_factory.mktemp("course"), settings)


@pytest.fixture(scope="module")
def expected(demo: Course) -> list[Job]:
    return demo.measure(PlainPool(demo.bench.model, demo.evaluation, Work()), 1)


Patch = Callable[[pytest.MonkeyPatch], None]
WITHOUT: dict[str, Patch] = {
    "any left out": lambda patch: None,
    "kept states": lambda patch: patch.setattr(
        "heretic_tui.engine.measuring.prefill.memory_share", lambda device, share: 0
    ),
    "shared prefix": lambda patch: patch.setattr("heretic_tui.engine.measuring.prefill.shared_prefix", lambda rows: []),
    "early verdicts": lambda patch: patch.setattr("heretic_tui.engine.measuring.fast_pool.LOOK_EVERY", 10**6),
}


@pytest.mark.parametrize("shortcut", WITHOUT)
def test_without(demo: Course, expected: list[Job], monkeypatch: pytest.MonkeyPatch, shortcut: str) -> None:
    WITHOUT[shortcut](monkeypatch)
    pool = FastPool(demo.bench.model, demo.evaluation, StepCost({}), Work())
    assert_same(demo.measure(pool, 3), expected)
    assert len({job.refusals for job in expected}) > 5, "the trials must differ"


def test_one_trial_at_a_time_and_with_guesses(demo: Course, expected: list[Job]) -> None:
    free = StepCost({1: 1.0, 10_000: 1.0})
    pool = FastPool(demo.bench.model, demo.evaluation, free, Work())
    assert_same(demo.measure(pool, 1), expected)


def test_with_another_number_of_threads(demo: Course, expected: list[Job]) -> None:
    before = Way(torch.get_num_threads())
    # That sleep while they wait: beside other tests spinning ones would take minutes.
    PROCESS.use(Way(before.threads + 1, resting=True))
    try:
        assert_same(demo.measure(demo.bench.baseline.pool, 3), expected)
    finally:
        PROCESS.use(before)
