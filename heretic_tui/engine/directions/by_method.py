"""What the direction methods of a run found: directions, and the layers that are edited with them; and how the run
folder holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from heretic_tui.engine.directions.methods.base import DirectionMethod, Given
from heretic_tui.engine.directions.subspaces import leading, of_layers, saved_leading
from heretic_tui.engine.directions.unit_directions import found_directions, orthogonalized, readers_off
from heretic_tui.errors import HereticError
from heretic_tui.settings.schema import Settings

# Of the length of a mean: so little of it along a direction is none.
_ROUNDING = 1e-5
# Names of tensors in directions.safetensors; of all but a run's first method with a dot and the method's name behind.
_VECTORS, _EDITED, _READERS = "directions", "edited_layers", "readers"


@dataclass(frozen=True)
class MethodDirections:
    """What one method found.

    Attributes:
        vectors: by residual index, (layers + 1, k, hidden), of length one and at right angles to each other.
        edited: layers that are edited with them; None: all.
        readers: vectors that they are read along, (layers + 1, hidden), where those are others (methods/base.py:
            Oblique).
    """

    vectors: Tensor
    edited: frozenset[int] | None = None
    readers: Tensor | None = None

    @property
    def read_along(self) -> Tensor:
        """What they are read along: themselves, or the readers; of the shape of `vectors`."""
        return self.vectors if self.readers is None else self.readers[:, None]

    def left_alone(self) -> list[int]:
        """Layers that are not edited, whatever a kernel says."""
        layers = range(len(self.vectors) - 1)
        return [] if self.edited is None else [layer for layer in layers if layer not in self.edited]


def find_by_method(
    methods: Mapping[str, DirectionMethod], given: Given, settings: Settings
) -> dict[str, MethodDirections]:
    """What each method finds, by its name.

    Args:
        given: with as many directions of a layer as the settings ask for; a method that cannot give several is asked
            for one.

    Raises:
        HereticError: where one finds none, or a mask leaves no layer.
    """
    found = {}
    for name, method in methods.items():
        several = "directions_per_layer" in method.uses
        raw, readers = found_directions(method, given if several else replace(given, count=1))
        edited = None
        if settings.layer_mask:
            edited = opposite_sides(raw, given.good.mean, given.bad.mean)
            if not edited:
                others = ", or without this method" if len(methods) > 1 else ""
                raise HereticError(
                    f"in no layer do the two sets of prompts lie on different sides along the direction of {name}: run "
                    f"without --layer-mask{others}"
                )
        vectors = raw.float()
        if settings.orthogonalize_direction:
            if readers is None:
                vectors = orthogonalized(raw, given.good.mean)
            else:
                readers = readers_off(readers, raw, given.good.mean)
        found[name] = MethodDirections(of_layers(vectors), edited, None if readers is None else readers.float())
    return found


def opposite_sides(directions: Tensor, good: Tensor, bad: Tensor) -> frozenset[int]:
    """Layers in which the means of both sets have parts of opposite signs along the direction: there the direction says
    which of the two a prompt is, and not only how much of something all have (Dang and Ngo 2026, *Selective Steering*,
    arXiv 2601.19375).

    Args:
        directions: as the method found them, (layers + 1, hidden), or (layers + 1, k, hidden), of which the first is
            looked at. Where they have nothing of the good mean, as when they were orthogonalised against it, a layer is
            none of these.
        good, bad: the means, (layers + 1, hidden).
    """
    first = (directions if directions.ndim == 2 else directions[:, 0]).to(good)
    one, other = ((mean * first).sum(dim=-1)[1:] for mean in (good, bad))
    # A direction that was orthogonalised before it came into a file has only rounding of the mean, on either side.
    apart = (one * other < 0) & (one.abs() > _ROUNDING * good[1:].norm(dim=-1))
    return frozenset(apart.nonzero()[:, 0].tolist())


def as_tensors(found: Mapping[str, MethodDirections]) -> dict[str, Tensor]:
    """As directions.safetensors holds them."""
    tensors: dict[str, Tensor] = {}
    for name, behind in _behind(list(found)).items():
        each = found[name]
        tensors[_VECTORS + behind] = each.vectors
        if each.edited is not None:
            layers = torch.zeros(len(each.vectors) - 1, dtype=torch.uint8)
            layers[sorted(each.edited)] = 1
            tensors[_EDITED + behind] = layers
        if each.readers is not None:
            tensors[_READERS + behind] = each.readers
    return tensors


def from_tensors(tensors: Mapping[str, Tensor], methods: Sequence[str]) -> dict[str, MethodDirections]:
    """What `as_tensors` gave.

    Args:
        methods: those of the run, in their order.

    Raises:
        KeyError, ValueError: where they are not those of these methods, of one shape.
    """
    found = {}
    for name, behind in _behind(methods).items():
        vectors, edited = of_layers(tensors[_VECTORS + behind]), tensors.get(_EDITED + behind)
        first = tensors[_VECTORS]
        if vectors.ndim != 3 or (len(vectors), vectors.shape[-1]) != (len(first), first.shape[-1]):
            raise ValueError(f"the directions of {name} are of another model")
        if edited is not None and edited.shape != (len(first) - 1,):
            raise ValueError(f"the edited layers of {name} are of another model")
        readers = tensors.get(_READERS + behind)
        if readers is not None and readers.shape != (len(first), first.shape[-1]):
            raise ValueError(f"what {name} reads along is of another model")
        chosen = None if edited is None else frozenset(edited.nonzero()[:, 0].tolist())
        found[name] = MethodDirections(vectors, chosen, readers)
    return found


def leading_by_method(found: Mapping[str, MethodDirections], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of each method the leading directions (subspaces.py), (layers + 1, hidden).

    Args:
        tensors: of directions.safetensors, with the means of both sets.
    """
    first, *others = found
    difference = tensors["bad_mean"] - tensors["good_mean"]
    return {first: saved_leading(tensors), **{name: leading(found[name].vectors, difference) for name in others}}


def _behind(methods: Sequence[str]) -> dict[str, str]:
    """What stands behind the names of a method's tensors."""
    return {name: f".{name}" if place else "" for place, name in enumerate(methods)}
