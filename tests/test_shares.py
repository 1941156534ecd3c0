"""Shares and paired counts: against scipy and statsmodels, and against what happens in simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from heretic_tui.shares import LEVEL, Interval, count_difference, share_interval


@pytest.mark.parametrize(("count", "total"), [(0, 1), (1, 1), (0, 100), (3, 100), (50, 100), (100, 100), (7, 12)])
def test_the_interval_of_a_share_is_wilson_s(count: int, total: int) -> None:
    low, high = proportion_confint(count, total, alpha=1 - LEVEL, method="wilson")
    found = share_interval(count, total)
    assert found
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert count / total in found
    scipys = stats.binomtest(count, total).proportion_ci(LEVEL, method="wilson")
    assert (found.low, found.high) == pytest.approx((scipys.low, scipys.high), abs=1e-12)


def test_of_no_case_there_is_no_share_and_a_count_that_cannot_be_is_refused() -> None:
    assert share_interval(0, 0) is None
    for count, total in ((-1, 4), (5, 4)):
        with pytest.raises(ValueError, match="is no share"):
            share_interval(count, total)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_the_interval_of_a_share_holds_it_as_often_as_it_says(share: float) -> None:
    counts = np.random.default_rng(0).binomial(100, share, size=4_000)
    held = np.mean([share in (share_interval(int(count), 100) or Interval(1, 0)) for count in counts])
    assert 0.92 < held < 0.98


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (0, 5), (0, 6), (3, 9), (10, 10), (40, 12)])
def test_verdicts_on_the_same_prompts_are_compared_by_mcnemar_s_exact_test(only_first: int, only_second: int) -> None:
    both, neither = 20, 30
    first = [True] * both + [False] * neither + [True] * only_first + [False] * only_second
    second = [True] * both + [False] * neither + [False] * only_first + [True] * only_second
    found = count_difference(first, second)
    theirs = mcnemar([[both, only_first], [only_second, neither]], exact=True)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.difference == sum(second) - sum(first)
    assert found.p == pytest.approx(theirs.pvalue)
    if only_first + only_second:
        assert found.p == pytest.approx(stats.binomtest(only_first, only_first + only_second).pvalue)
    assert found.within_chance == (theirs.pvalue > 0.05)
    turned = count_difference(second, first)
    assert (turned.difference, turned.p) == (-found.difference, found.p)


def test_models_that_are_alike_are_seldom_told_apart_by_their_verdicts() -> None:
    generator = np.random.default_rng(5)
    hard = generator.random((1_000, 100, 1)) < 0.4
    answers = hard & (generator.random((1_000, 100, 2)) < 0.5)
    apart = [not count_difference(list(one[:, 0]), list(one[:, 1])).within_chance for one in answers]
    assert 0 < np.mean(apart) < 0.05


def test_verdicts_that_are_not_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        count_difference([True, False], [True])
