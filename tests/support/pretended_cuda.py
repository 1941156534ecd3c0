"""torch.cuda as far as lanes use it, on machines without a GPU: which queue is in use on which card, and the time that
the queues take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch


@dataclass(eq=False)
class Stream:
    """A queue of a card. `waits_for`: other queues, whose contents come first."""

    cuda: PretendedCuda
    device: torch.device
    waits_for: list[Stream] = field(default_factory=list)

    def wait_stream(self, other: Stream) -> None:
        assert other.device == self.device
        self.waits_for.append(other)

    def record_event(self) -> Event:
        return Event(self)


@dataclass(eq=False)
class Event:
    stream: Stream

    def synchronize(self) -> None:
        self.stream.cuda.waited.append(self.stream)
        self.stream.cuda.now = max(self.stream.cuda.now, self.stream.cuda.done)


class PretendedCuda:
    """
    Attributes:
        now: seconds.
        done: when all that was given to queues has been computed.
        device: the current one.
        streams: the current one of each card.
        waited: streams whose end the host waited for.
    """

    def __init__(self, cards: int) -> None:
        self.now = self.done = 0.0
        self.device = 0
        self.streams = {card: Stream(self, torch.device("cuda", card)) for card in range(cards)}
        self.waited: list[Stream] = []

    def put_in_place(self, patch: pytest.MonkeyPatch) -> None:
        cuda: dict[str, Callable[..., object]] = {
            "Stream": lambda device: Stream(self, device),
            "current_device": lambda: self.device,
            "current_stream": lambda device: self.streams[device.index],
            "set_stream": self._set_stream,
            "set_device": lambda device: setattr(self, "device", device),
        }
        for name, what in cuda.items():
            patch.setattr(torch.cuda, name, what)
        patch.setattr("heretic_tui.engine.model.in_turn.time.perf_counter", lambda: self.now)

    def computes(self, host: float, cards: float) -> Callable[[], torch.Tensor]:
        """A pass that takes the host and the cards so many seconds."""

        def one_pass() -> torch.Tensor:
            self.done = self.now + cards
            self.now += host
            return torch.zeros(1)

        return one_pass

    def _set_stream(self, stream: Stream) -> None:
        assert stream.device.index is not None
        self.streams[stream.device.index] = stream
        self.device = stream.device.index
