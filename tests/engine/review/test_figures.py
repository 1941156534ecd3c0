"""Figures with intervals: of counts, shares that are the same everywhere, and perplexities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from heretic_tui.engine.review.figures import count_figure, mean_figure, perplexity_figure
from heretic_tui.engine.review.likelihood import Likelihood
from heretic_tui.shares import share_interval


def likelihood_of(count: int, seed: int) -> Likelihood:
    generator = np.random.default_rng(seed)
    tokens = generator.integers(3, 90, count)
    return Likelihood(tokens * generator.gamma(4, 0.5, count), tokens)


def test_a_count_has_wilson_s_interval_in_prompts() -> None:
    found = count_figure("k", "name", "n", [True] * 3 + [False] * 97)
    expected = share_interval(3, 100)
    assert expected
    assert (found.value, found.of, found.form) == (3, 100, "count")
    assert (found.low, found.high) == (100 * expected.low, 100 * expected.high)
    assert found.text == "3/100"
    assert found.values == [1.0] * 3 + [0.0] * 97
    # NumPy's numbers are none that JSON knows.
    assert type(count_figure("k", "name", "n", list(np.array([True, False]))).value) is int


@pytest.mark.parametrize(("value", "text"), [(0.0, "0–4%"), (1.0, "96–100%")])
def test_a_share_that_is_the_same_everywhere_is_not_taken_for_certain(value: float, text: str) -> None:
    found = mean_figure("k", "name", "n", [value] * 100, form="share")
    assert found.interval == text
    # A number can be the same everywhere: such as a divergence of a model from itself.
    assert mean_figure("k", "name", "n", [0.0] * 100).interval == ""


def test_the_interval_of_a_share_lies_between_0_and_1() -> None:
    found = mean_figure("k", "name", "n", [0.0] * 20 + [0.125], form="share")
    assert found.low is not None
    assert found.low >= 0


def test_the_perplexity_of_texts_counts_every_token_the_same() -> None:
    likelihood = likelihood_of(40, 1)
    found = perplexity_figure("k", "perplexity", "ppl", likelihood)
    expected = math.exp(likelihood.nats.sum() / likelihood.tokens.sum())
    assert found.value == pytest.approx(expected)
    assert found.logarithms
    values = [value for value in found.values or () if value is not None]
    assert len(values) == 40
    assert math.exp(np.mean(values)) == pytest.approx(expected)
    # The ratio itself, drawn by text.
    theirs = stats.bootstrap(
        (likelihood.nats, likelihood.tokens),
        lambda nats, tokens, axis: nats.sum(axis=axis) / tokens.sum(axis=axis),
        paired=True, vectorized=True, n_resamples=20_000, method="BCa", confidence_level=0.955,
        random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    low, high = math.exp(theirs.low), math.exp(theirs.high)
    assert found.low == pytest.approx(low, abs=0.1 * (high - low))
    assert found.high == pytest.approx(high, abs=0.1 * (high - low))


def test_the_interval_of_a_perplexity_holds_it_nearly_as_often_as_it_says() -> None:
    found = [perplexity_figure("k", "perplexity", "ppl", likelihood_of(40, seed)) for seed in range(200)]
    held = np.mean([(each.low or 0) <= math.exp(2) <= (each.high or 0) for each in found])
    assert 0.9 < held < 0.99


def test_texts_without_a_counted_token_are_left_out() -> None:
    found = perplexity_figure("k", "perplexity", "ppl", Likelihood(np.array([0.0, 6.0]), np.array([0, 3])))
    assert found.of == 1
    assert found.value == pytest.approx(math.exp(2))
    nothing = perplexity_figure("k", "perplexity", "ppl", Likelihood(np.zeros(2), np.zeros(2, dtype=np.int64)))
    assert (nothing.value, nothing.values, nothing.text) == (None, [], "")


def test_a_perplexity_beyond_all_numbers_is_none() -> None:
    beyond = Likelihood(np.full(9, 3e4), np.full(9, 10))
    found = perplexity_figure("k", "perplexity", "ppl", beyond)
    assert (found.value, found.low, found.high) == (None, None, None)
    large = perplexity_figure("k", "perplexity", "ppl", Likelihood(np.full(9, 3e3), np.full(9, 10)))
    assert large.text == "1.9e+130"
