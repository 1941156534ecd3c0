"""What expected refusals say of refusals: estimates and their errors against a truth that is known."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from heretic_tui.engine.measuring.calibration import Calibration

Truth = Callable[[float], float]
Point = tuple[float, int]


def steep(expected: float) -> float:
    """As a first token says it of greedy responses: few are refused where a third is expected, nearly all at two."""
    odds = (expected + 0.5) / (100.5 - expected)
    return float(100 / (1 + 1 / (2 * odds**2.4)))


def straight(expected: float) -> float:
    return 2 + 0.9 * expected


def shallow(expected: float) -> float:
    return 30 + 0.4 * expected


def in_steps(expected: float) -> float:
    return 3.0 if expected < 30 else 45.0 if expected < 60 else 95.0


TRUTHS = (steep, straight, shallow, in_steps)


def drawn(truth: Truth, count: int, noise: float, rng: random.Random) -> list[Point]:
    points = []
    for _ in range(count):
        expected = 100 * rng.betavariate(0.5, 0.6)
        measured = round(truth(expected) + rng.gauss(0, noise))
        points.append((expected, min(100, max(0, measured))))
    return points


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("count", [5, 9, 16, 40])
def test_fresh_trials_lie_within_two_errors(truth: Truth, count: int) -> None:
    inside = total = 0
    for seed in range(6):
        rng = random.Random(seed)
        calibration = Calibration([(95.0, round(truth(95.0))), *drawn(truth, count - 1, 3.0, rng)], 100)
        for expected, measured in drawn(truth, 30, 3.0, rng):
            estimate, error = calibration.estimate(expected)
            inside += abs(estimate - measured) <= 2 * error
            total += 1
    assert inside / total >= 0.9


@pytest.mark.parametrize("truth", [steep, straight, shallow])
def test_errors_become_small_with_points_and_stay_of_the_size_of_what_happens(truth: Truth) -> None:
    def claimed_and_true(count: int) -> tuple[float, float]:
        claimed, off = [], []
        for seed in range(4):
            rng = random.Random(seed)
            calibration = Calibration(drawn(truth, count, 2.0, rng), 100)
            for expected, measured in drawn(truth, 40, 2.0, rng):
                estimate, error = calibration.estimate(expected)
                claimed.append(error)
                off.append(abs(estimate - measured))
        return sum(claimed) / len(claimed), sum(off) / len(off)

    few, many = claimed_and_true(5), claimed_and_true(80)
    assert many[0] < few[0]
    assert few[1] < 6
    assert many[1] < 3
    assert many[0] < 2.5 * many[1], "an error that is far too wide would have everything decoded"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 60, 130])
def test_estimates_never_fall_and_are_never_certain(count: int) -> None:
    points = drawn(steep, count, 10.0, random.Random(3))
    calibration = Calibration(points, 100)
    estimates = [calibration.estimate(float(expected)) for expected in range(0, 101, 2)]
    values = [value for value, _ in estimates]
    assert values == sorted(values)
    assert values[0] >= 0
    assert values[-1] <= 100
    assert all(error >= 0.5 for _, error in estimates)


def test_points_that_contradict_the_rule_make_it_flat_and_not_fall() -> None:
    calibration = Calibration([(2.0, 90), (5.0, 80), (90.0, 10), (95.0, 4)], 100)
    values = [calibration.estimate(float(expected))[0] for expected in range(0, 101, 5)]
    assert values == sorted(values)
    assert calibration.estimate(50.0)[1] > 10


def test_what_lies_beyond_all_points_is_less_certain() -> None:
    near = [(float(x), round(straight(float(x)))) for x in range(40, 61, 2)]
    calibration = Calibration(near, 100)
    (_, inside), (_, beyond), (_, far) = (calibration.estimate(x) for x in (50.0, 70.0, 90.0))
    assert inside < beyond < far


def test_the_order_of_the_points_is_nothing() -> None:
    points = drawn(steep, 20, 4.0, random.Random(5))
    one, other = Calibration(points, 100), Calibration(points[::-1], 100)
    assert [one.estimate(x) for x in (3.0, 30.0, 77.0)] == [other.estimate(x) for x in (3.0, 30.0, 77.0)]


def test_a_fair_calibration_needs_few_points() -> None:
    # As the figure is made it is near to the count itself.
    calibration = Calibration([(94.1, 95), (3.0, 2), (51.0, 55)], 100)
    for expected in (10.0, 30.0, 70.0):
        assert calibration.estimate(expected)[0] == pytest.approx(expected, abs=9)
