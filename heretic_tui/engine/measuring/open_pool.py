"""The fast pool where a check shows that it computes what the model does, and the plain one elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from heretic_tui.control import Aborted
from heretic_tui.engine.edits.attach import RowsLost, attached, stacked
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.fast_pool import CHECKED_TOKENS, FastPool
from heretic_tui.engine.measuring.job import Evaluation, Job, Pool
from heretic_tui.engine.measuring.plain_pool import PlainPool
from heretic_tui.engine.measuring.ragged_cache import narrowest_window, plain_layers
from heretic_tui.engine.measuring.speculation import StepCost
from heretic_tui.engine.memory import halving, is_out_of_memory
from heretic_tui.engine.metrics.kl_divergence import kl_divergence
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import Decoding
from heretic_tui.errors import one_line
from heretic_tui.work import Work

log = logging.getLogger(__name__)

# The KL divergence that rounding alone may cause, in float32 and in 16 bits.
_ROUNDING, _ROUNDING_16 = 1e-5, 5e-2


def open_pool(model: ChatModel, evaluation: Evaluation, cost: StepCost, work: Work) -> tuple[Pool, bool]:
    """The fast pool where a check shows that it computes what the model does, else the plain one; a notice says why.

    Args:
        cost: what a decoding step takes, for guesses at what comes next.

    Returns the pool, and whether several trials can share a batch in it. (Several can be in hand in any case.)
    """
    # Passes of the check may have made the batch size smaller than the one that it began with.
    return halving(
        model.batch_size,
        lambda size: _checked_pool(model, evaluation, cost, work),
        lambda size: model.shrink(model.batch_size),
    )


def _checked_pool(model: ChatModel, evaluation: Evaluation, cost: StepCost, work: Work) -> tuple[Pool, bool]:
    pool = FastPool(model, evaluation, cost, work)
    try:
        _check(model, evaluation, pool)
    except (Aborted, NotFiniteError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # Whatever an architecture's own code raises over a cache or a mask that it does not know.
        log.info("no fast path", exc_info=True)
        work.note(f"trials are measured the plain way, without shortcuts: {one_line(error)}")
        return PlainPool(model, evaluation, work), False
    try:
        _check_rows(model, evaluation)
    except RowsLost as error:
        work.note(f"trials are measured one at a time: {one_line(error)}")
        pool.together = False
    except RuntimeError as error:
        # One line has no other beside it.
        if not is_out_of_memory(error) or model.batch_size > 1:
            raise
    return pool, pool.together


class _Differs(Exception):
    """The fast path does not compute what the model does."""


def _check(model: ChatModel, evaluation: Evaluation, pool: FastPool) -> None:
    """Compare the fast path with the model's own on a few prompts and tokens.

    Raises:
        _Differs: where the next-token distributions differ by more than rounding.
        NotFiniteError: where the model's own logits are not finite.
        Exception: whatever an architecture makes of a cache or a mask that it does not know.
    """
    own = model.new_cache()
    if not isinstance(own, Cache):
        raise _Differs("it does not go on from a cache")
    if kind := plain_layers(own):
        raise _Differs(f"a layer of the cache is a {kind}")
    longest = max(map(len, evaluation.bad)) + evaluation.length
    window = narrowest_window(own)
    if window is not None and window < longest:
        raise _Differs(f"prompts and responses of {longest} tokens are longer than the attention window of {window}")
    rows = sorted(range(len(evaluation.bad)), key=lambda row: len(evaluation.bad[row]))
    rows = sorted({rows[0], rows[len(rows) // 2], rows[-1]})[: model.batch_size]
    with torch.inference_mode():
        try:
            expected, tokens = _plainly(model, [evaluation.bad[row] for row in rows])
        except NotFiniteError as error:
            raise error.among(rows) from None
        # The first time the states of the base model are kept, after that the pass starts from them, at the end and in
        # the middle.
        for first_edited in (model.depth, model.depth, model.depth // 2):
            job = Job(None, {}, first_edited, compared=False)
            pool.start(job)
            if job.error:
                raise job.error
            found = pool.distributions(job, rows, tokens)
            pool.cancel()
            limit = _ROUNDING if model.dtype == torch.float32 else _ROUNDING_16
            for step, (one, other) in enumerate(zip(expected, found, strict=True)):
                apart = float(kl_divergence(one, other).max())
                if not apart <= limit:
                    raise _Differs(f"the distributions of token {step} differ by {apart:.2g}")


def _plainly(model: ChatModel, prompts: Sequence[Tokens]) -> tuple[list[Tensor], list[list[int]]]:
    """Log-probabilities (rows, vocabulary) of the first few response tokens, and the tokens, by the model's own way."""
    decoding = Decoding(model, model.batch(list(range(len(prompts))), prompts))
    found: list[Tensor] = []
    tokens: list[list[int]] = []
    for _ in range(CHECKED_TOKENS):
        found.append(torch.log_softmax(decoding.next_logits(), dim=-1))
        chosen = most_likely(found[-1])
        tokens.append(chosen.tolist())
        if NO_TOKEN in tokens[-1]:
            raise NotFiniteError([row for row, token in enumerate(tokens[-1]) if token == NO_TOKEN])
        decoding.take(chosen)
    # Rows of a batch come in the order of the prompts here: nothing has sorted them.
    return found, tokens


def _check_rows(model: ChatModel, evaluation: Evaluation) -> None:
    """Take one token of two prompts through edits that differ by row.

    Raises:
        RowsLost: where a matrix does not see the rows of the batch.
    """
    writers = model.anatomy.writers
    if any(writer.stack for writer in writers):
        raise RowsLost("rows of experts are not those of the batch")
    nothing = {}
    for writer in writers:
        weight = writer.weight()
        nothing[writer.name] = Edit(weight.new_zeros(weight.shape[1], 1), weight.new_zeros(weight.shape[0], 1), None)
    batch = model.batch([0, 1], [evaluation.bad[0], evaluation.bad[0]])
    with torch.inference_mode(), attached(writers, stacked(writers, [nothing, nothing]), torch.tensor([0, 1])):
        model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
