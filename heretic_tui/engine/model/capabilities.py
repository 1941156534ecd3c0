"""What batched decoding needs and not every model can do: give the same with padding, go on from a cache, and have
several passes under way where layers lie on several devices."""

from __future__ import annotations

import logging
import math

import torch
from torch import Tensor

from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.memory import is_out_of_memory
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import Decoding
from heretic_tui.engine.model.in_turn import found_in_turn
from heretic_tui.errors import one_line
from heretic_tui.work import Work

log = logging.getLogger(__name__)

# Relative differences of logits that are rounding. In 16 bits a router may send a token elsewhere over them.
_ROUNDING, _ROUNDING_16 = 1e-3, 0.2


def find_capabilities(model: ChatModel, work: Work) -> None:
    """Try padding, the cache and passes in turn, set `padding_safe`, `cache_works` and `in_turn`, and tell the user
    what does not work.

    Raises:
        NotFiniteError: where the logits are not finite for one row by itself: then padding and cache are not the cause.
        RuntimeError: from the forward pass.
    """
    model.padding_safe = model.cache_works = True
    try:
        _find(model, work)
        _find_in_turn(model, work)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        work.note("no memory to try padding and the cache out on two prompts at once", "warning")


def _find(model: ChatModel, work: Work) -> None:
    tokens = model.encode([Prompt("Which of these words is the longest one?", "")])[0]
    rounding = _ROUNDING if model.dtype == torch.float32 else _ROUNDING_16
    with torch.inference_mode():
        leak = _padding_leak(model, tokens)
        if leak > rounding:
            model.padding_safe = False
            work.note(
                f"padding changes what this model answers (logits are {_percent(leak)} off): batches are made "
                "of prompts of equal length"
            )
        if problem := _cache_problem(model, tokens, rounding):
            model.cache_works = False
            work.note(
                f"this model does not go on from a cache in batches ({problem}): every token is computed "
                "from the whole text, which takes several times as long",
                "warning",
            )


def _find_in_turn(model: ChatModel, work: Work) -> None:
    tokens = model.encode([Prompt("Which of these words is the longest one?", "")])[0]
    batch = model.batch([0], [tokens])
    with torch.inference_mode():
        found = found_in_turn(
            model.network,
            model.anatomy.layers,
            lambda: model.next_token_logits(batch.ids, batch.mask, batch.positions, None),
        )
    model.in_turn = found
    if found.stages > 1:
        together = f"up to {found.window} batches are computed at once" if found.window > 1 else "one batch at a time"
        work.note(f"layers lie on {found.stages} devices: {together}")


def _padding_leak(model: ChatModel, tokens: Tokens) -> float:
    """How far logits of a row move, relatively, when padding is put before it."""
    rows = [tokens, tokens[-max(2, len(tokens) // 2) :]]
    together, alone = model.batch([0, 1], rows), model.batch([1], rows)
    padded = model.next_token_logits(together.ids, together.mask, together.positions, None)[1]
    return _apart(padded, model.next_token_logits(alone.ids, alone.mask, alone.positions, None)[0])


def _cache_problem(model: ChatModel, tokens: Tokens, rounding: float) -> str | None:
    """What is wrong when two rows are decoded with a cache, and one leaves the batch on the way; None for nothing."""
    half = tokens[: max(2, len(tokens) // 2)]
    rows, given = [half, half[::-1]], half[-1]
    try:
        decoding = Decoding(model, model.batch([0, 1], rows))
        decoding.next_logits()
        for step in (1, 2):
            if step == 2:
                rows = rows[1:]
                decoding.keep(torch.tensor([1], device=model.device))
            rows = [[*row, given] for row in rows]
            decoding.take(torch.tensor([given] * len(rows), device=model.device))
            whole = model.batch(list(range(len(rows))), rows)
            expected = model.next_token_logits(whole.ids, whole.mask, whole.positions, None)
            if (off := _apart(decoding.next_logits(), expected)) > rounding:
                return f"logits are {_percent(off)} off"
    except NotFiniteError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # Whatever an architecture's own code raises over a cache that it does not know.
        log.debug("the model does not go on from a cache", exc_info=True)
        return one_line(error)
    return None


def _apart(one: Tensor, other: Tensor) -> float:
    """The relative difference of logits from others of the same shape, which must be numbers; ∞ where the first are
    none. What both rule out (by -∞) is the same."""
    if bool((most_likely(other) == NO_TOKEN).any()):
        raise NotFiniteError([0])
    ruled_out = other.isneginf()
    difference = torch.where(ruled_out & one.isneginf(), 0.0, one - other)
    apart = float(difference.norm() / other.masked_fill(ruled_out, 0.0).norm())
    return apart if math.isfinite(apart) else math.inf


def _percent(share: float) -> str:
    return f"{share:.0%}" if math.isfinite(share) else "infinitely far"
