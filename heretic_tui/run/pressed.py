"""Which bounds of a search the trials of its front press against: better ones may lie beyond these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from heretic_tui.bounds import BOUNDS, Bounds, Range
from heretic_tui.parameters import Parameters
from heretic_tui.run.state import RunState

# So near to a bound, as a share of the range, is at it.
NEAR = 0.05
# So many trials of a front have to press against a bound, and more than this share of those that tell of the dimension.
# By chance a twentieth would: of four trials two would in every fourth search, at one of its twenty bounds.
FEWEST, SHARE = 3, 1 / 3


@dataclass(frozen=True)
class Pressed:
    """
    Attributes:
        dimension: of the search space.
        bound: its name in the settings.
        upper: whether it is the highest value, not the lowest.
        value: what that is, in layers, as a weight or as a share of one.
        near: trials of the front that are near it.
        of: trials of the front that the dimension means something for.
        wider: both values of the setting, with this one further out: by as much as they are apart, at most.
    """

    dimension: str
    bound: str
    upper: bool
    value: float
    near: int
    of: int
    wider: Range


def pressed_bounds(
    front: Sequence[Parameters], ranges: Bounds, named: Mapping[str, str], bounds: Bounds, added: bool = False
) -> tuple[Pressed, ...]:
    """The bounds that so many trials press against, those with most of them first. What has no meaning beyond a bound,
    such as a peak below the first layer, is none.

    Args:
        front: the trials' parameters.
        ranges: of each dimension what was drawn, as events.py: SpaceKnown has it.
        named: the names of their bounds.
        bounds: all of them, by their names.
        added: whether weights lie below 0. Their bounds are of how far they are from it, and so is what is told.
    """
    if added:
        front = [_turned(parameters) for parameters in front]
        weights = {name: each for name, each in ranges.items() if name.endswith(".max_weight")}
        ranges = {**ranges, **{name: (-high or 0.0, -low or 0.0) for name, (low, high) in weights.items()}}
    places = [_places(parameters) for parameters in front]
    found = []
    for dimension, bound in named.items():
        values = [place[dimension] for place in places if dimension in place]
        if dimension not in ranges or bound not in bounds:
            continue
        low, high = ranges[dimension]
        margin = NEAR * (high - low)
        for upper, value in ((False, low), (True, high)):
            wider = _wider(bound, bounds[bound], upper)
            near = sum(abs(each - value) <= margin for each in values)
            if wider and high > low and near >= FEWEST and near > SHARE * len(values):
                found.append(Pressed(dimension, bound, upper, value, near, len(values), wider))
    return tuple(sorted(found, key=lambda each: -each.near / each.of))


def pressed_in(state: RunState) -> tuple[Pressed, ...]:
    """Those of a run."""
    front = [trial.parameters for trial in state.front() if trial.parameters]
    return pressed_bounds(front, state.ranges, state.named_bounds, state.bounds, state.behaviour.added)


def _turned(parameters: Parameters) -> Parameters:
    """The same edit with weights of the other sign."""
    kernels = {
        name: replace(kernel, max_weight=-kernel.max_weight, min_weight=-kernel.min_weight)
        for name, kernel in parameters.components.items()
    }
    return replace(parameters, components=kernels)


def widened(pressed: Sequence[Pressed]) -> dict[str, Range]:
    """The bounds that make room for all of these, by their names in the settings."""
    found: dict[str, Range] = {}
    for each in pressed:
        low, high = found.get(each.bound, each.wider)
        found[each.bound] = min(low, each.wider[0]), max(high, each.wider[1])
    return {name: found[name] for name in BOUNDS if name in found}


def _places(parameters: Parameters) -> dict[str, float]:
    """Where an edit lies in each dimension that means something for it."""
    found = {} if parameters.direction_index is None else {"direction_index": parameters.direction_index}
    for name, kernel in parameters.components.items():
        found[f"{name}.max_weight"] = kernel.max_weight
        if kernel.max_weight:
            # Where nothing is edited, it does not matter in which layers.
            found[f"{name}.max_weight_position"] = kernel.max_weight_position
            found[f"{name}.min_weight"] = kernel.min_weight / kernel.max_weight
            found[f"{name}.min_weight_distance"] = kernel.min_weight_distance
            found.update({f"{name}.share_{place + 2}": share for place, share in enumerate(kernel.shares)})
    return found


def _wider(bound: str, now: Range, upper: bool) -> Range | None:
    """The bound further out; None where nothing lies beyond."""
    least, most = BOUNDS[bound].limits
    low, high = now
    if upper:
        high = min(most, round(high + (high - low), 2))
    # A weight below 0 is none, and so is one further below.
    elif not (bound.endswith("max_weight") and low <= 0):
        low = max(0.0 if bound.endswith("max_weight") else least, round(low - (high - low), 2))
    return (low, high) if (low, high) != now else None
