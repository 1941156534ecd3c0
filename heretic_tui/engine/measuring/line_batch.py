"""Lines that are decoded together: each a row of one batch, and a line of a cache that is allocated once.

First come lines that are no trial's (extra_lines.py), then those of trials. While a step of them is under way the batch
stays as it is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from heretic_tui.engine.edits.attach import Attached, Edits, under
from heretic_tui.engine.finite import NO_TOKEN
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.extra_lines import ExtraLine
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.ragged_cache import RaggedCache, keys_and_values
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.in_turn import UnderWay


@dataclass(eq=False)
class Line:
    """One prompt of one job that is being decoded.

    Attributes:
        cached: tokens whose keys and values are in the cache.
        response: tokens so far; the last is not in the cache yet.
    """

    job: Job
    row: int
    cached: int
    response: Tokens = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Step:
    """A step of a batch that was begun.

    Attributes:
        extra, lines: that it takes further.
        guesses: of each of the lines, the tokens that were taken along.
        logits: raw, (lines, tokens, vocabulary), of the extra lines first.
        chosen: the most likely tokens, (lines, tokens), `NO_TOKEN` where there is none.
    """

    extra: Sequence[ExtraLine]
    lines: Sequence[Line]
    guesses: Sequence[Tokens]
    logits: Tensor
    chosen: Tensor
    under_way: UnderWay


class LineBatch:
    """
    Args:
        capacity: tokens of a line at most.

    Attributes:
        extra: lines that are no trial's.
        lines: those of trials.
        step: the one that is under way.
    """

    def __init__(self, model: ChatModel, capacity: int) -> None:
        self.extra: list[ExtraLine] = []
        self.lines: list[Line] = []
        self.step: Step | None = None
        self._model = model
        self._capacity = capacity
        self._cache: RaggedCache | None = None
        # What lines are computed under, and what makes blocks of that.
        self._edits: list[Edits] = []
        self._block: Callable[[], Attached] | None = None

    @property
    def slots(self) -> RaggedCache:
        """The cache; made when it is first needed, with as many lines as the model's batch size then."""
        if self._cache is None:
            self._cache = RaggedCache(self._model.batch_size, self._capacity, self._model.depth)
        return self._cache

    def let_go(self) -> None:
        """Free the cache. Nothing may be under way."""
        self._cache = self._block = None
        self._edits = []

    def edited(self) -> Attached:
        """A block within which all lines are computed under their edits."""
        edits = [line.edits for line in self.extra] + [line.job.edits for line in self.lines]
        same = len(edits) == len(self._edits) and all(map(operator.is_, edits, self._edits))
        if self._block is None or not same:
            self._block, self._edits = under(self._model.anatomy.writers, edits), edits
        return self._block()

    def tokens_of(self, chosen: Tensor) -> list[Tokens]:
        """The most likely tokens as numbers, (lines, tokens). Where one is `NO_TOKEN` the cache is known to hold what
        is not finite."""
        tokens: list[Tokens] = chosen.tolist()
        if any(NO_TOKEN in row for row in tokens):
            self.slots.was_not_finite = True
        return tokens

    def keep(self, alive: Sequence[Line]) -> None:
        """Let all lines of trials but these leave: the last ones move into the gaps."""
        if len(alive) == len(self.lines):
            return
        staying = set(alive)
        gaps = [place for place, line in enumerate(self.lines[: len(alive)]) if line not in staying]
        sources = [place for place in range(len(alive), len(self.lines)) if self.lines[place] in staying]
        self._move(sources, gaps, max((self.lines[place].cached for place in sources), default=0))
        for source, gap in zip(sources, gaps, strict=True):
            self.lines[gap] = self.lines[source]
        del self.lines[len(alive) :]

    def join(self, line: ExtraLine, cache: Cache) -> None:
        """Take in a line that is no trial's."""
        number, lines = len(self.extra), len(self.lines)
        with torch.inference_mode():
            # Trials keep all of theirs.
            self.slots.hold(self._model.batch_size + number + 1)
            # The first line of a trial makes room at its end.
            if self.lines:
                self._move([0], [lines], self.lines[0].cached)
                self.lines.append(self.lines.pop(0))
            for layer in range(self._model.depth):
                self.slots.put(layer, number, 0, *keys_and_values(cache, layer))
        self.extra.append(line)

    def leave(self, line: ExtraLine) -> None:
        """Let a line that is no trial's go."""
        place, last = self.extra.index(line), self.extra[-1]
        if line is not last:
            # Its last token too, which is in the cache where its logits are there and were not looked at yet.
            self.slots.move([len(self.extra) - 1], [place], last.cached + 1)
            self.extra[place] = last
        if self.lines:
            # Before there is one less: the place is that of the last extra line.
            self._move([len(self.lines) - 1], [-1], self.lines[-1].cached)
            self.lines.insert(0, self.lines.pop())
        self.extra.pop()

    def _move(self, sources: Sequence[int], targets: Sequence[int], width: int) -> None:
        """Copy lines of trials over others, by their places among them."""
        before = len(self.extra)
        self.slots.move([before + place for place in sources], [before + place for place in targets], width)
