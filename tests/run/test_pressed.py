"""Which bounds the front of a search presses against."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from heretic_tui.bounds import HERETIC_1, WIDE, Bounds
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.report.bounds import pressed_lines, pressed_words
from heretic_tui.run.pressed import Pressed, pressed_bounds, widened

ATTENTION, MLP = "attn.o_proj", "mlp.down_proj"
LAST = 30
MIDDLE = Kernel(1.1, 24.0, 0.5, 9.0)
NAMED = {
    "direction_index": "direction_index",
    **{
        f"{name}.{part}": ("mixer_" if name == ATTENTION else "mlp_") + part if part == "max_weight" else part
        for name in (ATTENTION, MLP)
        for part in ("max_weight", "max_weight_position", "min_weight", "min_weight_distance")
    },
}


def ranges(bounds: Bounds) -> dict[str, tuple[float, float]]:
    found = {}
    for name, bound in NAMED.items():
        low, high = bounds[bound]
        layers = LAST if bound in ("direction_index", "max_weight_position", "min_weight_distance") else 1
        found[name] = (max(0.0, low * layers), high * layers)
    return found


def edit(index: float | None = None, mlp: Kernel = MIDDLE, **attention: Any) -> Parameters:
    return Parameters(index, {ATTENTION: replace(MIDDLE, **attention), MLP: mlp})


def pressed(front: list[Parameters], bounds: Bounds = HERETIC_1) -> tuple[Pressed, ...]:
    return pressed_bounds(front, ranges(bounds), NAMED, bounds)


def test_a_front_in_the_middle_presses_against_nothing() -> None:
    assert pressed([edit()] * 9) == ()
    assert pressed_lines((), {}) == []


def test_four_of_nine_at_a_bound_are_told_with_what_widens_it() -> None:
    front = [edit(max_weight=1.48)] * 2 + [edit(max_weight=1.5)] * 2 + [edit()] * 5
    (found,) = pressed(front)
    assert (found.dimension, found.upper, found.near, found.of) == (f"{ATTENTION}.max_weight", True, 4, 9)
    assert pressed_lines([found], {}) == [
        "4 of 9 trials on the front have max weight of attn.o_proj near its upper bound (1.5)",
        "widen what is searched, in another run: --search-bounds mixer_max_weight=0.8..2.2",
    ]
    own = {"search_bounds": {"min_weight": [0.1, 1.0]}}
    assert pressed_lines([found], own)[-1].endswith("mixer_max_weight=0.8..2.2 min_weight=0.1..1")
    wide = {"search_space": "wide"}
    assert ": --search-space wide --search-bounds mixer_max_weight=0.8..2.2" in pressed_lines([found], wide)[-1]


def test_a_third_or_less_and_two_trials_are_not_told() -> None:
    assert pressed([edit(max_weight=1.5)] * 3 + [edit()] * 6) == ()
    assert pressed([edit(max_weight=1.5)] * 2) == ()
    assert pressed([edit(max_weight=1.5)] * 2 + [edit()]) == (), "two of three may be chance"
    assert pressed([edit(max_weight=1.46)] * 9) == (), "further away than five per cent of the range"


def test_what_has_nothing_beyond_is_not_told() -> None:
    off = replace(MIDDLE, max_weight=0.0, min_weight=0.0)
    # No MLP edited; the peak in the last layer; a floor as high as the peak, or none.
    assert pressed([edit(mlp=off)] * 4) == ()
    assert pressed([edit(max_weight_position=30.0)] * 4) == ()
    assert pressed([edit(min_weight=1.1)] * 4) == ()
    assert pressed([edit(min_weight=0.0)] * 4) == ()
    # A component that edits nothing says nothing of layers.
    assert pressed([edit(mlp=replace(off, max_weight_position=18.0))] * 4) == ()


def test_the_direction_counts_where_it_is_one_for_all_layers() -> None:
    found = pressed([edit(26.9)] * 3 + [edit()] * 20)
    assert [(each.dimension, each.near, each.of) for each in found] == [("direction_index", 3, 3)]
    assert found[0].wider == (0.4, 1.0), "the depth is the most"
    assert pressed_words(found[0]) == "3 of 3 trials on the front have direction index near its upper bound (27)"


def test_both_ends_and_both_components_make_one_line() -> None:
    low = replace(MIDDLE, max_weight_position=18.2)
    far = replace(MIDDLE, min_weight_distance=18.0)
    found = pressed([edit(mlp=low)] * 3 + [edit(mlp=far)] * 3)
    assert {each.bound for each in found} == {"max_weight_position", "min_weight_distance"}
    assert widened(found) == {"max_weight_position": (0.2, 1.0), "min_weight_distance": (0.0, 1.0)}
    assert pressed([edit(mlp=low)] * 3 + [edit(mlp=far)] * 3, WIDE) == (), "the wider space has room for them"


def test_runs_of_older_versions_that_named_no_bounds_tell_nothing() -> None:
    assert pressed_bounds([edit(max_weight=1.5)] * 9, ranges(HERETIC_1), {}, HERETIC_1) == ()


def test_weights_below_0_press_against_bounds_of_how_far_they_are_from_it() -> None:
    turned = {
        name: (-high, -low) if name.endswith("max_weight") else (low, high)
        for name, (low, high) in ranges(HERETIC_1).items()
    }
    front = [edit(max_weight=-1.49, min_weight=-0.7, mlp=replace(MIDDLE, max_weight=-1.0, min_weight=-0.5))] * 4
    (found,) = pressed_bounds(front, turned, NAMED, HERETIC_1, added=True)
    assert (found.dimension, found.upper, found.value) == (f"{ATTENTION}.max_weight", True, 1.5)
    assert pressed_lines([found], {})[-1].endswith("mixer_max_weight=0.8..2.2")
