"""A text that a model goes on with token by token while trials are measured: alone, or as a line of their batch."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from heretic_tui.engine.edits.attach import Edits, attached
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import Decoding


class Lines(Protocol):
    """A pool, as one who wants to have a line in its batch sees it."""

    def join(self, line: ExtraLine, cache: Cache) -> bool:
        """Take a line into the batch, where there is one and it bears that. Whatever step the pool takes then gives
        the line its next logits.

        Args:
            cache: keys and values of all its tokens but the last.
        """
        ...

    def leave(self, line: ExtraLine) -> None:
        """Let a line that has joined go."""
        ...

    def holds(self, line: ExtraLine) -> bool:
        """Whether a line of so many tokens fits in the batch."""
        ...

    def step_extra(self) -> None:
        """Take the lines that have joined, and no others, one step further."""
        ...


class ExtraLine:
    """A text under edits, and what the model says comes next; `next_logits`, then `take` the token that is chosen, and
    again. It begins alone. Where trials are decoded it joins their batch, and costs hardly more than one of their
    lines; where that cannot be it goes on alone, between their steps. Which it is changes logits by rounding only.

    Attributes:
        tokens: all of them; in a batch the last is not in the cache yet.
        logits: what the pool's latest step gave, (vocabulary,); None before it.
    """

    def __init__(self, model: ChatModel, pool: Lines, tokens: Tokens, edits: Edits) -> None:
        self.edits = edits
        self.tokens = list(tokens)
        self.logits: Tensor | None = None
        self._model = model
        self._pool = pool
        # None in a batch, and before its first step alone.
        self._alone: Decoding | None = None
        self._joined = False

    @property
    def cached(self) -> int:
        """Tokens whose keys and values are in the batch's cache."""
        return len(self.tokens) - 1

    def next_logits(self) -> Tensor:
        """Raw float32 logits of the token after the last, (vocabulary,)."""
        if self._joined:
            if self.logits is None:
                self._pool.step_extra()
            assert self.logits is not None
            return self.logits
        with attached(self._model.anatomy.writers, self.edits), torch.inference_mode():
            if self._alone is None:
                self._alone = Decoding(self._model, self._model.batch([0], [self.tokens]))
            return self._alone.next_logits()[0]

    def take(self, token: int) -> None:
        """Go on with a token."""
        self.tokens.append(token)
        self.logits = None
        if self._joined:
            if not self._pool.holds(self):
                # It is read again as a whole, once.
                self.leave()
            return
        assert self._alone is not None
        cache = self._alone.cache
        if isinstance(cache, Cache) and self._pool.join(self, cache):
            self._joined, self._alone = True, None
            return
        with torch.inference_mode():
            self._alone.take(torch.tensor([token], device=self._model.device))

    def leave(self) -> None:
        """Be in no batch any more."""
        if self._joined:
            self._pool.leave(self)
            self._joined = False
