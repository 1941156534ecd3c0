"""The direction method as a dimension of the search: there for several methods, and not for one."""

from __future__ import annotations

import random

import pytest

from heretic_tui.engine.search.importance import importances
from heretic_tui.engine.search.space import Space
from heretic_tui.errors import UsageError
from heretic_tui.parameters import Kernel, Parameters

COMPONENTS = ["attn.o_proj", "mlp.down_proj"]
METHODS = {"mean_difference": 0, "clusters": 0}


def drawn(space: Space, rng: random.Random) -> dict[str, float | str]:
    found: dict[str, float | str] = {}
    for name, dimension in space.dimensions.items():
        choices = getattr(dimension, "choices", None)
        found[name] = rng.choice(choices) if choices else rng.uniform(dimension.low, dimension.high)  # type: ignore[attr-defined]
    return found


def test_one_method_is_the_space_that_it_was() -> None:
    alone = Space(30, COMPONENTS)
    assert list(Space(30, COMPONENTS, 0, {"leace": 0}).dimensions) == list(alone.dimensions)
    point = drawn(alone, random.Random(0))
    parameters = alone.parameters(point)
    assert parameters.direction_method is None
    assert "direction_method" not in parameters.to_json()
    assert list(Space(30, COMPONENTS, 0, METHODS).dimensions) == [*alone.dimensions, "direction_method"]


def test_points_and_parameters_name_the_method() -> None:
    space, rng = Space(30, COMPONENTS, 0, METHODS), random.Random(1)
    for _ in range(20):
        point = drawn(space, rng)
        parameters = space.parameters(point)
        assert parameters.direction_method == point["direction_method"]
        assert Parameters.from_json(parameters.to_json()) == parameters
        assert space.makes(point, parameters)
        assert space.outside(parameters) is None
        assert space.point(parameters)["direction_method"] == parameters.direction_method
    other = Parameters(None, parameters.components, "leace")
    assert space.outside(other) == (
        "there is no direction method 'leace' in this run, which searches mean_difference, clusters"
    )
    assert not space.holds({**point, "direction_method": "leace"})
    # One that names none is of the first.
    assert space.point(Parameters(None, parameters.components))["direction_method"] == "mean_difference"
    assert "has one" in str(Space(30, COMPONENTS).outside(Parameters(None, parameters.components, "clusters")))


def test_shares_are_those_of_the_method_s_own_directions() -> None:
    space, rng = Space(30, COMPONENTS, 2, {"mean_difference": 0, "clusters": 2}), random.Random(2)
    for method, count in (("mean_difference", 0), ("clusters", 2)):
        parameters = space.parameters({**drawn(space, rng), "direction_method": method})
        assert {len(kernel.shares) for kernel in parameters.components.values()} == {count}
        assert space.outside(parameters) is None
        assert space.parameters(space.point(parameters)).components.keys() == parameters.components.keys()


def test_a_name_that_is_none_is_told() -> None:
    record = Parameters(None, {"mlp.down_proj": Kernel(1, 1, 1, 1)}).to_json()
    with pytest.raises(UsageError, match="edit: direction_method must be the name of one, not 3"):
        Parameters.from_json({**record, "direction_method": 3})
    with pytest.raises(UsageError, match="must be the name of one"):
        Parameters.from_json({**record, "direction_method": "../x"})


def test_the_method_can_be_what_matters() -> None:
    space, rng = Space(30, COMPONENTS, 0, METHODS), random.Random(3)
    points = [drawn(space, rng) for _ in range(60)]
    rated = [(point, float(point["direction_method"] == "clusters") + 0.01 * rng.random()) for point in points]
    assert next(iter(importances(rated, 30, COMPONENTS))) == "direction_method"
