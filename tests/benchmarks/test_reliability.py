"""What benchmarks say of fronts and of estimates."""

from __future__ import annotations

import math

import pytest

from benchmarks.fronts import LEAST_KL, front, hypervolume, log_hypervolume
from benchmarks.reliability import Estimate, inside, replayed, table, taken_up
from heretic_tui import events as ev


def test_a_front_dominates_an_area() -> None:
    points = [(0.5, 50), (0.25, 80), (0.6, 60), (2.0, 0), (0.1, 100)]
    assert front(points) == [(0.1, 100), (0.25, 80), (0.5, 50), (2.0, 0)]
    # Two boxes: what the first dominates, and what the second adds. Beyond the corner nothing counts.
    assert hypervolume(points, 100) == pytest.approx(0.75 * 0.2 + 0.5 * 0.3)
    assert hypervolume(points, 100, worst_kl=0.5) == pytest.approx(0.5 * 0.2)
    assert hypervolume([], 100) == 0


def test_on_the_logarithmic_scale_halves_count_the_same() -> None:
    step = log_hypervolume([(0.1, 0)], 100) - log_hypervolume([(0.2, 0)], 100)
    assert step == pytest.approx(log_hypervolume([(0.01, 0)], 100) - log_hypervolume([(0.02, 0)], 100))
    assert log_hypervolume([(LEAST_KL / 10, 0)], 100) == 1
    assert step == pytest.approx(math.log(2) / math.log(1 / LEAST_KL))


def test_estimates_of_trials_that_were_decoded_after_all_are_compared() -> None:
    estimate, error = {"refusals": 12.5}, {"refusals": 2.0}
    told = [
        ev.TrialFinished(number=0, state="screened", estimate=estimate, error=error),
        ev.TrialFinished(number=1, state="screened", estimate={"refusals": 40.0}, error={"refusals": 3.0}),
        ev.TrialFinished(number=2, state="complete", figures={"refusals": 5}),
        ev.TrialFinished(number=0, state="complete", figures={"refusals": 15}, estimate=estimate, error=error),
    ]
    assert taken_up(told, "refusals") == [Estimate(12.5, 2.0, 15)]
    assert taken_up(told, "kl_divergence") == []


def test_trials_in_full_are_estimated_from_those_before_them_alone() -> None:
    shares = [0.9, 0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4, 0.5, 0.65, 0.35]
    openings = [[share] * 20 for share in shares]
    refused = [[row < 20 * share for row in range(20)] for share in shares]
    some = replayed(openings, refused)
    others = replayed(openings, [*refused[:-1], [True] * 20])
    assert [each.measured for each in some] == [13, 7]
    assert [(each.estimated, each.error) for each in some] == [(each.estimated, each.error) for each in others]
    assert abs(some[-1].off) <= 2 * some[-1].error
    assert others[-1].off < -2 * others[-1].error


def test_the_table_counts_what_is_within_the_errors_that_were_claimed() -> None:
    found = [Estimate(10, 2, 11), Estimate(10, 2, 13), Estimate(60, 1, 70), Estimate(60, 5, 60)]
    assert (inside(found, 1), inside(found, 2)) == (0.5, 0.75)
    lines = table("refusals", found, 100)
    assert [line.split()[:2] for line in lines[2:-1]] == [["to", "10"], ["to", "80"]]
    assert lines[-1].split()[-2:] == ["50%", "75%"]
    assert table("refusals", [], 100) == ["refusals: none"]
