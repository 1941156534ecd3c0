"""Which parameters matter: shares by fANOVA."""

from __future__ import annotations

import random

import pytest
from optuna.distributions import FloatDistribution

from heretic_tui.bounds import HERETIC_1, WIDE, Bounds
from heretic_tui.engine.search.importance import importances
from heretic_tui.engine.search.space import GLOBAL, PER_LAYER, Space
from heretic_tui.errors import HereticError

COMPONENTS = ["attn.o_proj", "mlp.down_proj"]


def points(
    count: int, matters: str, depth: int = 30, bounds: Bounds = HERETIC_1
) -> list[tuple[dict[str, float | str], float]]:
    """Points of the space, and an objective that follows from one of its dimensions."""
    rng, space = random.Random(1), Space(depth, COMPONENTS, bounds=bounds)
    found = []
    for _ in range(count):
        point: dict[str, float | str] = {}
        for name, each in space.dimensions.items():
            point[name] = rng.choice((GLOBAL, PER_LAYER))
            if isinstance(each, FloatDistribution):
                point[name] = rng.uniform(each.low, each.high)
        found.append((point, float(point[matters]) * 3))
    return found


def test_what_the_objective_follows_from_has_nearly_all() -> None:
    for matters in ("attn.o_proj.max_weight", "direction_index"):
        shares = importances(points(60, matters), 30, COMPONENTS)
        assert next(iter(shares)) == matters
        assert shares[matters] > 0.8
        assert sum(shares.values()) == pytest.approx(1.0)
        assert shares.keys() == Space(30, COMPONENTS).dimensions.keys()


def test_a_wider_space_has_points_that_the_other_has_not() -> None:
    wide = points(60, "attn.o_proj.max_weight_position", bounds=WIDE)
    assert next(iter(importances(wide, 30, COMPONENTS, WIDE))) == "attn.o_proj.max_weight_position"
    with pytest.raises(HereticError):
        importances([point for point in wide if not Space(30, COMPONENTS).holds(point[0])], 30, COMPONENTS)


def test_points_outside_of_the_space_are_left_out_and_nothing_is_told_from_nothing() -> None:
    inside = points(40, "direction_index")
    outside = [({**point, "direction_index": 99.0}, 1e6) for point, _ in inside]
    partial = [({"direction_index": 15.0}, 1.0)]
    assert importances([*inside, *outside, *partial], 30, COMPONENTS) == importances(inside, 30, COMPONENTS)
    with pytest.raises(HereticError, match="cannot be told"):
        importances(outside, 30, COMPONENTS)
    with pytest.raises(HereticError, match="cannot be told"):
        importances([(point, 7.0) for point, _ in inside], 30, COMPONENTS)
