"""The perplexity of texts that the user brings, under an edit: what the model has forgotten of ordinary language.

A long text is read in windows that overlap: each of its tokens is counted once, with much of what stands before it.
No window reaches over the end of a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from heretic_tui.engine.anatomy.writers import embedding_matrix
from heretic_tui.engine.edits.attach import Edits, attached
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.positions import longest_text
from heretic_tui.engine.inputs.tokens import Tokens, beyond
from heretic_tui.engine.memory import halving
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.review.likelihood import Likelihood, beginning_of, nats_of, rows_that_fit
from heretic_tui.errors import UsageError
from heretic_tui.work import Work

# Tokens of a window, and how far the next one lies behind it.
SIZE, STRIDE = 512, 256
# Matrix products run at full rate with so many tokens; a larger batch only takes memory.
_BATCH_TOKENS = 2048


@dataclass(frozen=True)
class Window:
    """A part of a text that is read at once.

    Attributes:
        text: which text it is of.
        counted: how many of its last tokens are counted; the others were before, or have nothing before them.
    """

    text: int
    tokens: Tokens
    counted: int


def encode_texts(model: ChatModel, texts: Sequence[str]) -> list[Tokens]:
    """Tokens of plain texts, behind the token that a text begins with where the model's tokenizer has one.

    Raises:
        UsageError: where no text has two tokens, or the embedding has no row for one of them.
    """
    tokenizer = model.tokenizer
    begin = beginning_of(model)
    encoded: list[Tokens] = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    for number, tokens in enumerate(encoded, start=1):
        if problem := beyond(tokens, len(embedding_matrix(model.network)), tokenizer):
            raise UsageError(f"text {number}: {problem}")
    found = [begin + tokens for tokens in encoded]
    if not any(len(tokens) > 1 for tokens in found):
        raise UsageError("there is no text of two tokens or more: name a file or a data set with texts in it")
    return found


def windows_of(texts: Sequence[Tokens], size: int, stride: int) -> list[Window]:
    """The windows in which texts are read.

    Args:
        size: tokens of a window.
        stride: how far the next one lies behind it, less than the size: a token has at least the difference of both
            before it, or the whole text up to there.

    Raises:
        ValueError: for a stride that is not from 1 to less than the size.
    """
    if not 0 < stride < size:
        raise ValueError(f"a stride of {stride} does not fit windows of {size} tokens")
    windows = []
    for number, tokens in enumerate(texts):
        # The first token has nothing before it.
        begin, done = 0, 1
        while done < len(tokens):
            end = min(begin + size, len(tokens))
            windows.append(Window(number, tokens[begin:end], end - done))
            begin, done = begin + stride, end
    return windows


def likelihood_of_texts(
    model: ChatModel, edits: Edits, texts: Sequence[Tokens], work: Work, size: int = SIZE, stride: int = STRIDE
) -> Likelihood:
    """How likely a model finds texts under edits.

    Args:
        edits: none for the original model.
        size, stride: see `windows_of`; both become smaller where the model was made for shorter texts.

    Raises:
        ValueError: see `windows_of`.
        NotFiniteError: with the text for which logits are not finite.
        torch.OutOfMemoryError: when a single window is too much.
        Aborted: from the control, between batches.
    """
    if (longest := longest_text(model.network.config)) is not None and longest < size:
        size, stride = longest, max(1, min(stride, longest // 2))
    windows = windows_of(texts, size, stride)
    nats, tokens = np.zeros(len(texts)), np.zeros(len(texts), dtype=np.int64)
    report, done = work.progress("perplexity of texts"), 0
    # The longest first, so that memory runs out early or not at all.
    left = sorted(windows, key=lambda window: -len(window.tokens))
    while left:
        work.checkpoint()
        batch = _next_batch(model, left)
        found = halving(len(batch), partial(_read, model, edits, batch), lambda rows: rows // 2, work.spare)
        for window, value in zip(batch, found, strict=False):
            nats[window.text] += value
            tokens[window.text] += window.counted
        left = left[len(found) :]
        done += len(found)
        report(done, len(windows))
    return Likelihood(nats, tokens)


def _next_batch(model: ChatModel, left: Sequence[Window]) -> Sequence[Window]:
    """As many of the windows that are left as are best read together."""
    longest = len(left[0].tokens)
    count = min(max(1, _BATCH_TOKENS // longest), rows_that_fit(model, longest))
    batch = left[:count]
    return batch if model.padding_safe else [window for window in batch if len(window.tokens) == longest]


def _read(model: ChatModel, edits: Edits, windows: Sequence[Window], count: int) -> list[float]:
    """The negative log-probability of what is counted in each of the first so many windows."""
    some = windows[:count]
    # No token follows the last one.
    batch = model.batch(list(range(count)), [window.tokens[:-1] for window in some])
    wanted = max(window.counted for window in some)
    with attached(model.anatomy.writers, edits), torch.inference_mode():
        logits = model.logits(batch.ids, batch.mask, batch.positions, None, last=wanted)
    found = []
    for window, each in zip(some, logits, strict=True):
        try:
            found.append(nats_of(each[-window.counted :], window.tokens[-window.counted :]))
        except NotFiniteError:
            raise NotFiniteError([window.text]) from None
    return found
