"""What the base model computes for prompts below the layers that a trial edits, kept so that no trial computes it
again: hidden states, keys and values, by layer and row."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from heretic_tui.engine.inputs.tokens import Tokens

KeysValues = tuple[Tensor, Tensor]


class KeptStates:
    """What the base model computes for some rows of tokens: hidden states at layer boundaries, and keys and values of
    layers. Rows are packed, one after the other, without padding; nothing is there until a pass hands it over.

    Boundary l is the input of layer l (so the output of layer l - 1).

    Args:
        boundaries: those at which hidden states are kept; boundary 0, the tokens themselves, always is.
        cached: whether keys and values are kept too.
        device: where all of it is kept.
    """

    def __init__(self, rows: Sequence[Tokens], boundaries: Sequence[int], cached: bool, device: torch.device) -> None:
        self.lengths = [len(row) for row in rows]
        self._offsets = [0, *accumulate(self.lengths)]
        self._ids = torch.tensor([token for row in rows for token in row], dtype=torch.int64)
        self._boundaries = [0, *boundaries]
        self._cached = cached
        self._device = device
        self._hidden: dict[int, Tensor] = {}
        self._cache: dict[int, KeysValues] = {}
        self._known = [0] * len(rows)

    def index(self, rows: Sequence[int]) -> Tensor:
        """Where the tokens of rows lie in packed tensors, (rows, longest); a shorter row repeats its last token."""
        longest = max(self.lengths[row] for row in rows)
        lengths = torch.tensor([self.lengths[row] for row in rows])[:, None]
        offsets = torch.tensor([self._offsets[row] for row in rows])[:, None]
        return offsets + torch.arange(longest).minimum(lengths - 1)

    def ids(self, index: Tensor) -> Tensor:
        """Tokens (rows, longest), on the CPU."""
        return self._ids[index]

    def start(self, rows: Sequence[int], reached: int) -> int:
        """The highest boundary, no higher than the one reached, from which the rows can be computed."""
        return min(reached, *(self._known[row] for row in rows))

    def reached(self, first_edited: int) -> int:
        """The highest boundary below which a pass with this first edited layer is the base model's."""
        return max(b for b in self._boundaries if b <= first_edited)

    def keeps(self, boundary: int) -> bool:
        """Whether hidden states are kept at a boundary."""
        return boundary in self._boundaries

    def hidden(self, boundary: int, index: Tensor) -> Tensor:
        """Hidden states (rows, longest, hidden)."""
        return self._hidden[boundary][index.to(self._device)]

    def cache(self, layer: int, index: Tensor) -> KeysValues:
        """Keys and values (rows, heads, longest, size per head)."""
        keys, values = (t[index.to(self._device)].transpose(1, 2) for t in self._cache[layer])
        return keys, values

    def keep_hidden(self, boundary: int, index: Tensor, states: Tensor) -> None:
        """Take over hidden states (rows, longest, hidden) at a boundary that is kept."""
        self._hidden[boundary] = self._packed(self._hidden.get(boundary), index, states)

    def keep_cache(self, layer: int, index: Tensor, keys: Tensor, values: Tensor) -> None:
        """Take over keys and values (rows, heads, longest, size per head), where they are kept."""
        if self._cached:
            old = self._cache.get(layer, (None, None))
            pair = (self._packed(was, index, t.transpose(1, 2)) for was, t in zip(old, (keys, values), strict=True))
            self._cache[layer] = (next(pair), next(pair))

    def mark(self, rows: Sequence[int], boundary: int) -> None:
        """Everything below a boundary is kept for some rows now."""
        for row in rows:
            self._known[row] = max(self._known[row], boundary)

    def _packed(self, packed: Tensor | None, index: Tensor, new: Tensor) -> Tensor:
        if packed is None:
            packed = torch.zeros(self._offsets[-1], *new.shape[2:], dtype=new.dtype, device=self._device)
        # Where a shorter row repeats its last token, the first writing of it is the true one.
        fresh = torch.ones_like(index, dtype=torch.bool)
        fresh[:, 1:] = index[:, 1:] != index[:, :-1]
        packed[index[fresh].to(self._device)] = new[fresh.to(new.device)].to(self._device)
        return packed
