"""Decoding token by token through the model's own cache, the way that works with every architecture: one step of it,
a batch to its end step by step, the greedy continuation of many rows, and the choice of tokens by sampling."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar, cast

import torch
from torch import LongTensor, Tensor

from heretic_tui.commands import Sampling
from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.model.chat_model import Batch, ChatModel
from heretic_tui.work import ProgressReport

T = TypeVar("T")

# Tokens between two looks at a response: turning tokens into text takes time too.
LOOK_EVERY = 4
# So many tokens nearly always have the share of the probability that a token is drawn from.
_LIKELY = 1024


class Decoding:
    """A batch whose rows go on token by token: `next_logits`, then `take` the tokens that are chosen, and again.

    Attributes:
        cache: of all tokens but those that were taken last.
    """

    def __init__(self, model: ChatModel, batch: Batch) -> None:
        self._model = model
        self.cache = model.new_cache()
        # Tokens that are not in the cache yet, and the mask of all until then.
        self._ids, self._mask, self._positions = batch.ids, batch.mask, batch.positions

    def next_logits(self) -> Tensor:
        """Take the tokens that are not in the cache yet through the model. Returns raw float32 logits of those that
        come next, (rows, vocabulary)."""
        return self._model.next_token_logits(self._ids, self._mask, self._positions, self.cache)

    def take(self, tokens: Tensor) -> None:
        """Let each row go on with a token, (rows,) int64 on the model's device."""
        self._ids = tokens[:, None]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)
        self._positions = self._positions[:, -1:] + 1

    def keep(self, rows: Tensor) -> None:
        """Let all rows but these leave the batch, after `next_logits` and before `take`; (kept,) int64 on the model's
        device."""
        # Unlike its method for selecting rows, this one knows the states of linear attention too.
        self.cache.reorder_cache(cast(LongTensor, rows))
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
        ended = 0

        def heard(row: int, response: Tokens, end: str | None) -> bool:
            nonlocal ended
            over = end is not None or (len(response) % LOOK_EVERY == 0 and enough(response))
            ended += over
            if over and progress:
                progress(done + ended, len(tokens))
            return over

        # A batch that runs out of memory is decoded again from its prompts.
        for row, response in _to_its_end(decode_batch(model, batch, [max_new_tokens] * len(tokens), heard)).items():
            responses[row] = response
        done += len(batch.rows)

    model.in_batches(tokens, decode)
    return responses


# Called with a row, its response so far, and how it ended ("end": the model ended it; "length") or None where it goes
# on, after each of its tokens; true where it is enough.
Heard = Callable[[int, Tokens, str | None], bool]
# The next token of each line of a batch, from logits (lines, vocabulary) and the row of each line.
Choose = Callable[[Tensor, Sequence[int]], list[int]]
# Makes, for so many lines of these rows, the blocks within which they are computed as they are to be.
Edited = Callable[[Sequence[int]], Callable[[], AbstractContextManager[None]]]
# Decodes a step at a time, and comes to a place where other work can be done between two of them.
Steps = Generator[None, None, T]


def decode_batch(
    model: ChatModel,
    batch: Batch,
    most: Sequence[int],
    heard: Heard,
    choose: Choose | None = None,
    edited: Edited = lambda rows: nullcontext,
) -> Steps[dict[int, Tokens]]:
    """Continue the rows of a batch, each up to an end token (left out), to its `most` tokens, or where that is enough.
    Rows that have ended leave the batch at once. Between two steps nothing is left on the model.

    Args:
        most: tokens at most, by row (at least 1).
        choose: None: the most likely token.

    Returns:
        What each row was continued with.

    Raises:
        NotFiniteError: when logits are not finite.
        Aborted: from the model's control, between tokens.
    """
    responses: dict[int, Tokens] = {row: [] for row in batch.rows}
    alive = list(batch.rows)
    decoding = Decoding(model, batch)
    while True:
        # Edits that differ by row are those of these lines until one of them leaves.
        lines, block = len(alive), edited(alive)
        while len(alive) == lines:
            with torch.inference_mode():
                with block():
                    logits = decoding.next_logits()
                tokens = (choose or _most_likely)(logits, alive)
                staying = [
                    line
                    for line, (row, token) in enumerate(zip(alive, tokens, strict=True))
                    if not _over(model, responses[row], token, most[row], row, heard)
                ]
                if not staying:
                    return responses
                if len(staying) < len(alive):
                    alive = [alive[line] for line in staying]
                    decoding.keep(torch.tensor(staying, device=logits.device))
                decoding.take(torch.tensor([tokens[line] for line in staying], device=logits.device))
            yield
            model.work.checkpoint()


