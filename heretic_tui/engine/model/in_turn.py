"""Passes through a model whose layers lie on several cards, one behind the other, so that cards do not wait.

A pass goes through the cards one after the other. While one card computes for it the others have nothing to do, unless
other passes are under way: so as many are begun as there are *stages* (cards that hold layers, in their order) before
the result of the first is read, and each card computes for another of them. That is the *window*.

How it is done, and why so:

- One thread begins all passes. What is computed on a card is put into its queue and the call returns; only what reads a
  result waits. Edits, kept states and passes that begin at a layer are hooks on modules, which all threads would share,
  and threads would not begin a pass faster either, since Python lets one of them run at a time.
- Each pass that is under way has queues (streams) of its own on every card: a `Lane`. In one queue a card passes would
  wait for each other: a copy from card to card waits for all that either card was given before it, the network's inputs
  (mask, positions) are copied from the first card to each layer, and its output back to the first card. So a second
  pass would begin when the first has ended.
- A lane begins behind what the ordinary queues were given before it, and nothing that a pass made is touched before
  the lane was waited for. So everything else (moving lines, writing to caches, choosing rows) stays in the ordinary
  queues, and may be written as if there were no lanes. Whoever begins a pass holds on to what it reads until then:
  memory that is given back is handed out again while a pass reads it.
- Beginning a pass takes Python some time, in which the cards work. Where one pass is computed before a second one has
  been begun, several under way bring nothing, and smaller batches cost more. So when a model is loaded it is measured
  how many can be begun while one is computed, and the window is no larger. (Where a network reads something back in
  the middle, as some routers of experts do, that is one: it takes today's way.)

Where all layers lie on one device nothing of this is done: the window is 1, a lane has no queues, and what is begun has
been computed when the call returns, or waits in the device's own queue.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# Passes that are measured.
_PASSES = 4


class Lane:
    """One pass on its way through the cards, or none.

    Args:
        devices: all that hold parameters; empty: everything goes into the ordinary queues.
    """

    def __init__(self, devices: Sequence[torch.device] = ()) -> None:
        self._streams = [torch.cuda.Stream(device) for device in devices]
        self._ends: list[torch.cuda.Event] = []

    @contextmanager
    def enqueue(self) -> Iterator[None]:
        """What is computed within the block goes into queues of this lane, behind what the ordinary queues hold."""
        if not self._streams:
            yield
            return
        home = torch.cuda.current_device()
        ordinary = [torch.cuda.current_stream(stream.device) for stream in self._streams]
        for stream, before in zip(self._streams, ordinary, strict=True):
            stream.wait_stream(before)
        try:
            # Each also makes its device the current one.
            for stream in self._streams:
                torch.cuda.set_stream(stream)
            torch.cuda.set_device(home)
            yield
        finally:
            for before in ordinary:
                torch.cuda.set_stream(before)
            torch.cuda.set_device(home)
            self._ends = [stream.record_event() for stream in self._streams]

    def wait(self) -> None:
        """Wait until all that was enqueued has been computed."""
        for end in self._ends:
            end.synchronize()
        self._ends = []


class UnderWay:
    """A pass that was begun. Its results may be looked at after `wait`."""

    def __init__(self, lane: Lane, free: Callable[[Lane], None]) -> None:
        self._lane: Lane | None = lane
        self._free = free

    def wait(self) -> None:
        """Wait until it has been computed; the second time there is nothing to wait for."""
        if self._lane:
            lane, self._lane = self._lane, None
            lane.wait()
            self._free(lane)


class InTurn:
    """
    Args:
        stages: how many devices hold decoder layers.
        window: passes that are to be under way at once, at most.
        lane: makes a lane.

    Attributes:
        stages, window: as above; the window gets smaller where memory runs out.
    """

    def __init__(self, stages: int = 1, window: int = 1, lane: Callable[[], Lane] = Lane) -> None:
        self.stages = stages
        self.window = window
        self._make = lane
        self._free: list[Lane] = []

    @contextmanager
    def begun(self) -> Iterator[UnderWay]:
        """Within the block a pass is begun. Where the block raises, what had been begun was waited for."""
        lane = self._free.pop() if self._free else self._make()
        pass_ = UnderWay(lane, self._free.append)
        try:
            with lane.enqueue():
                yield pass_
        except BaseException:
            pass_.wait()
            raise


def stages_of(layers: Iterable[nn.Module]) -> list[torch.device]:
    """The devices that decoder layers lie on, in the order of the layers, each once."""
    found = dict.fromkeys(next(layer.parameters()).device for layer in layers)
    return list(found)


def found_in_turn(network: nn.Module, layers: Iterable[nn.Module], one_pass: Callable[[], Tensor]) -> InTurn:
    """How passes go through a model: in turn, where its layers lie on several cards and passes can be begun faster than
    they are computed.

    Args:
        one_pass: takes a small batch through the model.
    """
    stages = stages_of(layers)
    devices = list(dict.fromkeys(weight.device for weight in network.parameters()))
    if len(stages) == 1 or any(device.type != "cuda" for device in devices):
        return InTurn()
    found = InTurn(len(stages), 1, lambda: Lane(devices))
    begun, computed = [], []
    # The first pass also loads kernels and fills caches.
    for _ in range(_PASSES):
        start = time.perf_counter()
        with found.begun() as under_way:
            one_pass()
            begun.append(time.perf_counter() - start)
        under_way.wait()
        computed.append(time.perf_counter() - start)
    found.window = passes_at_once(len(stages), min(begun), min(computed))
    return found


def passes_at_once(stages: int, begun: float, computed: float) -> int:
    """The window: as many as there are stages, and no more than can be begun while one is computed.

    Args:
        begun, computed: seconds from the beginning of a pass to when it has been begun, and computed.
    """
    return max(1, min(stages, round(computed / max(begun, 1e-9))))


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device, without waiting for what the device has to compute first."""
    if tensor.device.type == "cpu" and device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
