"""Keys and values of sequences of different lengths: buffers that are allocated once, a line for each sequence.

A sequence's token at position p lies in column p of its line, whatever the other lines hold. So there is no padding
to mask or to mislead a positional bias, lines come and go one by one, and tokens that were tried and rejected are
forgotten by not counting them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import (
    Cache,
    CacheLayerMixin,
    DummyLayer,
    DynamicLayer,
    LinearAttentionCacheLayerMixin,
)


class _SharedLines:
    """What all layers of a cache share: how many lines are alive, where the present tokens go, how far lines reach."""

    def __init__(self) -> None:
        self.alive = 0
        self.columns: Tensor | None = None  # (alive, tokens) of the forward pass in hand
        self.width = 0  # columns that it attends to


class _RaggedLayer(DynamicLayer):
    """One layer: keys and values (lines, heads, capacity, size per head), made when the first of them come."""

    def __init__(self, shared: _SharedLines, lines: int, capacity: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self._shared, self._lines, self._capacity = shared, lines, capacity

    def make(self, keys: Tensor, values: Tensor) -> None:
        """Allocate buffers for keys and values of these shapes, (any, heads, any, size per head)."""
        if self.keys is not None:
            return
        self.device, self.dtype = keys.device, keys.dtype
        self.keys, self.values = (
            torch.zeros(self._lines, t.shape[1], self._capacity, t.shape[3], dtype=t.dtype, device=t.device)
            for t in (keys, values)
        )
        self.is_initialized = True  # transformers asks for it

    def hold(self, lines: int) -> None:
        """Have so many lines."""
        self._lines = lines
        for name in ("keys", "values"):
            if (buffer := getattr(self, name)) is not None:
                more = buffer.new_zeros(lines - len(buffer), *buffer.shape[1:])
                setattr(self, name, torch.cat([buffer, more]))

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        self.make(key_states, value_states)
        shared = self._shared
        assert shared.columns is not None
        columns = shared.columns.to(key_states.device)
        lines = torch.arange(shared.alive, device=key_states.device)[:, None]
        found = []
        for buffer, new in ((self.keys, key_states), (self.values, value_states)):
            assert buffer is not None
            buffer[lines, :, columns] = new.transpose(1, 2)
            found.append(buffer[: shared.alive, :, : shared.width])
        return found[0], found[1]

    def get_seq_length(self) -> int:
        tokens = 0 if self._shared.columns is None else self._shared.columns.shape[1]
        return max(0, self._shared.width - tokens)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._shared.width, 0


class RaggedCache(Cache):
    """A cache for decoding, `lines` sequences of up to `capacity` tokens, in a model of `depth` layers.

    `begin` says where the tokens of the next forward pass go. Lines [0, alive) are in use; `put` fills them, `move`
    closes gaps.
    """

    def __init__(self, lines: int, capacity: int, depth: int) -> None:
        self._shared = _SharedLines()
        self.lines, self.capacity = lines, capacity
        # Whether a line has held NaN or infinity: even where it is masked, 0 × NaN would make the sum NaN.
        self.was_not_finite = False
        super().__init__(layers=[_RaggedLayer(self._shared, lines, capacity) for _ in range(depth)])

    def begin(self, positions: Tensor, width: int) -> None:
        """Make ready for a forward pass over lines [0, rows) with tokens at `positions`, (rows, tokens) int64.

        Args:
            width: columns that it attends to: one more than the greatest position.
        """
        self._shared.alive = len(positions)
        self._shared.columns = positions
        self._shared.width = width

    def hold(self, lines: int) -> None:
        """Have so many lines at least; what is in those that are there stays."""
        if lines <= self.lines:
            return
        for layer in self.layers:
            assert isinstance(layer, _RaggedLayer)
            layer.hold(lines)
        self.lines = lines

    def put(self, layer: int, first: int, column: int, keys: Tensor, values: Tensor) -> None:
        """Write keys and values (rows, heads, tokens, size per head) into lines from `first`, columns from
        `column`."""
        target = self.layers[layer]
        assert isinstance(target, _RaggedLayer)
        target.make(keys, values)
        rows, tokens = keys.shape[0], keys.shape[2]
        if self.was_not_finite and not column:
            for buffer in (target.keys, target.values):
                assert buffer is not None
                buffer[first : first + rows] = 0
        for buffer, new in ((target.keys, keys), (target.values, values)):
            assert buffer is not None
            buffer[first : first + rows, :, column : column + tokens] = new

    def move(self, sources: Sequence[int], targets: Sequence[int], width: int) -> None:
        """Copy the first `width` columns of some lines over those of others."""
        if not sources:
            return
        if self.was_not_finite:
            width = self.capacity
        # The buffers were made within this mode, and can only be written there.
        with torch.inference_mode():
            for layer in self.layers:
                for buffer in (getattr(layer, "keys", None), getattr(layer, "values", None)):
                    if isinstance(buffer, Tensor):
                        source = torch.tensor(sources, device=buffer.device)
                        target = torch.tensor(targets, device=buffer.device)
                        buffer[target, :, :width] = buffer[source, :, :width]


def behind(prefix: Sequence[tuple[Tensor, Tensor] | None], rows: int) -> Cache:
    """An ordinary growing cache whose rows all begin with the same tokens.

    Args:
        prefix: keys and values (1, heads, tokens, size per head) of each layer; None where there is no prefix.
    """
    layers: list[CacheLayerMixin | LinearAttentionCacheLayerMixin | DummyLayer] = []
    for pair in prefix:
        layer = DynamicLayer()
        if pair is not None:
            keys, values = pair
            layer.lazy_initialization(keys, values)
            layer.keys, layer.values = (t.expand(rows, -1, -1, -1) for t in (keys, values))
        layers.append(layer)
    return Cache(layers=layers)


def keys_and_values(cache: Cache, layer: int) -> tuple[Tensor, Tensor]:
    """What a layer of a cache holds, (rows, heads, tokens, size per head) each. There must be something."""
    keys, values = (getattr(cache.layers[layer], name) for name in ("keys", "values"))
    assert isinstance(keys, Tensor)
    assert isinstance(values, Tensor)
    return keys, values


def plain_layers(cache: Cache) -> str | None:
    """None where every layer keeps keys and values and nothing else; otherwise what one of them is."""
    for layer in cache.layers:
        if type(layer).__name__ not in ("DynamicLayer", "DynamicSlidingWindowLayer"):
            return type(layer).__name__
    return None


def narrowest_window(cache: Cache) -> int | None:
    """The smallest sliding window of the layers, None where all attend to everything."""
    windows = [int(layer.sliding_window) for layer in cache.layers if hasattr(layer, "sliding_window")]
    return min(windows, default=None)
