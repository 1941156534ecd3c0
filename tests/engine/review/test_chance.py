"""Intervals of means, agreement and differences of means: against scipy and statsmodels, and against what happens in
simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from heretic_tui.engine.review.chance import (
    DRAWS,
    FEWEST,
    agreement,
    expanded_z,
    mean_difference,
    mean_interval,
)
from heretic_tui.shares import LEVEL, Interval, count_difference

# Skewed as divergences are.
SKEWED = np.random.default_rng(3).gamma(0.5, 0.2, size=60)


def test_the_interval_of_a_mean_is_scipy_s_bca_at_the_widened_level() -> None:
    level = 2 * stats.norm.cdf(expanded_z(len(SKEWED))) - 1
    assert LEVEL < level < 0.96
    theirs = stats.bootstrap(
        (SKEWED,), np.mean, confidence_level=level, n_resamples=50_000, method="BCa"
    ).confidence_interval
    found = mean_interval(SKEWED, seed=1)
    assert found
    width = theirs.high - theirs.low
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)
    assert found.high - SKEWED.mean() > SKEWED.mean() - found.low, "what is skewed to the right is uncertain there"


def test_the_same_seed_gives_the_same_interval_and_another_nearly_the_same() -> None:
    one, again, other = (mean_interval(SKEWED, seed) for seed in (1, 1, 2))
    assert one == again != other
    assert one
    assert other
    assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=0.03 * (one.high - one.low))


def test_an_interval_of_many_values_is_drawn_in_parts() -> None:
    values = np.random.default_rng(4).normal(5, 2, size=3_000)
    found = mean_interval(values, seed=0)
    assert found
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.06 * half)
    assert DRAWS * len(values) > 2**21, "more than are drawn at once"


@pytest.mark.parametrize("size", [FEWEST, 30])
@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_the_interval_of_a_mean_holds_it_nearly_as_often_as_it_says(size: int, shape: str) -> None:
    generator = np.random.default_rng(7)
    # So many that what is held is known to about one in a hundred.
    samples = generator.normal(1, 1, (1200, size)) if shape == "normal" else generator.gamma(1, 1, (1200, size))
    held = np.mean([1.0 in (mean_interval(sample, seed) or Interval(1, 0)) for seed, sample in enumerate(samples)])
    # Few skewed values hold no sign of how far their tail goes, by whatever method.
    assert held > (0.92 if shape == "normal" else 0.92 if size == 30 else 0.87)
    assert held < 0.99


def test_values_that_are_too_few_tell_nothing_and_equal_ones_leave_no_doubt() -> None:
    assert mean_interval(SKEWED[: FEWEST - 1], seed=0) is None
    assert mean_interval([], seed=0) is None
    mean = float(np.mean([0.1] * 50))
    assert mean_interval([0.1] * 50, seed=0) == Interval(mean, mean)
    assert mean_interval([0.0] * 50, seed=0) == Interval(0.0, 0.0)


@pytest.mark.parametrize("values", [[0.0] * 9 + [np.inf], [0.0] * 9 + [np.nan], [[0.0] * 9]])
def test_values_that_are_no_values_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite values in one dimension"):
        mean_interval(values, seed=0)


@pytest.mark.parametrize(
    "table", [[[30, 5], [3, 12]], [[1, 9], [9, 1]], [[90, 1], [0, 9]], [[8, 1, 2], [3, 9, 1], [0, 2, 4]]]
)
def test_agreement_is_cohen_s_kappa_with_its_interval(table: list[list[int]]) -> None:
    pairs = [(row, column) for row, line in enumerate(table) for column, times in enumerate(line) for _ in range(times)]
    found = agreement([f"label {row}" for row, _ in pairs], [f"label {column}" for _, column in pairs])
    theirs = cohens_kappa(np.array(table))
    assert found
    assert found.interval
    assert found.kappa == pytest.approx(theirs.kappa)
    bounds = max(-1.0, theirs.kappa_low), min(1.0, theirs.kappa_upp)
    assert (found.interval.low, found.interval.high) == pytest.approx(bounds, abs=1e-9)


def test_the_interval_of_kappa_holds_it_nearly_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    shares = np.array([[0.5, 0.1], [0.05, 0.35]])
    expected = shares.sum(axis=0) @ shares.sum(axis=1)
    true = (np.trace(shares) - expected) / (1 - expected)
    held = []
    for _ in range(600):
        drawn = generator.choice(4, p=shares.ravel(), size=100)
        found = agreement(list(drawn // 2), list(drawn % 2))
        assert found
        held.append(found.interval is not None and true in found.interval)
    assert 0.92 < np.mean(held) < 0.98


def test_agreement_in_all_of_a_few_cases_is_no_certainty() -> None:
    few = agreement([True, False, True, False], [True, False, True, False])
    many = agreement([True, False] * 200, [True, False] * 200)
    assert few
    assert many
    assert few.kappa == many.kappa == 1
    assert few.interval
    assert many.interval
    assert few.interval.low < 0.2
    assert 0.97 < many.interval.low < 1


def test_agreement_needs_two_verdicts_to_be_told_from_chance() -> None:
    found = agreement(["refused"] * 5, ["refused"] * 5)
    assert found
    assert (found.kappa, found.interval) == (None, None)
    against = agreement(["refused"] * 5, ["answered"] * 5)
    assert against
    assert against.kappa == 0
    assert agreement([], []) is None
    with pytest.raises(ValueError, match="5 and on 4 cases"):
        agreement([True] * 5, [True] * 4)


def test_means_on_the_same_prompts_are_compared_by_their_differences() -> None:
    generator = np.random.default_rng(2)
    prompts = generator.gamma(1, 1, size=80)
    little = prompts + 0.05 + generator.normal(0, 0.1, size=80)
    found = mean_difference(prompts, little, seed=0)
    assert found.interval
    assert not found.within_chance, "far less than how prompts differ, and still more than chance"
    assert found.difference == pytest.approx(np.mean(little) - np.mean(prompts))
    assert found.difference in found.interval
    none = mean_difference(prompts, prompts, seed=0)
    assert (none.difference, none.within_chance) == (0, True)
    few = mean_difference(prompts[:5], prompts[:5] + 1, seed=0)
    assert (few.interval, few.within_chance) == (None, True), "five prompts do not tell"


@pytest.mark.parametrize("size", [FEWEST, 30])
def test_models_that_are_alike_are_seldom_told_apart_by_their_means(size: int) -> None:
    generator = np.random.default_rng(6)
    apart = []
    for seed in range(400):
        prompts = generator.gamma(1, 1, size=size)
        first, second = prompts * generator.gamma(20, 0.05, (2, size))
        apart.append(not mean_difference(first, second, seed).within_chance)
    assert 0 < np.mean(apart) < 0.08


def test_means_are_told_apart_as_by_scipy_s_test_of_random_signs() -> None:
    generator = np.random.default_rng(4)
    apart = 0
    for shift in np.linspace(0, 1.2, 12):
        differences = generator.gamma(1, 1, 11) - generator.gamma(1, 1, 11) + shift
        theirs = stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
        found = mean_difference(np.zeros(11), differences, seed=0)
        assert found.within_chance == (theirs.pvalue > 0.05)
        apart += not found.within_chance
    assert 0 < apart < 12


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 5), (0, 6), (3, 9), (10, 10), (24, 9)])
def test_means_of_yes_and_no_are_told_apart_as_their_counts_are(only_first: int, only_second: int) -> None:
    same = [True] * 20 + [False] * 30
    first = same + [True] * only_first + [False] * only_second
    second = same + [False] * only_first + [True] * only_second
    expected = count_difference(first, second).within_chance
    assert mean_difference(first, second, seed=0).within_chance == expected


def test_differences_that_cancel_each_other_are_none() -> None:
    found = mean_difference([0.0] * 8, [0.1, -0.1, 0.2, -0.2, 0.3, -0.3, 0.7, -0.7], seed=0)
    assert found.within_chance
    assert mean_difference([0.3] * 8, [0.1 + 0.2] * 8, seed=0).within_chance, "they differ by rounding alone"


@pytest.mark.parametrize(("first", "second"), [([1.0, 2.0], [1.0]), ([], [])])
def test_samples_that_are_not_paired_are_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match=r"paired|no values"):
        mean_difference(first, second, seed=0)
