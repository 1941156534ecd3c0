"""A terminal that is attached to a run, as the process of the engine knows it."""

from __future__ import annotations

import secrets
import time
from collections import deque
from dataclasses import dataclass, field

from heretic_tui.commands import Task
from heretic_tui.run.attach.protocol import NUMBERS, Link, Standing, Told

# Requests a second: more than any person makes. (A key that is held down repeats 30 times.)
_MOST_REQUESTS = 300
# So many commands of each connection can be cancelled.
_KEPT_COMMANDS = 1000


class LetGo(Exception):
    """A connection is ended, for the reason that its other end is told."""


@dataclass(eq=False)
class Client:
    """
    Attributes:
        base: its own numbers begin here: another connection's, this process's and an earlier session's are others.
        closing: whether the session need not wait for it.
        seen: the number of the latest request that was read.
        told: who controls the run, as it was told last.
        commands: those that can be cancelled, by the key of each.
        held: while much waits for it: by kind, the latest of what each overtakes.
    """

    link: Link
    pid: int
    base: int = field(default_factory=lambda: (1 + secrets.randbelow(1 << 20)) * NUMBERS)
    terminal: str = ""
    greeted: bool = False
    closing: bool = False
    seen: int = 0
    told: Standing | None = None
    commands: dict[int, Task] = field(default_factory=dict)
    held: dict[str, Told] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)
    requests: deque[float] = field(default_factory=lambda: deque(maxlen=_MOST_REQUESTS))

    @property
    def name(self) -> str:
        return f"{self.terminal} (process {self.pid})"

    def count_request(self) -> None:
        """
        Raises:
            LetGo: when there are too many.
        """
        now = time.monotonic()
        if len(self.requests) == _MOST_REQUESTS and now - self.requests[0] < 1.0:
            raise LetGo(f"more than {_MOST_REQUESTS} requests a second")
        self.requests.append(now)

    def keep(self, key: int, command: Task) -> None:
        """Keep a command, so that it can be cancelled."""
        self.commands[key] = command
        if len(self.commands) > _KEPT_COMMANDS:
            del self.commands[next(iter(self.commands))]

    def asked(self, number: int) -> bool:
        """Whether a command of this number is its own: others have commands of the same number."""
        return self.base <= number < self.base + NUMBERS

    def catch_up(self) -> None:
        """Tell what was held."""
        for told in self.held.values():
            self.link.send(told)
        self.held.clear()
