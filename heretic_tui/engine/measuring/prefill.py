"""The forward pass over the evaluation prompts, without computing what is known.

What all prompts begin with (the chat template, a system prompt) is computed once a trial. Below the first layer that a
trial edits, the edited model is the base model: what the base model computes for the prompts there is kept, as far as
memory allows, and a trial's pass starts at its first edited layer. Nothing is computed
only to be kept: the first trial that passes through a layer without an edit leaves its states.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from heretic_tui.engine.directions.residuals import catching
from heretic_tui.engine.hooks import OutputForm, begin_at, catch_outputs, change_input, stream_out
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.kept_states import KeptStates, KeysValues
from heretic_tui.engine.measuring.ragged_cache import RaggedCache, behind, keys_and_values
from heretic_tui.engine.memory import halving, is_out_of_memory, memory_share, release_blocks
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.in_turn import UnderWay, sent

# Matrix products run at full rate from about so many tokens on; a larger batch only brings more padding.
_CHUNK_TOKENS = 512
# States below this share of the layers would save almost nothing.
_LOWEST_KEPT = 0.2
# Share of the free memory that kept states may take.
_MEMORY_SHARE = 0.15


def shared_prefix(rows: Sequence[Tokens]) -> Tokens:
    """What all rows begin with; at least one token of each row is left over."""
    if not rows:
        return []
    first, last = min(rows), max(rows)
    limit = min(map(len, rows)) - 1
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), limit)
    return first[: max(0, min(length, limit))]


@dataclass(frozen=True)
class PrefixStates:
    """The shared prefix under one edit.

    Attributes:
        first_edited: lowest edited layer; the number of layers where nothing is edited.
        cache: keys and values (1, heads, tokens, size per head) of each layer; None where there is no prefix.
    """

    first_edited: int
    cache: Sequence[KeysValues | None]


@dataclass(frozen=True)
class PrefillResult:
    """Rows that went through a model.

    Attributes:
        several: of the tokens after the last ones, float32 (rows, positions, vocabulary); what lies before the
            prefix's end is not to be looked at.
        cache: keys and values of all their tokens; in layers below `start`, of the prefix alone.
        tokens: positions that were computed, padding included; those that began at the middle layer count half.
        residuals: at the last token of each row, float32 on the CPU (rows, layers + 1, hidden); None where they were
            not wanted. They may not be finite.
    """

    rows: Sequence[int]
    several: Tensor
    cache: Cache
    start: int
    tokens: int
    residuals: Tensor | None

    @property
    def logits(self) -> Tensor:
        """Of the token after the last, (rows, vocabulary)."""
        return self.several[:, -1]


@dataclass(frozen=True)
class PrefillPass:
    """A pass over rows that was begun.

    Attributes:
        finish: what is made of it, once it has been computed.
    """

    rows: Sequence[int]
    under_way: UnderWay
    finish: Callable[[], PrefillResult]

    def result(self) -> PrefillResult:
        """Wait for it, and keep what is to be kept of it."""
        self.under_way.wait()
        with torch.inference_mode():
            return self.finish()


# Begins a pass over the first so many rows of a chunk.
BeginPass = Callable[[Sequence[int], int], PrefillPass]


class Prefill:
    """Forward passes over sets of rows that share a prefix.

    Args:
        sets: rows of tokens by name.
        cached: names of sets whose rows are decoded on, so that their keys and values are needed.
        keeping: whether what the base model computes is kept for passes to come.
    """

    def __init__(
        self,
        model: ChatModel,
        sets: Mapping[str, Sequence[Tokens]],
        cached: frozenset[str],
        keeping: bool = True,
    ) -> None:
        self._model = model
        self._layers = model.anatomy.layers
        self._depth = model.depth
        self.prefix = shared_prefix([row for rows in sets.values() for row in rows])
        rest = {name: [row[len(self.prefix) :] for row in rows] for name, rows in sets.items()}
        device = self._home(rest)
        boundaries = self._affordable(rest, cached, device) if keeping else []
        self._prefix = KeptStates([self.prefix] if self.prefix else [], boundaries, True, device)
        self._kept = {name: KeptStates(rows, boundaries, name in cached, device) for name, rows in rest.items()}
        # Known after a first pass through a layer; no pass begins above a layer that had none.
        self._form = OutputForm(None)

    def take_in(self, name: str, rows: Sequence[Tokens]) -> None:
        """Add a set that is not decoded, or put another in its place. All its rows begin with the shared prefix.

        Raises:
            ValueError: for one that does not.
        """
        if any(row[: len(self.prefix)] != self.prefix or len(row) == len(self.prefix) for row in rows):
            raise ValueError(f"rows of {name!r} do not begin as all others do")
        # What is kept of the set before gives its memory back first.
        self._kept.pop(name, None)
        rest = [row[len(self.prefix) :] for row in rows]
        device = self._home({name: rest})
        self._kept[name] = KeptStates(rest, self._affordable({name: rest}, frozenset(), device), False, device)

    def prefix_states(self, first_edited: int) -> PrefixStates:
        """Take the shared prefix through the model as it is now.

        Args:
            first_edited: lowest layer that differs from the base model's.
        """
        if not self.prefix:
            return PrefixStates(first_edited, [None] * self._depth)
        filled = self._begin(self._prefix, [0], PrefixStates(first_edited, [None] * self._depth), 0).result()
        index = self._prefix.index([0])
        cache: list[KeysValues | None] = []
        for number in range(len(filled.cache.layers)):
            reused = number < filled.start
            cache.append(self._prefix.cache(number, index) if reused else keys_and_values(filled.cache, number))
        return PrefixStates(first_edited, [self._on_layer(number, pair) for number, pair in enumerate(cache)])

    def chunks(self, name: str, rows: Sequence[int]) -> list[list[int]]:
        """Rows in batches of about equal length, shortest first, so that almost nothing is padded."""
        lengths = self._kept[name].lengths
        chunks: list[list[int]] = []
        for row in sorted(rows, key=lambda row: (lengths[row], row)):
            chunk = chunks[-1] if chunks else []
            full = len(chunk) >= self._model.batch_size or len(chunk) * (lengths[row] + 1) > 2 * _CHUNK_TOKENS
            longer = bool(chunk) and lengths[row] > lengths[chunk[-1]]
            if not chunk or full or (longer and len(chunk) * lengths[chunk[-1]] >= _CHUNK_TOKENS):
                chunks.append([row])
            else:
                chunk.append(row)
        return chunks

    def begin(
        self,
        name: str,
        rows: Sequence[int],
        prefix: PrefixStates,
        positions: int = 1,
        residuals: bool = False,
        edited: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> PrefillPass:
        """Begin to take rows of a set through the model, behind the prefix under the same edit.

        Args:
            positions: how many of the last positions' logits are wanted.
            residuals: whether they are wanted: the pass begins at the first layer then.
            edited: makes a block within which the model is edited; without it, it is as it is now.
        """
        return self._begin(self._kept[name], rows, prefix, len(self.prefix), positions, residuals, edited)

    def run(
        self, name: str, rows: Sequence[int], prefix: PrefixStates, positions: int = 1, residuals: bool = False
    ) -> PrefillResult:
        """What comes of `begin`."""
        return self.begin(name, rows, prefix, positions, residuals).result()

    def passes(
        self,
        name: str,
        rows: Sequence[int],
        begin: BeginPass,
        shrink: Callable[[int], int],
        spare: Callable[[], bool] = lambda: False,
    ) -> Iterator[PrefillResult]:
        """Take rows of a set through the model chunk by chunk: in smaller chunks where memory runs out, and several
        under way at once where that saves time (in_turn.py).

        Args:
            shrink: makes the batch size smaller than so many rows.
            spare: see `halving`.
        """
        in_turn, chunks = self._model.in_turn, self.chunks(name, rows)
        under_way: deque[PrefillPass] = deque()

        def computed(chunk: Sequence[int], size: int) -> PrefillResult:
            return begin(chunk, size).result()

        try:
            while chunks or under_way:
                if in_turn.window > 1 or under_way:
                    filled = self._first_of(under_way, chunks, begin)
                    if filled is None:
                        chunks = self._again(name, [*(each.rows for each in under_way), *chunks])
                        _wait_for(under_way)
                        if not spare():
                            self._model.fewer_at_once()
                        release_blocks()
                        continue
                else:
                    chunk = chunks.pop(0)
                    filled = halving(len(chunk), partial(computed, chunk), shrink, spare)
                    if left := chunk[len(filled.rows) :]:
                        chunks = self._again(name, [left, *chunks])
                yield filled
        finally:
            _wait_for(under_way)

    def _first_of(
        self, under_way: deque[PrefillPass], chunks: list[list[int]], begin: BeginPass
    ) -> PrefillResult | None:
        """Begin as many passes as are to be under way, and wait for the first; None where memory ran out."""
        try:
            while chunks and len(under_way) < self._model.in_turn.window:
                under_way.append(begin(chunks[0], len(chunks[0])))
                del chunks[0]
            filled = under_way[0].result()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None
        under_way.popleft()
        return filled

    def _again(self, name: str, chunks: Sequence[Sequence[int]]) -> list[list[int]]:
        return self.chunks(name, [row for some in chunks for row in some])

    def put(self, name: str, filled: PrefillResult, prefix: PrefixStates, slots: RaggedCache, line: int) -> list[int]:
        """Write what decoding needs of the rows into lines from `line` on. Returns their lengths, prefix included."""
        kept, behind_prefix = self._kept[name], len(self.prefix)
        index = kept.index(filled.rows)
        for number in range(len(filled.cache.layers)):
            if number >= filled.start:
                slots.put(number, line, 0, *keys_and_values(filled.cache, number))
                continue
            if pair := prefix.cache[number]:
                keys, values = (t.expand(len(filled.rows), -1, -1, -1) for t in pair)
                slots.put(number, line, 0, keys, values)
            stored = self._on_layer(number, kept.cache(number, index))
            assert stored is not None
            slots.put(number, line, behind_prefix, *stored)
        return [behind_prefix + kept.lengths[row] for row in filled.rows]

    # One pass

    def _begin(
        self,
        kept: KeptStates,
        rows: Sequence[int],
        prefix: PrefixStates,
        before: int,
        wanted: int = 1,
        residuals: bool = False,
        edited: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> PrefillPass:
        """Nothing here waits for what is computed, once the first layer has been reached; what does is in `finish`."""
        model, reached = self._model, kept.reached(prefix.first_edited)
        start = 0 if residuals else kept.start(rows, reached)
        index = kept.index(rows)
        ends = torch.tensor([kept.lengths[row] for row in rows])[:, None]
        # A row may have fewer positions than are wanted.
        last = (ends + torch.arange(-wanted, 0)).clamp(min=0)
        caught: dict[int, Tensor] = {}

        def keep(above_start: int, output: object) -> None:
            self._form = OutputForm.of(output)
            if kept.keeps(boundary := start + above_start + 1):
                caught[boundary] = stream_out(output)

        def at_the_end(hidden: Tensor) -> Tensor:
            return hidden[torch.arange(len(rows), device=hidden.device)[:, None], sent(last, hidden.device)]

        with model.in_turn.begun() as under_way, edited(), torch.inference_mode(), ExitStack() as stack:
            ids = kept.ids(index).to(model.device)
            positions = (before + torch.arange(ids.shape[1], device=ids.device)).expand(len(rows), -1)
            cache = behind(prefix.cache, len(rows))
            if start:
                hidden = kept.hidden(start, index).to(self._device_of(start - 1))
                stack.enter_context(begin_at(self._layers, start, self._form.holding(hidden)))
            stack.enter_context(catch_outputs(list(self._layers)[start:reached], keep))
            # The unembedding sees the wanted positions of each row, so that logits are (rows, wanted, vocabulary).
            stack.enter_context(change_input(model.unembedding, at_the_end))
            streams = stack.enter_context(catching(model, last[:, -1].tolist())) if residuals else None
            logits = model.logits(ids, None, positions, cache)

        def finish() -> PrefillResult:
            for boundary, states in caught.items():
                kept.keep_hidden(boundary, index, states)
            for number in range(start, reached):
                keys, values = keys_and_values(cache, number)
                kept.keep_cache(number, index, keys[:, :, before:], values[:, :, before:])
            kept.mark(rows, reached)
            computed = ids.numel() * (self._depth - start) // self._depth
            return PrefillResult(rows, logits, cache, start, computed, streams.residuals if streams else None)

        return PrefillPass(rows, under_way, finish)

    # Memory and devices

    def _home(self, sets: Mapping[str, Sequence[Tokens]]) -> torch.device:
        """Where states are kept: beside the model where they take a small part of the free memory, else on the
        host."""
        device = self._model.device
        size = self._bytes_per_boundary(sets) * self._depth * 2
        return device if size <= memory_share(device, _MEMORY_SHARE) else torch.device("cpu")

    def _affordable(
        self, sets: Mapping[str, Sequence[Tokens]], cached: frozenset[str], device: torch.device
    ) -> list[int]:
        """The layer boundaries at which states are kept: all that can save much, or as many as memory allows, evenly
        spread."""
        each = max(1, self._bytes_per_boundary(sets))
        # Keys and values of a layer are at most twice as large as its hidden states (mostly far smaller), and those of
        # all layers below a boundary are needed to decode on from it.
        decoded = self._bytes_per_boundary({name: rows for name, rows in sets.items() if name in cached})
        count = max(0, memory_share(device, _MEMORY_SHARE) - 2 * decoded * self._depth) // each
        lowest = max(1, int(_LOWEST_KEPT * self._depth))
        wanted = list(range(lowest, self._depth + 1))
        if count >= len(wanted):
            return wanted
        # The last boundary costs nothing to start from: it is the base model itself.
        step = len(wanted) / count if count else 0
        return sorted({wanted[-1 - int(i * step)] for i in range(count)})

    def _bytes_per_boundary(self, sets: Mapping[str, Sequence[Tokens]]) -> int:
        tokens = sum(len(row) for rows in sets.values() for row in rows)
        itemsize = self._model.dtype.itemsize
        return tokens * self._model.hidden_size * itemsize

    def _device_of(self, layer: int) -> torch.device:
        return next(self._layers[layer].parameters()).device

    def _on_layer(self, number: int, pair: KeysValues | None) -> KeysValues | None:
        if pair is None:
            return None
        device = self._device_of(number)
        return pair[0].to(device), pair[1].to(device)


def _wait_for(passes: deque[PrefillPass]) -> None:
    """Let what was begun end, without looking at it."""
    for each in passes:
        each.under_way.wait()
    passes.clear()
