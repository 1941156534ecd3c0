"""Values that are not finite numbers: logits and residuals that hold any are an error wherever they are used, never an
answer and never a figure."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from heretic_tui.errors import HereticError

# In place of a token where none can be chosen.
NO_TOKEN = -1


class NotFiniteError(HereticError):
    """What a model gave is not finite.

    Attributes:
        rows: for which of the caller's prompts, as far as they were looked at.
    """

    def __init__(self, rows: Sequence[int], what: str = "logits") -> None:
        super().__init__(f"the model's {what} are not finite numbers")
        self.rows = tuple(rows)
        self.what = what

    def among(self, rows: Sequence[int]) -> NotFiniteError:
        """The same, where the rows are positions in a list of rows."""
        return NotFiniteError([rows[row] for row in self.rows], self.what)


def most_likely(logits: Tensor) -> Tensor:
    """The most likely token at each position, `NO_TOKEN` where that cannot be told; shape of logits (…, vocabulary)."""
    # `max` is several times faster than `argmax` on a CPU, and shows NaN too: in a row with one, that is the largest.
    # (Models rule tokens out by -∞, which is no error.)
    best, chosen = logits.max(dim=-1)
    return torch.where(best.isfinite(), chosen, NO_TOKEN)


def rows_not_finite(tensor: Tensor) -> list[int]:
    """Rows that hold what is no finite number; any shape with rows first."""
    return (~tensor.isfinite().flatten(1).all(dim=1)).nonzero()[:, 0].tolist()


def weights_not_finite(network: nn.Module) -> list[str]:
    """Names of the parameters that hold what is no finite number. In float16 infinity may come of the loading, and only
    NaN counts."""
    return [
        name
        for name, weight in network.named_parameters()
        if weight.is_floating_point()
        and bool((weight.isnan() if weight.dtype == torch.float16 else ~weight.isfinite()).any())
    ]
