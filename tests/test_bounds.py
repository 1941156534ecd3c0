"""Bounds by their names: what is taken, what is refused, and what a record says."""

from __future__ import annotations

import pytest

from heretic_tui.bounds import BOUNDS, SPACES, bounds_of, checked_bounds, recorded_bounds, space_words
from heretic_tui.errors import UsageError


@pytest.mark.parametrize(
    "given",
    [
        {"max_weight_position": [0, 0.5], "mixer_max_weight": (1, 2.5)},
        {"max_weight_position": "0..0.5", "mixer_max_weight": "[1, 2.5]"},
        ["mixer_max_weight=1..2.5", "max_weight_position = 0..0.5"],
        "mixer_max_weight=1..2.5,max_weight_position=0..0.5",
    ],
)
def test_bounds_are_taken_in_every_form_in_one_order(given: object) -> None:
    found = checked_bounds(given, "here")
    assert list(found.items()) == [("mixer_max_weight", (1.0, 2.5)), ("max_weight_position", (0.0, 0.5))]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mixer_max_wieght": [1, 2]}, "here: unknown bound 'mixer_max_wieght': did you mean 'mixer_max_weight'?"),
        ({"x": [1, 2]}, "known: direction_index, mixer_max_weight"),
        ({"mixer_max_weight": [2, 1]}, "here: mixer_max_weight: 2..1 cannot be: 2 is not below 1"),
        ({"mixer_max_weight": [1, 1]}, "1 is not below 1"),
        ({"mixer_max_weight": "1..nan"}, "expected two finite numbers LOW..HIGH, not '1..nan'"),
        ({"mixer_max_weight": [1, float("inf")]}, "expected two finite numbers"),
        ({"mixer_max_weight": [True, 2]}, "expected two finite numbers"),
        ({"mixer_max_weight": [1]}, "expected two finite numbers"),
        ({"mixer_max_weight": 3}, "expected two finite numbers"),
        ({"max_weight_position": [0.5, 1.2]}, "it lies within 0..1"),
        ({"mlp_max_weight": [-2, -1]}, "no trial would change anything"),
        (["mixer_max_weight"], "expected NAME=LOW..HIGH, not 'mixer_max_weight'"),
        (["min_weight=0..1", "min_weight=0..0.5"], "here: 'min_weight' is given twice"),
        (7, "expected NAME=LOW..HIGH for each bound, not 7"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(given: object, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        checked_bounds(given, "here")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_space_has_every_bound_within_its_limits() -> None:
    for space, bounds in SPACES.items():
        assert checked_bounds(bounds, space) == {name: bounds[name] for name in BOUNDS}
    with pytest.raises(UsageError, match="did you mean 'wide'"):
        bounds_of("wide1", {})


def test_a_record_of_an_older_version_has_the_bounds_of_then() -> None:
    assert recorded_bounds({"n_trials": 3}) == SPACES["heretic-1"]
    assert space_words({}) == "heretic-1"
    changed = {"search_space": "wide", "search_bounds": {"min_weight": [0.5, 1]}}
    assert recorded_bounds(changed) == {**SPACES["wide"], "min_weight": (0.5, 1.0)}
    assert space_words(changed) == "wide, with min_weight 0.5..1"
    # Of a newer version.
    assert "unknown bound 'later'" in space_words({"search_bounds": {"later": [0, 1]}})
