"""What is searched, and within which bounds: the direction, and a kernel for each component."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from heretic_tui.bounds import HERETIC_1, Bounds
from heretic_tui.engine.anatomy.matrix_names import after_the_mixers
from heretic_tui.errors import HereticError
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.words import quoted

GLOBAL, PER_LAYER = "global", "per layer"
# A share that was multiplied with its peak and divided again is itself to so much.
_ROUNDING = 1e-9

# A point of the space as the sampler draws it, by the names of its dimensions.
Sampled = Mapping[str, float | str]


class Space:
    """The space of one model.

    Args:
        depth: number of decoder layers.
        components: what kernels are searched for.
        shares: how many directions of a layer, beside the first, are weighted one by one; 0: all alike.
        methods: the direction methods that are searched, with how many of these directions each has; none, where there
            is but one method.
        bounds: by their names (bounds.py).
        added: whether directions are added: what is drawn is the same, and weights are below 0 by as much.

    Attributes:
        depth: number of decoder layers.
        dimensions: each with its bounds, by name, in the order in which they are drawn.
        sign: of weights: 1, or -1 where directions are added.
        named: the name of the bounds of each dimension that has any.
    """

    def __init__(
        self,
        depth: int,
        components: Sequence[str],
        shares: int = 0,
        methods: Mapping[str, int] = MappingProxyType({}),
        bounds: Bounds = HERETIC_1,
        added: bool = False,
    ) -> None:
        self.depth = depth
        self._components = components
        self.sign = -1.0 if added else 1.0
        self._shares = shares
        self._methods = methods if len(methods) > 1 else {}
        self.named = _named(components, shares)
        self.dimensions = _dimensions(depth - 1, self.named, bounds)
        if self._methods:
            # Last: without it the search is the one that it was before there were several.
            self.dimensions["direction_method"] = CategoricalDistribution(list(self._methods))

    def parameters(self, sampled: Sampled) -> Parameters:
        """The parameters that a point makes."""
        method = str(sampled["direction_method"]) if self._methods else None
        shares = self.shares_of(method)
        kernels = {}
        for name in self._components:
            # No weight is 0, and not -0.
            peak = self.sign * max(0.0, _number(sampled, f"{name}.max_weight")) or 0.0
            kernels[name] = Kernel(
                peak,
                _number(sampled, f"{name}.max_weight_position"),
                _number(sampled, f"{name}.min_weight") * peak,
                _number(sampled, f"{name}.min_weight_distance"),
                tuple(_number(sampled, share) for share in share_names(name, shares)),
            )
        index = _number(sampled, "direction_index")
        return Parameters(index if sampled["direction_scope"] == GLOBAL else None, kernels, method)

    def makes(self, sampled: Sampled, parameters: Parameters) -> bool:
        """Whether a point lies in the space, and makes these parameters."""
        return self.holds(sampled) and self.parameters(sampled) == parameters

    def holds(self, sampled: Sampled) -> bool:
        """Whether a point lies in the space."""
        for name, dimension in self.dimensions.items():
            value = sampled.get(name)
            if isinstance(dimension, FloatDistribution):
                if isinstance(value, bool | str | None) or not dimension.low <= value <= dimension.high:
                    return False
            elif isinstance(dimension, CategoricalDistribution) and value not in dimension.choices:
                return False
        return True

    def shares_of(self, method: str | None) -> int:
        """How many shares a kernel has with a method's directions; the first method is meant where none is named."""
        if not self._methods:
            return self._shares
        return self._methods.get(method or next(iter(self._methods)), self._shares)

    @property
    def components(self) -> Sequence[str]:
        """What kernels are searched for."""
        return self._components

    @property
    def methods(self) -> Sequence[str]:
        """The direction methods that are searched; none, where there is but one."""
        return list(self._methods)

    def dimension(self, name: str) -> tuple[float, float]:
        """The lowest and the highest value that are drawn of a dimension; of a weight both may lie below 0."""
        found = self.dimensions[name]
        assert isinstance(found, FloatDistribution)
        return found.low, found.high

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The bounds that parameters have, by the names of dimensions that have any."""
        found = {}
        for name, dimension in self.dimensions.items():
            if isinstance(dimension, FloatDistribution):
                # A peak below 0 is none.
                low, high = max(0.0, dimension.low), dimension.high
                turned = self.sign < 0 and name.endswith(".max_weight")
                found[name] = (-high, -low or 0.0) if turned else (low, high)
        return found

    def outside(self, parameters: Parameters) -> str | None:
        """Why parameters that were chosen by hand are no point of the space; None where they are one."""
        if problem := parameters.unknown_component(self._components):
            return problem
        method = parameters.direction_method
        if method is not None and method not in self._methods:
            of = f"searches {', '.join(self._methods)}" if self._methods else "has one, and names none"
            return f"there is no direction method {quoted(method)} in this run, which {of}"
        own = self.shares_of(method)
        values: dict[str, float] = {}
        if parameters.direction_index is not None:
            values["direction_index"] = parameters.direction_index
        for name in self._components:
            if (kernel := parameters.components.get(name)) is None:
                return f"it says nothing of {name}, which this model has"
            values[f"{name}.max_weight"] = kernel.max_weight
            values[f"{name}.max_weight_position"] = kernel.max_weight_position
            if kernel.max_weight or kernel.min_weight:
                share = kernel.min_weight / kernel.max_weight if kernel.max_weight else math.inf
                values[f"{name}.min_weight"] = share
            values[f"{name}.min_weight_distance"] = kernel.min_weight_distance
            if len(kernel.shares) not in (0, own):
                return f"it has shares for {len(kernel.shares) + 1} directions of {name}, not for {own + 1}"
            # Without any all directions are alike.
            shares = kernel.shares or (1.0,) * own
            values.update(zip(share_names(name, own), shares, strict=True))
        for name, value in values.items():
            low, high = self.ranges[name]
            if not low - _ROUNDING <= value <= high + _ROUNDING:
                component, _, part = name.rpartition(".")
                of_peak = " as a share of max weight" if part == "min_weight" else ""
                what = f"{part.replace('_', ' ')}{of_peak}{f' of {component}' if component else ''}"
                return f"{what} is {value:.4g}: the search goes from {low:.4g} to {high:.4g}"
        return None

    def point(self, parameters: Parameters) -> dict[str, float | str]:
        """A point that makes these parameters, or nearly so.

        Raises:
            HereticError: where they lack a component.
        """
        index = parameters.direction_index
        found = {"direction_index": math.inf if index is None else index}
        for name in self._components:
            if (kernel := parameters.components.get(name)) is None:
                raise HereticError(f"a recorded trial has no {name}, which this model has: begin another run")
            peak = kernel.max_weight
            found[f"{name}.max_weight"] = self.sign * peak
            found[f"{name}.max_weight_position"] = kernel.max_weight_position
            found[f"{name}.min_weight"] = kernel.min_weight / peak if peak else math.inf
            found[f"{name}.min_weight_distance"] = kernel.min_weight_distance
            # A method with fewer directions leaves shares undecided.
            shares = kernel.shares or (1.0,) * self.shares_of(parameters.direction_method)
            names = share_names(name, self._shares)
            found.update({each: shares[place] if place < len(shares) else math.inf for place, each in enumerate(names)})
        point: dict[str, float | str] = {"direction_scope": PER_LAYER if index is None else GLOBAL}
        if self._methods:
            # The first where none is named: it is what makes the edit then.
            method = parameters.direction_method or ""
            point["direction_method"] = method if method in self._methods else next(iter(self._methods))
        for name, dimension in self.dimensions.items():
            if isinstance(dimension, FloatDistribution):
                low, high = dimension.low, dimension.high
                # What the parameters do not tell is the middle.
                point[name] = min(max(found[name], low), high) if math.isfinite(found[name]) else (low + high) / 2
        return point


def share_names(component: str, shares: int) -> list[str]:
    """The dimensions of a component's shares, those of its second direction and of each further one."""
    return [f"{component}.share_{number + 2}" for number in range(shares)]