def _to_its_end(steps: Steps[T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
            return found


def _over(model: ChatModel, response: Tokens, token: int, most: int, row: int, heard: Heard) -> bool:
    """Add a token to a response. Returns whether it is over."""
    if token in model.end_tokens:
        heard(row, response, "end")
        return True
    response.append(token)
    end = "length" if len(response) >= most else None
    return heard(row, response, end) or end is not None


def _most_likely(logits: Tensor, rows: Sequence[int]) -> list[int]:
    tokens: list[int] = most_likely(logits).tolist()
    if NO_TOKEN in tokens:
        raise NotFiniteError([row for row, token in zip(rows, tokens, strict=True) if token == NO_TOKEN])
    return tokens


def pick(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The next token of one text, as `pick_rows` picks it. Shape of logits: (vocabulary,)."""
    return pick_rows(logits[None], sampling, [generator])[0]


def pick_rows(logits: Tensor, sampling: Sampling, generators: Sequence[torch.Generator]) -> list[int]:
    """The next token of each row: the most likely one at temperature 0, else drawn from the smallest set of tokens that
    together have `top_p` of the probability (Holtzman et al. 2020). A row is drawn by its own generator, one number a
    token, so that what is drawn does not depend on the rows beside it.

    Args:
        logits: (rows, vocabulary).
        generators: one for each row, on the CPU.

    Raises:
        NotFiniteError: with the rows whose logits are not finite.
    """
    best: list[int] = most_likely(logits).tolist()
    if lost := [row for row, token in enumerate(best) if token == NO_TOKEN]:
        raise NotFiniteError(lost)
    if sampling.temperature == 0:
        return best
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)
    drawn = torch.tensor([[float(torch.rand((), generator=generator))] for generator in generators])
    if sampling.top_p >= 1:
        tokens = _drawn_from(probabilities.cpu(), drawn)
    else:
        # Few tokens nearly always fill the set; only where they do not is the whole vocabulary sorted.
        parts, order = (part.cpu() for part in probabilities.topk(min(_LIKELY, logits.shape[-1])))
        flat = parts.sum(dim=-1) < sampling.top_p
        tokens = _drawn_from_set(parts, order, sampling.top_p, drawn)
        if flat.any():
            parts, order = probabilities.cpu()[flat].sort(descending=True)
            tokens[flat] = _drawn_from_set(parts, order, sampling.top_p, drawn[flat])
    found: list[int] = tokens.tolist()
    return found


def _drawn_from_set(parts: Tensor, order: Tensor, top_p: float, drawn: Tensor) -> Tensor:
    """Draw from the smallest set.

    Args:
        parts: probabilities in descending order, (rows, tokens).
        order: the tokens that they belong to.
    """
    # A token stays when those before it do not fill the set; the first always stays.
    before = parts.double().cumsum(dim=-1) - parts
    kept = torch.where(before < top_p, parts, 0)
    kept[:, 0] = parts[:, 0].clamp(min=1e-12)
    return order.gather(-1, _drawn_from(kept, drawn)[:, None])[:, 0]


def _drawn_from(weights: Tensor, drawn: Tensor) -> Tensor:
    """The place in each row of weights, (rows, tokens), that a number from 0 to 1, (rows, 1), falls on."""
    reached = weights.double().cumsum(dim=-1)
    return torch.searchsorted(reached, drawn.double() * reached[:, -1:], right=True)[:, 0]
