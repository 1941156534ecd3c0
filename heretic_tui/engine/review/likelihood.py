"""How likely a model finds the tokens of texts that are given, and how many texts fit into memory for that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heretic_tui.engine.anatomy.writers import embedding_matrix
from heretic_tui.engine.finite import NotFiniteError, rows_not_finite
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.memory import memory_share
from heretic_tui.engine.model.chat_model import ChatModel

Values = NDArray[np.float64]
Counts = NDArray[np.int64]

# The share of the free memory that logits may take, and the bytes of each: float32, and what it is made of.
_MEMORY_SHARE, _BYTES = 0.25, 8
# Positions that are computed in float64 at once.
_POSITIONS = 64


@dataclass(frozen=True, eq=False)
class Likelihood:
    """How likely a model finds texts.

    Attributes:
        nats: negative log-probability of the counted tokens of each text together, float64 (texts,).
        tokens: how many are counted in each, int64 (texts,).
    """

    nats: Values
    tokens: Counts


def beginning_of(model: ChatModel) -> Tokens:
    """The token that a text begins with where the model's tokenizer has one, else nothing. (Some put a token behind a
    text too: that ends it, and is none of it.)"""
    around: Tokens = model.tokenizer("")["input_ids"]
    return around[:1] if around[:1] == [model.tokenizer.bos_token_id] else []


def nats_of(logits: Tensor, tokens: Tokens) -> float:
    """The negative log-probability of tokens together, each by the logits (tokens, vocabulary) in its place.

    Raises:
        NotFiniteError: with the places where the logits are not finite.
    """
    total = 0.0
    given = torch.tensor(tokens, dtype=torch.int64, device=logits.device)
    for start in range(0, len(tokens), _POSITIONS):
        some = logits[start : start + _POSITIONS].double()
        whole = some.logsumexp(dim=-1)
        if lost := rows_not_finite(whole[:, None]):
            raise NotFiniteError([start + place for place in lost])
        total += float((whole - some.gather(-1, given[start : start + _POSITIONS, None])[:, 0]).sum())
    return total


def rows_that_fit(model: ChatModel, positions: int) -> int:
    """How many rows may be looked at together, at least one, where so many positions of each have logits."""
    each = max(1, positions) * len(embedding_matrix(model.network)) * _BYTES
    return max(1, memory_share(model.device, _MEMORY_SHARE) // each)
