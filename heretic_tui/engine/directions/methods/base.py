"""What a direction method is, and the one that has a name."""

from __future__ import annotations

from typing import Protocol, cast

from torch import Tensor

from heretic_tui.engine.directions.residuals import Residuals
from heretic_tui.plugins import DIRECTION_METHODS, made, method


class DirectionMethod(Protocol):
    """How the direction of each layer is found in the residuals of the good and the bad prompts."""

    def directions(self, good: Residuals, bad: Residuals) -> Tensor:
        """A vector of length one for each layer, (layers + 1, hidden), from the good towards the bad prompts.

        Index 0 is the embedding output, index l + 1 the output of layer l. With a chat template the embedding of the
        last position is the same token for every prompt: at index 0 there may be zeros.

        Raises:
            HereticError: where the residuals have no direction.
        """
        ...


def direction_method(name: str) -> DirectionMethod:
    """The direction method with a name, made.

    Raises:
        UsageError: where there is none, or it is no direction method, or cannot be made.
    """
    return made(cast(type[DirectionMethod], method(DIRECTION_METHODS, name, DirectionMethod)), DIRECTION_METHODS, name)
