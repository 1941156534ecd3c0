"""Trials that a search begins with, as trials of its study: made to fit the model and the space, each entered once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from heretic_tui.bounds import bounds_of
from heretic_tui.engine.anatomy.inspect import Look
from heretic_tui.engine.search.space import Space
from heretic_tui.engine.search.study import Search
from heretic_tui.engine.session.agreement import enter_all_known
from heretic_tui.errors import UsageError
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.seeds import Seed
from heretic_tui.run.state import RunState
from heretic_tui.settings.schema import Settings
from heretic_tui.words import counted
from heretic_tui.work import Work

# What holds for every layer in its reach.
_WEIGHT = 1.0
# Where a peak lies whose edit reaches all layers below and above, and how far it reaches, as shares of the depth.
_PEAK = _REACH = 0.6


def check_seeds(seeds: Sequence[Seed], settings: Settings, look: Look) -> None:
    """Look before the model is loaded whether trials are for it.

    Args:
        settings: their search space has a name (settings/search_space.py).
        look: at the model.

    Raises:
        UsageError: where one is not.
    """
    if not any(seed.parameters for seed in seeds):
        return
    if (found := look()) is None:
        return
    anatomy = found.anatomy
    methods = dict.fromkeys(settings.direction_method, 0)
    bounds = bounds_of(settings.search_space, settings.search_bounds)
    added = settings.steer == "add"
    for _ in _fitted(
        seeds, Space(len(anatomy.layers), anatomy.components, methods=methods, bounds=bounds, added=added)
    ):
        pass


def enter_seeds(study: Search, state: RunState, space: Space, seeds: Sequence[Seed], work: Work) -> None:
    """Enter those that the study does not hold yet, as the next trials after all that are known. They count as chosen
    by hand: the search learns from them, and draws its own as it would have without them.

    Raises:
        UsageError: where one is not for this model.
    """
    if not seeds or enter_all_known(study, state) != study.count:
        return
    # Killed at any moment, those that were entered are there.
    held = [study.parameters(number) for number in range(study.count) if study.origin(number)]
    entered = 0
    for origin, parameters, notes in _fitted(seeds, space):
        point = space.point(parameters)
        made = space.parameters(point)
        if made in held:
            continue
        for note in notes:
            work.note(f"{origin}: {note}", "warning")
        study.enter(study.count, made, point, by_hand=True, origin=origin)
        held.append(made)
        entered += 1
    if entered:
        work.note(f"{counted(entered, 'trial')} from seed_trials {'is' if entered == 1 else 'are'} measured first")


def _fitted(seeds: Sequence[Seed], space: Space) -> Iterator[tuple[str, Parameters, list[str]]]:
    """By their origins parameters for this model, and what had to be changed."""
    for seed in seeds:
        if seed.parameters is None:
            yield from ((f"{seed.origin}: {name}", each, []) for name, each in built_in(space).items())
            continue
        try:
            yield seed.origin, *fitted(seed, space)
        except UsageError as error:
            raise UsageError(f"seed_trials: {seed.origin}: {error}") from error


def fitted(seed: Seed, space: Space) -> tuple[Parameters, list[str]]:
    """The parameters of a seed for the model of a space, and what had to be changed. They may lie outside of the space
    still: then a note says where, and the nearest point of it is meant.

    Raises:
        UsageError: where the model has other components.
    """
    assert seed.parameters
    found, notes = seed.parameters, list[str]()
    if problem := found.unknown_component(space.components):
        raise UsageError(problem)
    if seed.layers is not None and seed.layers != space.depth:
        found = scaled(found, seed.layers, space.depth)
        notes.append(f"it is from a model with {seed.layers} layers, and was scaled to {space.depth}")
    kernels = dict(found.components)
    for name in space.components:
        if name not in kernels:
            low, _ = space.dimension(f"{name}.max_weight")
            if low > 0:
                raise UsageError(f"it says nothing of {name}, which this model has and this space always edits")
            kernels[name] = _off(space, name)
    if found.direction_method is not None and found.direction_method not in space.methods:
        notes.append(f"its directions are from {found.direction_method}, and here from the run's own method")
        found = replace(found, direction_method=None)
    shares = space.shares_of(found.direction_method)
    if any(len(kernel.shares) not in (0, shares) for kernel in kernels.values()):
        notes.append("its weights of single directions are left out: layers have another number of them here")
        kernels = {name: replace(kernel, shares=()) for name, kernel in kernels.items()}
    found = replace(found, components={name: kernels[name] for name in space.components})
    if outside := space.outside(found):
        notes.append(f"{outside}; the nearest point of the space is measured")
    return found, notes


def scaled(parameters: Parameters, layers: int, depth: int) -> Parameters:
    """Parameters for a model with another number of layers: what is told in layers, at the same share of the depth."""
    factor = (depth - 1) / (layers - 1) if layers > 1 else 1.0
    index = parameters.direction_index
    return replace(
        parameters,
        direction_index=None if index is None else index * factor,
        components={
            name: replace(
                kernel,
                max_weight_position=kernel.max_weight_position * factor,
                min_weight_distance=max(1.0, kernel.min_weight_distance * factor),
            )
            for name, kernel in parameters.components.items()
        },
    )


def built_in(space: Space) -> dict[str, Parameters]:
    """A few edits that are worth a look with any model, by what they are; those that the space does not have are left
    out."""
    last = space.depth - 1
    middle = {name: _middle(space, name) for name in space.components}
    weight = space.sign * _WEIGHT
    level = {name: Kernel(weight, _PEAK * last, weight, max(1.0, _REACH * last)) for name in space.components}
    found = {
        "each layer's own direction, the middle of the space": Parameters(None, middle),
        "one direction, of the layer at 0.6 of the depth": Parameters(0.6 * last, middle),
        f"weight {weight:g} in all layers": Parameters(None, level),
    }
    off = {name for name in space.components if space.dimension(f"{name}.max_weight")[0] <= 0}
    if 0 < len(off) < len(space.components):
        mixers = {name: _off(space, name) if name in off else middle[name] for name in space.components}
        found["token mixers alone"] = Parameters(None, mixers)
    return {name: each for name, each in found.items() if space.outside(each) is None}


def _middle(space: Space, component: str) -> Kernel:
    peak, position, share, distance = (
        sum(space.ranges[f"{component}.{part}"]) / 2
        for part in ("max_weight", "max_weight_position", "min_weight", "min_weight_distance")
    )
    return Kernel(peak, position, share * peak, distance)


def _off(space: Space, component: str) -> Kernel:
    """A kernel that edits nothing."""
    return replace(_middle(space, component), max_weight=0.0, min_weight=0.0)
