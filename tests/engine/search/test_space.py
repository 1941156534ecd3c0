"""The dimensions of a search, from bounds by their names."""

from __future__ import annotations

import pytest
from optuna.distributions import FloatDistribution

from heretic_tui.bounds import HERETIC_1, WIDE
from heretic_tui.engine.search.space import Space
from heretic_tui.parameters import Kernel, Parameters

ATTENTION, MLP = "attn.o_proj", "mlp.down_proj"


@pytest.mark.parametrize("depth", [1, 2, 12, 31])
def test_heretic_1_has_the_bounds_that_searches_had(depth: int) -> None:
    """As they stood in the code when they had no names, bit for bit, in the order in which they are drawn."""
    last = depth - 1
    expected: dict[str, tuple[float, float]] = {"direction_index": (0.4 * last, 0.9 * last)}
    for name, lowest in ((ATTENTION, 0.8), (MLP, -0.25)):
        expected[f"{name}.max_weight"] = (lowest, 1.5)
        expected[f"{name}.max_weight_position"] = (0.6 * last, 1.0 * last)
        expected[f"{name}.min_weight"] = (0.0, 1.0)
        expected[f"{name}.min_weight_distance"] = (1.0, max(0.6 * last, 1.0))
    for name in (ATTENTION, MLP):
        expected[f"{name}.share_2"] = (0.0, 1.0)
    space = Space(depth, (ATTENTION, MLP), shares=1)
    found = [(name, d) for name, d in space.dimensions.items() if isinstance(d, FloatDistribution)]
    assert [(name, (each.low, each.high)) for name, each in found] == list(expected.items())
    assert next(iter(space.dimensions)) == "direction_scope"
    assert Space(depth, (ATTENTION, MLP), 1, bounds=HERETIC_1).dimensions == space.dimensions


def test_named_bounds_are_those_of_their_dimensions() -> None:
    space = Space(31, (ATTENTION, MLP), bounds={**WIDE, "min_weight": (0.25, 0.5)})
    assert space.ranges["direction_index"] == (3.0, 30.0)
    assert space.dimension(f"{MLP}.max_weight") == (-0.5, 3.0)
    assert space.ranges[f"{MLP}.max_weight"] == (0.0, 3.0)
    assert space.ranges[f"{ATTENTION}.max_weight"] == (0.4, 3.0)
    assert space.ranges[f"{ATTENTION}.max_weight_position"] == (0.0, 30.0)
    assert space.ranges[f"{ATTENTION}.min_weight"] == space.ranges[f"{MLP}.min_weight"] == (0.25, 0.5)
    assert space.named[f"{MLP}.max_weight"] == "mlp_max_weight"
    assert set(space.named) == set(space.ranges)


def test_where_directions_are_added_the_same_is_drawn_and_weights_are_below_0() -> None:
    usual, added = Space(31, (ATTENTION, MLP)), Space(31, (ATTENTION, MLP), added=True)
    assert added.dimensions == usual.dimensions
    drawn = {**usual.point(Parameters(None, {ATTENTION: Kernel(1.2, 20, 0.6, 4), MLP: Kernel(1.0, 20, 0.5, 4)}))}
    drawn[f"{MLP}.max_weight"] = -0.1
    found = added.parameters(drawn)
    assert found.components[ATTENTION] == Kernel(-1.2, 20, -0.6, 4)
    # An MLP that is switched off is so either way, and its weight is no -0.
    assert str(found.components[MLP].max_weight) == "0.0"
    assert added.makes(added.point(found), found)
    assert added.ranges[f"{ATTENTION}.max_weight"] == (-1.5, -0.8)
    assert added.ranges[f"{MLP}.max_weight"] == (-1.5, 0.0)
    assert added.outside(found) is None
    assert "max weight of attn.o_proj is 1.2" in (added.outside(usual.parameters(drawn)) or "")
    assert "is -1.2" in (usual.outside(found) or "")
