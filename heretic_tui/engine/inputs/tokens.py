"""Tokens of a prompt, and whether they lie within a model's embedding."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from heretic_tui.words import quoted

Tokens = list[int]


class WholeText:
    """Used in place of a cache: keeps the text so far, and computes every token from all of it."""

    def __init__(self) -> None:
        self._ids: Tensor | None = None
        self._positions: Tensor | None = None

    def grown(self, ids: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """The whole text with what comes new; shapes (rows, length)."""
        if self._ids is not None and self._positions is not None:
            ids, positions = torch.cat([self._ids, ids], dim=1), torch.cat([self._positions, positions], dim=1)
        self._ids, self._positions = ids, positions
        return ids, positions

    def reorder_cache(self, rows: Tensor) -> None:
        """Only these rows go on."""
        assert self._ids is not None
        assert self._positions is not None
        self._ids, self._positions = self._ids[rows], self._positions[rows]


def beyond(tokens: Tokens, rows: int, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """What is wrong where a token lies beyond the rows of the embedding; None where all lie inside."""
    if not tokens or max(tokens) < rows:
        return None
    token = next(token for token in tokens if token >= rows)
    name = quoted(tokenizer.convert_ids_to_tokens(token))
    return (
        f"the token {name} ({token}) has no row in the model's embedding ({rows:,} rows): the tokenizer is another "
        "model's, or the token was added to it and the embedding was never resized"
    )
