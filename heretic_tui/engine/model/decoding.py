"""Batched greedy decoding with the model's own cache: the way that works with every architecture. Rows that have ended
leave the batch at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.model.chat_model import Batch, ChatModel

# Tokens between two looks at a response: turning tokens into text takes time too.
LOOK_EVERY = 4


def greedy(
    model: ChatModel,
    tokens: Sequence[Tokens],
    max_new_tokens: int,
    progress: Callable[[int, int], None] | None = None,
    enough: Callable[[Tokens], bool] = lambda response: False,
) -> list[Tokens]:
    """The most likely continuation of each row, up to an end token (left out), `max_new_tokens`, or where it is enough.

    Tokens are chosen from raw logits: penalties and suppressed tokens of a model's generation settings are sampling
    habits, not the model.

    Args:
        enough: asked for a response so far now and then; true ends it.

    Raises:
        NotFiniteError: when logits are no numbers.
    """
    responses: list[Tokens] = [[] for _ in tokens]
    done = 0

    def decode(batch: Batch) -> None:
        nonlocal done

        def ended(rows: int) -> None:
            if progress:
                progress(done + rows, len(tokens))

        # A batch that runs out of memory half way is decoded again from its prompts.
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
    cache = model.new_cache()
    ids, mask, positions = batch.ids, batch.mask, batch.positions
    while True:
        logits = model.next_token_logits(ids, mask, positions, cache)
        chosen: list[int] = most_likely(logits).tolist()
        if NO_TOKEN in chosen:
            raise NotFiniteError(
                [batch.rows[row] for row, token in zip(alive, chosen, strict=True) if token == NO_TOKEN]
            )
        keep: list[int] = []
        for line, (row, token) in enumerate(zip(alive, chosen, strict=True)):
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
            index = torch.tensor(keep, device=mask.device)
            # Unlike its method for selecting rows, this one knows the states of linear attention too.
            cache.reorder_cache(index)
            mask, positions = mask[index], positions[index]
            alive = [alive[line] for line in keep]
        ids = torch.tensor([[chosen[line]] for line in keep], device=mask.device)
        mask = extend_mask(mask)
        positions = positions[:, -1:] + 1
        model.work.checkpoint()


def extend_mask(mask: Tensor) -> Tensor:
    """The attention mask (rows, length) with room for the token that comes."""
    return torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
