"""Lanes on a CPU that see what must not be done with a pass that is under way on several cards: look at it before it
was waited for, touch what it writes to, give back the memory of what it reads, or wait for it while it is begun."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from heretic_tui.engine.model.in_turn import InTurn, Lane

# What reads a value back to the host.
_READING = (
    "aten::_local_scalar_dense",
    "aten::item",
    "aten::is_nonzero",
    "aten::nonzero",
    "aten::masked_select",
    "aten::equal",
)


class _Storages:
    """Storages of tensors. Their places in memory are not used again as long as they are known here."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[StorageWeakRef, str]] = {}

    def add(self, tensor: Tensor, where: str = "") -> None:
        storage = tensor.untyped_storage()
        self._known.setdefault(storage._cdata, (StorageWeakRef(storage), f"{where} {tuple(tensor.shape)}"))

    def __contains__(self, tensor: Tensor) -> bool:
        return _place(tensor) in self._known

    @property
    def given_back(self) -> list[str]:
        """Where those were added that are not there any more."""
        return [where for known, where in self._known.values() if known.expired()]


@dataclass(eq=False)
class _Flight:
    """A pass under way: storages that it made, and others that it reads and writes."""

    number: int
    made: _Storages = field(default_factory=_Storages)
    read: _Storages = field(default_factory=_Storages)
    wrote: _Storages = field(default_factory=_Storages)


class WatchedLanes(TorchDispatchMode):
    """Watches all operations within its `with` block.

    Args:
        parameters: of the model. What is computed of them is taken to be on the cards, all else on the host.

    Attributes:
        events: ("begun", pass) and ("ended", pass), in their order; passes are counted from 0.
        most: passes that were under way at once.
        wrong: what was done and must not be, each once.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.events: list[tuple[str, int]] = []
        self.most = 0
        self.wrong: list[str] = []
        self._open: list[_Flight] = []
        self._now: _Flight | None = None
        self._passes = 0
        self._computed = _Storages()
        for parameter in parameters:
            self._computed.add(parameter)

    def in_turn(self, window: int) -> InTurn:
        """Passes in turn through as many pretended cards."""
        return InTurn(window, window, lambda: _WatchedLane(self))

    @property
    def ended_before_the_next(self) -> int:
        """Passes that were waited for before another one was begun."""
        return sum(what == "ended" and self.events[at - 1] == ("begun", n) for at, (what, n) in enumerate(self.events))

    def begin(self) -> _Flight:
        flight = self._now = _Flight(self._passes)
        self._passes += 1
        self.events.append(("begun", flight.number))
        self._open.append(flight)
        self.most = max(self.most, len(self._open))
        return flight

    def begun(self) -> None:
        self._now = None

    def end(self, flight: _Flight) -> None:
        self._open.remove(flight)
        self.events.append(("ended", flight.number))
        for where in flight.read.given_back:
            self._see(f"{where} reads memory that was given back")

    def _see(self, wrong: str) -> None:
        if wrong not in self.wrong:
            self.wrong.append(wrong)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        name, now = func._schema.name, self._now
        for flight in self._open:
            if flight is not now and any(tensor in flight.made or tensor in flight.wrote for tensor in given):
                self._see(f"{name} touches what a pass has under way")
        of_cards = any(tensor in self._computed for tensor in given)
        if now and of_cards:
            masked = name.startswith("aten::index") and any(tensor.dtype == torch.bool for tensor in given[1:])
            if masked or name in _READING:
                self._see(f"{name} waits for a pass while it is begun")
        result = func(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if now:
            for tensor in given:
                # Numbers of rows and positions are sent from the host.
                if tensor.is_floating_point() and tensor not in now.made and name != "aten::lift_fresh":
                    now.read.add(tensor, name)
            for argument, value in zip(func._schema.arguments, args, strict=False):
                written = argument.alias_info is not None and argument.alias_info.is_write
                if written and isinstance(value, Tensor) and value not in now.made:
                    now.wrote.add(value)
            for tensor in made:
                # What is made of numbers of Python comes to be before it is seen.
                fresh = name == "aten::lift_fresh"
                if fresh or not any(_place(tensor) == _place(one) for one in given):
                    now.made.add(tensor)
        if of_cards:
            for tensor in made:
                self._computed.add(tensor)
        return result


def _place(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _WatchedLane(Lane):
    def __init__(self, watch: WatchedLanes) -> None:
        super().__init__()
        self._watch = watch
        self._flight: _Flight | None = None

    @contextmanager
    def enqueue(self) -> Iterator[None]:
        self._flight = self._watch.begin()
        try:
            yield
        finally:
            self._watch.begun()

    def wait(self) -> None:
        if self._flight:
            self._watch.end(self._flight)
            self._flight = None
