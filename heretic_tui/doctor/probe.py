"""What a probe finds, and how probes are gone through: all at once, each with its own time, none at another's cost."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from heretic_tui.errors import HereticError, one_line
from heretic_tui.words import plain

# It is as it should be; it works, and could be better; it would stop a run, or take from it what the machine has.
State: TypeAlias = Literal["ok", "note", "fix"]

# Columns of a name; and of what stands before the words.
_NAMES = 16
INDENT = 6 + _NAMES + 1


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found of one thing.

    Attributes:
        name: of the thing.
        said: what it is.
        todo: what to do; empty where nothing is.
    """

    name: str
    state: State
    said: str
    todo: str = ""

    def line(self) -> str:
        """The finding as one line for people."""
        todo = f": {self.todo}" if self.todo else ""
        return plain(f"{self.state:4}  {self.name:{_NAMES}} {self.said}{todo}")


@dataclass(frozen=True)
class Probe:
    """A look at one thing.

    Attributes:
        name: of the thing.
        look: takes the look; whatever it raises is a finding.
        seconds: the time it has.
    """

    name: str
    look: Callable[[], Sequence[Finding]]
    seconds: float = 10.0


def take(probes: Sequence[Probe]) -> Iterator[Finding]:
    """What the probes find, in their order, each as soon as it and those before it are known. A look that takes longer
    than its time is left to itself, on a thread that ends with the process."""
    results: list[queue.SimpleQueue[Sequence[Finding]]] = []
    start = time.monotonic()
    for probe in probes:
        results.append(queue.SimpleQueue())
        threading.Thread(target=_look, args=(probe, results[-1]), name=probe.name, daemon=True).start()
    for probe, result in zip(probes, results, strict=True):
        try:
            yield from result.get(timeout=max(0.0, start + probe.seconds - time.monotonic()))
        except queue.Empty:
            said = f"no answer within {probe.seconds:.0f} s"
            yield Finding(name=probe.name, state="note", said=said, todo="look at it by hand")


def _look(probe: Probe, result: queue.SimpleQueue[Sequence[Finding]]) -> None:
    try:
        result.put(probe.look())
    except HereticError as error:
        result.put([Finding(name=probe.name, state="fix", said=str(error))])
    except Exception as error:  # noqa: BLE001 - it is a line of the report, and costs no other
        result.put([Finding(name=probe.name, state="note", said=f"could not be looked at ({one_line(error)})")])