def _named(components: Sequence[str], shares: int) -> dict[str, str]:
    """By the dimensions of a space, in their order, the names of their bounds."""
    # Sampled for either scope: multivariate TPE knows no conditional parameters.
    named = {"direction_index": "direction_index"}
    for name in components:
        named[f"{name}.max_weight"] = "mlp_max_weight" if after_the_mixers(name) else "mixer_max_weight"
        for part in ("max_weight_position", "min_weight", "min_weight_distance"):
            named[f"{name}.{part}"] = part
    # Last: without them the search is the one that it was before they came.
    for name in components:
        named.update(dict.fromkeys(share_names(name, shares), "direction_share"))
    return named


def _dimensions(last: int, named: Mapping[str, str], bounds: Bounds) -> dict[str, BaseDistribution]:
    """The bounds of everything that is drawn; `last` is the index of the last layer."""
    space: dict[str, BaseDistribution] = {"direction_scope": CategoricalDistribution([GLOBAL, PER_LAYER])}
    for name, bound in named.items():
        low, high = bounds[bound]
        if bound in ("direction_index", "max_weight_position"):
            low, high = low * last, high * last
        elif bound == "min_weight_distance":
            low, high = max(low * last, 1.0), max(high * last, 1.0)
        space[name] = FloatDistribution(low, high)
    return space


def _number(sampled: Sampled, name: str) -> float:
    value = sampled[name]
    assert not isinstance(value, str)
    return value
