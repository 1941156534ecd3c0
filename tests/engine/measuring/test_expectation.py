"""What is expected of trials that are not decoded: how near it is, and how honest its error."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from heretic_tui.engine.measuring.expectation import Expectation, Shares, Value
from heretic_tui.engine.measuring.screening import errors_beyond, plan_of, size

PROMPTS = 100


def edits(seed: int, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """How the responses of edits of several strengths begin, and their verdicts: greedy decoding leaps where the
    probability of a refusing beginning crosses a place of its own for each prompt."""
    rng = np.random.default_rng(seed)
    strengths = rng.uniform(-3, 3, trials)
    firmness = rng.normal(0, 1.2, PROMPTS)
    odds = strengths[:, None] + firmness + rng.normal(0, 0.2, (trials, PROMPTS))
    refused = odds + rng.normal(0, 0.5, PROMPTS) > 0.4
    return 1 / (1 + np.exp(-odds)), refused


@pytest.mark.parametrize("part", [None, 25])
def test_refusals_are_expected_from_how_responses_begin_within_the_error_that_is_claimed(part: int | None) -> None:
    off, within = [], []
    for seed in range(6):
        openings, refused = edits(seed, 32)
        known = Expectation(openings[:12].tolist(), refused[:12].tolist())
        plan = plan_of([[1.0] * PROMPTS], openings[:12].tolist())
        rows = list(plan.bad[:part]) if part else list(range(PROMPTS))
        for trial in range(12, 32):
            found = known.refusals(openings[trial][rows].tolist(), rows)
            off.append(found.value - refused[trial].sum())
            within.append(abs(off[-1]) <= 2 * found.error)
    assert np.sqrt(np.mean(np.square(off))) < 5, "the probabilities alone are off by more than ten"
    assert np.mean(within) > 0.9


def test_a_part_says_of_a_figure_what_it_said_of_others() -> None:
    rng = np.random.default_rng(1)
    weights = rng.pareto(1.2, PROMPTS)
    values = np.exp(rng.normal(-3, 1, (30, 1))) * weights * np.exp(rng.normal(0, 0.3, (30, PROMPTS)))
    plan = plan_of(values[:8].tolist(), [[0.5] * PROMPTS])
    rows = list(plan.good[:25])
    shares = Shares(values[:8].tolist(), values[:8].mean(axis=1).tolist())
    found = [shares.estimate(each[rows].tolist(), rows) for each in values[8:]]
    z = [(one.value - each.mean()) / one.error for one, each in zip(found, values[8:], strict=True) if one]
    assert len(z) == 22
    assert np.mean(np.abs(z) < 2) > 0.9
    assert values[:, rows].sum() > values.sum() / 2, "a few prompts have most of it"


def test_a_part_that_says_nothing_is_no_figure() -> None:
    assert Shares([], []).estimate([0.1], [0]) is None
    assert Shares([[0.1, 0.2]] * 3, [0.15] * 3).estimate([0.0], [0]) is None
    assert Shares([[0.0, 0.2]] * 3, [0.1] * 3).estimate([0.1], [0]) is None


def test_no_prompt_is_looked_at_twice() -> None:
    rng = np.random.default_rng(2)
    for good, bad in ((100, 100), (6, 6), (13, 400), (1, 30)):
        plan = plan_of(rng.random((3, good)).tolist(), rng.random((3, bad)).tolist())
        assert sorted(plan.bad) == list(range(bad))
        first, rest = plan.part_from(0), plan.part_from(size(good))
        assert sorted([*first.good, *rest.good]) == list(range(good))
        assert [*first.bad, *rest.bad] == plan.bad[: size(bad)]
    assert [size(prompts) for prompts in (100, 400, 13, 6)] == [25, 100, 12, 6]


def test_by_how_many_errors_the_front_beats_a_trial() -> None:
    front = [(0.1, 10.0), (0.2, 4.0), (0.5, 0.0)]
    assert errors_beyond([], Value(1.0), Value(5.0, 1.0)) == -math.inf
    # None of the front has a smaller divergence.
    assert errors_beyond(front, Value(0.05), Value(90.0, 1.0)) == -math.inf
    assert errors_beyond(front, Value(0.3), Value(7.5, 2.0)) == pytest.approx(2.0), "it has to refuse one less than 4"
    assert errors_beyond(front, Value(0.3), Value(2.5, 2.0)) < 0
    assert errors_beyond(front, Value(0.6), Value(0.4, 2.0)) == math.inf, "nothing refuses less than none"
    assert errors_beyond(front, Value(0.6, 0.1), Value(0.4, 2.0)) == pytest.approx(1.04, abs=0.01)
    # Both figures have to be off, to pass between two trials of the front.
    assert 2.5 < errors_beyond(front[:2], Value(0.3, 0.05), Value(13.5, 2.0)) < 4.0


def test_so_many_errors_are_as_likely_as_they_say() -> None:
    rng = np.random.default_rng(3)
    front = [(0.1, 40.0), (0.15, 30.0), (0.2, 21.0), (0.3, 9.0), (0.5, 2.0)]
    for _ in range(40):
        known = Value(float(rng.uniform(0.1, 0.6)), float(rng.uniform(0.005, 0.05)))
        counted = Value(float(rng.uniform(5, 60)), float(rng.uniform(0.5, 6.0)))
        one, other = (value.value + value.error * rng.normal(size=20_000) for value in (known, counted))
        beaten = np.zeros(20_000, dtype=bool)
        for first, refusals in front:
            beaten |= (one >= first) & (other >= refusals - 0.5)
        assert scipy.stats.norm.cdf(errors_beyond(front, known, counted)) == pytest.approx(beaten.mean(), abs=0.015)
