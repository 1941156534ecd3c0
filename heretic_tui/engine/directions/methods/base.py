"""What a direction method is, what it is given, and the one that has a name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor

from heretic_tui.engine.directions.residuals import Residuals
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.plugins import DIRECTION_METHODS, made, method
from heretic_tui.settings.schema import Settings

# Below this share of the means' own length a difference is rounding, not a direction.
_TOO_SMALL = 1e-6


@dataclass(frozen=True)
class Given:
    """What directions are found in.

    Attributes:
        good, bad: residuals of the prompts that the model answers, and of those that it refuses.
        kept: residuals of prompt sets that the directions shall leave alone, by what messages call the set (the setting
            `keep_prompts`).
        count: how many directions are wanted of each layer (`directions_per_layer`); 1 for a method that does not use
            that setting.
        file: that directions are read from (`direction_file`), None where none is set.
    """

    good: Residuals
    bad: Residuals
    kept: Mapping[str, Residuals] = field(default_factory=dict)
    count: int = 1
    file: Path | None = None

    def layers(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Residuals of the good and the bad prompts, float64 (prompts, hidden) each, one residual index after the
        other: so that no more than one of them is held in float64."""
        for index in range(len(self.good.mean)):
            yield self.good.each[:, index].double(), self.bad.each[:, index].double()


@dataclass(frozen=True)
class Oblique:
    """Directions that are read along one vector and written along another: an edit takes, from what a matrix adds to
    the stream, its part along `read` in the direction of `write`, s' = s − (read·s) write. With read = write it is the
    orthogonal projection that other methods mean.

    Attributes:
        write: of length one, (layers + 1, hidden), from the good towards the bad prompts.
        read: of the same shape, with read·write = 1 in each layer: then nothing is left along `read`.
    """

    write: Tensor
    read: Tensor


class DirectionMethod(Protocol):
    """How the directions of each layer are found in the residuals of the good and the bad prompts.

    Attributes:
        uses: names of the settings that it depends on, of `directions_per_layer`, `keep_prompts` and `direction_file`.
            One that names the first can give more than one direction a layer; the other two it cannot do without.

    One that gives an Oblique says so with an attribute `oblique`, true, by which plans reckon what is kept for it.
    """

    uses: tuple[str, ...]

    def directions(self, given: Given) -> Tensor | Oblique:
        """A vector of length one for each layer, (layers + 1, hidden), from the good towards the bad prompts; or
        several, orthonormal, (layers + 1, count, hidden), of which the first is the most like that; or one that is read
        along another.

        Index 0 is the embedding output, index l + 1 the output of layer l. With a chat template the embedding of the
        last position is the same token for every prompt: at index 0 there may be zeros.

        Raises:
            HereticError: where the residuals have no direction.
        """
        ...


class EachLayer(ABC):
    """A method that looks at one layer after the other."""

    uses: tuple[str, ...] = ()

    @abstractmethod
    def of_layer(self, good: Tensor, bad: Tensor, count: int) -> Tensor:
        """The directions of one layer, whose means differ: (hidden,) of any length, or (count, hidden) orthonormal.

        Args:
            good, bad: float64 (prompts, hidden).

        Raises:
            HereticError: where there are not so many.
        """

    def directions(self, given: Given) -> Tensor:
        alike = same_means(given)
        found: list[Tensor] = []
        for index, (good, bad) in enumerate(given.layers()):
            if alike[index]:
                shape = (given.count, good.shape[1]) if given.count > 1 else (good.shape[1],)
                found.append(good.new_zeros(shape))
                continue
            try:
                found.append(torch.nn.functional.normalize(self.of_layer(good, bad, given.count), dim=-1))
            except HereticError as error:
                where = f"layer {index - 1}" if index else "the embedding output"
                raise HereticError(f"{where}: {error}") from error
        return torch.stack(found)


def same_means(given: Given) -> Tensor:
    """Where the means of both sets are the same but for rounding, bool (layers + 1,).

    Raises:
        HereticError: where they are in a layer. At the embedding output they may be.
    """
    good, bad = given.good.mean, given.bad.mean
    scale = good.norm(dim=-1).maximum(bad.norm(dim=-1))
    alike: Tensor = (bad - good).norm(dim=-1) <= _TOO_SMALL * scale
    if alike[1:].any():
        layer = int(alike[1:].nonzero()[0])
        raise HereticError(
            f"the harmless and the harmful prompts have the same mean residual at layer {layer}: the two sets do "
            "not differ for this model"
        )
    return alike


def direction_method(name: str) -> DirectionMethod:
    """The direction method with a name, made.

    Raises:
        UsageError: where there is none, or it is no direction method, or cannot be made.
    """
    return made(cast(type[DirectionMethod], method(DIRECTION_METHODS, name, DirectionMethod)), DIRECTION_METHODS, name)


def direction_methods(settings: Settings) -> dict[str, DirectionMethod]:
    """The direction methods of the settings by name, in their order.

    Raises:
        UsageError: where one is not there or cannot be made, lacks a setting that it depends on, or where a setting is
            given that none of them uses.
    """
    found = {name: direction_method(name) for name in settings.direction_method}
    given = {
        "directions_per_layer": settings.directions_per_layer > 1,
        "keep_prompts": bool(settings.keep_prompts),
        "direction_file": settings.direction_file is not None,
    }
    for setting, is_given in given.items():
        users = [name for name, each in found.items() if setting in each.uses]
        flag = "--" + setting.replace("_", "-")
        if is_given and not users:
            what = f"the direction method {' or '.join(found)}"
            raise UsageError(f"{flag} is given, and {what} does not use it: leave it out, or choose another method")
        if users and not is_given and setting != "directions_per_layer":
            raise UsageError(f"the direction method {users[0]} needs {flag}")
    return found
