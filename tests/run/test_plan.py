"""What a run will take, reckoned before it starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heretic_tui.report.plan import compared_words
from heretic_tui.run.earlier import EarlierTimes
from heretic_tui.run.plan import (
    Load,
    Needs,
    WorkersPlan,
    compare_plan,
    disk_plan,
    gpus_needed,
    memory_plan,
    time_as_before,
    time_by_speed,
    workers_plan,
)
from heretic_tui.run.record import Planned
from heretic_tui.run.speeds import Speed

GB = 10**9
# 8 G parameters, 32 layers of 4,096 with 8 heads of 128 for keys and values.
NEEDS = Needs(
    weights=16 * GB,
    by_bits={16: 16 * GB, 8: 9 * GB, 4: 5 * GB},
    edits=3 * GB,
    token=131_072,
    edits_share=0.1,
    state=8192,
    layers=32,
    hidden=4096,
    vocabulary=128_000,
)
LOAD = Load(rows=128, longest=100, response=100, evaluation=20_000, harmful=10_000)


def test_what_lies_in_memory() -> None:
    plan = memory_plan(NEEDS, LOAD, 80 * GB)
    assert (plan.weights, plan.edits) == (16 * GB, 3 * GB)
    assert plan.cache == 128 * 200 * 131_072
    assert plan.kept == round(0.8 * 32 * 8192 * 20_000 + 131_072 * 10_000)
    assert plan.fits
    assert plan.rows == 128
    assert plan.whole == plan.weights + plan.edits + plan.cache + plan.kept


def test_smaller_batches_where_there_is_less_room_and_none_where_weights_do_not_fit() -> None:
    plan = memory_plan(NEEDS, LOAD, 18 * GB)
    assert not plan.fits
    assert plan.fits_smaller
    assert plan.rows
    assert plan.rows < 128
    row = 200 * 131_072
    assert plan.weights + plan.edits + plan.kept + plan.rows * row <= plan.free
    assert plan.weights + plan.edits + plan.kept + (plan.rows + 1) * row > plan.free
    assert plan.kept <= 0.15 * 2 * GB, "on a GPU they take a share of what is free"
    assert memory_plan(NEEDS, LOAD, 12 * GB).rows == 0
    assert memory_plan(NEEDS, LOAD, 12 * GB, NEEDS.by_bits[4]).fits_smaller


def test_a_row_of_unknown_size() -> None:
    plan = memory_plan(replace(NEEDS, token=None), LOAD, 80 * GB)
    assert (plan.cache, plan.rows) == (0, None)
    assert plan.fits


def test_several_models_share_what_is_free_and_batches_through_several_cards_each_have_a_cache() -> None:
    one = memory_plan(NEEDS, LOAD, 80 * GB)
    two = memory_plan(NEEDS, LOAD, 160 * GB, models=2)
    assert (two.weights, two.edits, two.cache, two.rows) == (one.weights, one.edits, one.cache, one.rows)
    assert (two.whole, two.free, two.fits) == (2 * one.whole, 160 * GB, True)
    assert not memory_plan(NEEDS, LOAD, 30 * GB, models=2).fits_smaller, "neither has room for its weights"
    in_turn = memory_plan(NEEDS, replace(LOAD, batches=2), 80 * GB)
    assert in_turn.cache == 2 * one.cache
    fewer = memory_plan(NEEDS, LOAD, 20 * GB).rows
    assert fewer
    assert memory_plan(NEEDS, replace(LOAD, batches=2), 20 * GB).rows == fewer // 2


@pytest.mark.parametrize(
    ("count", "each", "gpus", "pace", "share"),
    [
        (0, 1.0, 4, 1, 1.0),
        (4, 1.0, 4, 4, 1.0),
        (2, 1.0, 4, 2, 0.5),
        (2, 2.0, 4, 2, 1.0),
        (8, 0.5, 4, 4, 1.0),
        (1, 0.5, 1, 1, 0.5),
        # Processors compute as much for one as for two.
        (2, 1.0, 0, 1, 1.0),
    ],
)
def test_what_workers_bring(count: int, each: float, gpus: int, pace: float, share: float) -> None:
    found = workers_plan(count, each, gpus)
    assert (found.count, found.pace, found.share) == (count, pace, share)


def test_an_earlier_run_with_other_workers_is_reckoned_with_their_pace() -> None:
    earlier = EarlierTimes("x", 60.0, 9.0, 40, workers=2)
    assert time_as_before(earlier, 200, workers_plan(2, 1.0, 4), 4).trial == 9.0
    assert time_as_before(earlier, 200, workers_plan(4, 1.0, 4), 4).trial == 4.5
    assert time_as_before(earlier, 200, WorkersPlan(), 4).trial == 18.0
    assert time_as_before(earlier, 200, WorkersPlan(), 0).trial == 9.0, "they shared the processors"


def test_gpus() -> None:
    assert gpus_needed(NEEDS, LOAD, 80 * GB) == {16: 1, 8: 1, 4: 1}
    assert gpus_needed(NEEDS, LOAD, 12 * GB) == {16: 2, 8: 1, 4: 1}
    large = replace(NEEDS, by_bits={16: 140 * GB, 8: 78 * GB, 4: 45 * GB})
    assert gpus_needed(large, LOAD, 80 * GB) == {16: 2, 8: 2, 4: 1}


def test_disk() -> None:
    kept = {"good_prompts": 400, "bad_prompts": 400, "good_evaluation_prompts": 100, "bad_evaluation_prompts": 100}
    plan = disk_plan(NEEDS, kept, True, 16 * GB)
    assert plan.run == 2 * 1000 * 33 * 4096 + 4 * 100 * 128_000
    assert plan.export == 16 * GB
    assert disk_plan(NEEDS, kept, False, 0).export == NEEDS.by_bits[16]
    assert disk_plan(NEEDS, kept, False, 0).run == 4 * 100 * 128_000


def test_time_is_that_of_an_earlier_run() -> None:
    plan = time_as_before(EarlierTimes("x", 60.0, 9.0, 40, analysis=30.0), 200, WorkersPlan(), 0)
    assert (plan.first, plan.trial, plan.search, plan.analysis, plan.whole) == (60.0, 9.0, 1800.0, 30.0, 1890.0)
    assert not plan.at_most


def test_time_by_what_a_probe_found() -> None:
    steps = {"1": 0.1, "8": 0.2, "64": 0.8}
    speed = Speed(1000.0, steps, 1e9, layers=32, own=2, seconds=9.0, device="cpu", dtype="bfloat16")
    load = replace(LOAD, training=50_000, prompts=200, decoded=100, tried=32)
    plan = time_by_speed(speed, load, 16 * GB, 0, 200, WorkersPlan())
    decoding = 100 * 100 * 0.8 / 64
    assert plan.trial == 20.0 + decoding, "in the batches that decode most tokens a second"
    assert plan.first == 16.0 + (0.4 + 0.8 + 3.2) + 50.0 + plan.trial
    assert plan.search == 200 * plan.trial
    assert plan.analysis == 1.5 * 32 * 32 * 100 / 1000
    assert plan.at_most
    two = time_by_speed(speed, load, 16 * GB, 0, 200, workers_plan(2, 1.0, 2))
    assert (two.trial, two.search, two.analysis) == (plan.trial / 2, plan.search / 2, plan.analysis)
    assert two.first == plan.first + 16.0, "workers load the model once more"
    small = time_by_speed(replace(speed, loading=None), load, 16 * GB, 8, 200, WorkersPlan())
    assert small.trial == 20.0 + 100 * 100 * 0.2 / 8, "in those that were set"
    assert small.first == 50.0 + small.trial, "what a download takes is not known"


def test_a_plan_beside_what_came_of_it() -> None:
    took = EarlierTimes("x", 61.0, 8.0, 40)
    rows = compare_plan(Planned(memory=20 * GB, disk=10**6), took, None, 2 * 10**6)
    assert compared_words(rows) == (
        "first trial 1:01 (planned not known), a trial 8.0 s (planned not known), memory not measured (planned 20 GB), "
        "run folder 2 MB (planned 1 MB)"
    )
    rows = compare_plan(Planned(first=60.0, trial=9.0), None, None, 0)
    assert [(row.name, row.was) for row in rows] == [("first trial", None), ("a trial", None)]
    assert compare_plan(Planned(), None, 5, 5) == []
