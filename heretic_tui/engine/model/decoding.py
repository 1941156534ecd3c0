"""Decoding token by token through the model's own cache, the way that works with every architecture: one step of it,
the greedy continuation of many rows, and the choice of a token by sampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import LongTensor, Tensor

from heretic_tui.commands import Sampling
from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.model.chat_model import Batch, ChatModel
from heretic_tui.work import ProgressReport

# Tokens between two looks at a response: turning tokens into text takes time too.
LOOK_EVERY = 4


class Decoding:
    """A batch whose rows go on token by token: `next_logits`, then `take` the tokens that are chosen, and again."""

    def __init__(self, model: ChatModel, batch: Batch) -> None:
        self._model = model
        self._cache = model.new_cache()
        # Tokens that are not in the cache yet, and the mask of all until then.
        self._ids, self._mask, self._positions = batch.ids, batch.mask, batch.positions

    def next_logits(self) -> Tensor:
        """Take the tokens that are not in the cache yet through the model. Returns raw float32 logits of those that
        come next, (rows, vocabulary)."""
        return self._model.next_token_logits(self._ids, self._mask, self._positions, self._cache)

    def take(self, tokens: Tensor) -> None:
        """Let each row go on with a token, (rows,) int64 on the model's device."""
        self._ids = tokens[:, None]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        self._positions = self._positions[:, -1:] + 1

    def keep(self, rows: Tensor) -> None:
        """Let all rows but these leave the batch, after `next_logits` and before `take`; (kept,) int64 on the model's
        device."""
        # Unlike its method for selecting rows, this one knows the states of linear attention too.
        self._cache.reorder_cache(cast(LongTensor, rows))
        self._mask, self._positions = self._mask[rows], self._positions[rows]


def greedy(
    model: ChatModel,
    tokens: Sequence[Tokens],
    max_new_tokens: int,
    progress: ProgressReport | None = None,
    enough: Callable[[Tokens], bool] = lambda response: False,
) -> list[Tokens]:
    """The most likely continuation of each row, up to an end token (left out), `max_new_tokens`, or where it is enough.
    Rows that have ended leave their batch at once.

    Tokens are chosen from raw logits: penalties and suppressed tokens of a model's generation settings are sampling
    habits, not the model.

    Args:
        enough: asked for a response so far now and then; true ends it.

    Raises:
        NotFiniteError: when logits are not finite.
    """
    responses: list[Tokens] = [[] for _ in tokens]
    done = 0

    def decode(batch: Batch) -> None:
        nonlocal done

        def ended(rows: int) -> None:
            if progress:
                progress(done + rows, len(tokens))

        # A batch that runs out of memory is decoded again from its prompts.
        for row, response in zip(batch.rows, _decode_batch(model, batch, max_new_tokens, ended, enough), strict=True):
            responses[row] = response
        done += len(batch.rows)

    model.in_batches(tokens, decode)
    return responses


def _decode_batch(
    model: ChatModel,
    batch: Batch,
    max_new_tokens: int,
    ended: Callable[[int], None],
    enough: Callable[[Tokens], bool],
) -> list[Tokens]:
    responses: list[Tokens] = [[] for _ in batch.rows]
    alive = list(range(len(batch.rows)))
    ends = model.end_tokens
    decoding = Decoding(model, batch)
    while True:
        chosen = most_likely(decoding.next_logits())
        tokens: list[int] = chosen.tolist()
        if NO_TOKEN in tokens:
            raise NotFiniteError(
                [batch.rows[row] for row, token in zip(alive, tokens, strict=True) if token == NO_TOKEN]
            )
        keep: list[int] = []
        for line, (row, token) in enumerate(zip(alive, tokens, strict=True)):
            if token not in ends:
                response = responses[row]
                response.append(token)
                asked = len(response) % LOOK_EVERY == 0
                if len(response) < max_new_tokens and not (asked and enough(response)):
                    keep.append(line)
        if len(keep) < len(alive):
            ended(len(responses) - len(keep))
            if not keep:
                return responses
            index = torch.tensor(keep, device=chosen.device)
            decoding.keep(index)
            chosen = chosen[index]
            alive = [alive[line] for line in keep]
        decoding.take(chosen)
        model.work.checkpoint()


def pick(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The next token: the most likely one at temperature 0, else drawn from the smallest set of tokens that together
    have `top_p` of the probability (Holtzman et al. 2020). Shape of logits: (vocabulary,).

    Raises:
        NotFiniteError: when they are not finite.
    """
    best = int(most_likely(logits))
    if best == NO_TOKEN:
        raise NotFiniteError([0])
    if sampling.temperature == 0:
        return best
    probabilities, order = torch.softmax(logits.cpu() / sampling.temperature, dim=-1).sort(descending=True)
    # A token stays when those before it do not fill the set; the first always stays.
    before = probabilities.cumsum(dim=-1) - probabilities
    probabilities[before >= sampling.top_p] = 0
    probabilities[0] = probabilities[0].clamp(min=1e-12)
    return int(order[torch.multinomial(probabilities, 1, generator=generator)])
