"""Pause, stop after this trial, abort: one object that the engine looks at between batches and tokens, and the queue of
commands that wait for a trial's end."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

from heretic_tui.engine.events import Emit, StateChanged


class Aborted(Exception):
    """Raised at the next checkpoint after `abort`: the work in hand is dropped, finished work stays."""


@dataclass(frozen=True)
class MoreTrials:
    """Set the number of trials of the run; the search goes on up to it."""

    n_trials: int


@dataclass(frozen=True)
class Sampling:
    """How a chat picks tokens. A temperature of 0 takes the most likely one; `seed` None draws one."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = None


@dataclass(frozen=True)
class Chat:
    """Let a trial, or the base model for None, answer a conversation.

    Attributes:
        turns: (role, text) pairs, user first, user last.
        thinking: for templates that know `enable_thinking`.
    """

    id: int
    trial: int | None
    turns: tuple[tuple[str, str], ...]
    system_prompt: str
    sampling: Sampling = Sampling()
    thinking: bool = False


@dataclass(frozen=True, eq=False)
class Export:
    """Write a trial to the folder `out`, and then to the Hub repository `hub` where one is given. The token is used,
    and neither kept nor shown. Each is itself only: one that was cancelled can be asked for again."""

    trial: int
    out: str
    kind: Literal["merged", "adapter"] = "merged"
    dora: bool = False
    hub: str | None = None
    private: bool = True
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class Shift:
    """Find out what a trial does to first tokens; the answer lies in the run folder. Each is itself only, as above."""

    trial: int


@dataclass(frozen=True)
class Close:
    """Wakes a session that waits for commands, so that it ends."""


Command = MoreTrials | Chat | Export | Shift | Close


class Control:
    """Requests from outside, safe to call from any thread or a signal handler.

    Three named levels: `pause` holds the engine at its next checkpoint; `stop_after_trial` ends the search at the
    trial's end; `abort` ends it at the next checkpoint. Each is confirmed by a StateChanged event.

    Attributes:
        in_trial: whether "after this trial" means anything at this moment.
        closing: the session ends when its search has ended, and waits for no further commands.
    """

    def __init__(self) -> None:
        # Events and a SimpleQueue, no locks: a signal handler may run while the same thread holds any lock.
        self._go = threading.Event()
        self._go.set()
        self._stop = threading.Event()
        self._abort = threading.Event()
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.in_trial = False
        self._task: tuple[Chat | Export | Shift, Control] | None = None
        self._cancelled: set[Chat | Export | Shift] = set()
        self.closing = False
        self._paused_for = 0.0

    def pause(self) -> None:
        self._go.clear()

    def resume(self) -> None:
        self._go.set()

    def stop_after_trial(self) -> None:
        self._stop.set()
        self._go.set()

    def abort(self) -> None:
        self._abort.set()
        self._go.set()
        if task := self._task:
            task[1].abort()

    def begin(self, command: Chat | Export | Shift) -> Control:
        """The control of a command whose turn has come; aborted already where it was cancelled before."""
        self._task = command, Control()
        if command in self._cancelled:
            self._task[1].abort()
        return self._task[1]

    def end(self) -> None:
        """The command in hand has ended."""
        self._task = None

    def cancel(self, command: Chat | Export | Shift) -> None:
        """Stop a command that takes long, in hand or still waiting for its turn; nothing else is touched."""
        # In this order: `begin`, on another thread, looks after it has made the task known.
        self._cancelled.add(command)
        if (task := self._task) and task[0] is command:
            task[1].abort()

    def close(self) -> None:
        self.closing = True
        self._go.set()
        self._commands.put(Close())

    def rearm(self) -> None:
        """Forget stop and abort: they have been obeyed, and the session goes on to wait for commands."""
        self._stop.clear()
        self._abort.clear()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    @property
    def aborting(self) -> bool:
        return self._abort.is_set()

    def send(self, command: Command) -> None:
        self._commands.put(command)

    def next_command(self) -> Command | None:
        """The oldest waiting command, None when there is none."""
        try:
            return self._commands.get_nowait()
        except queue.Empty:
            return None

    def wait_command(self) -> Command:
        """The oldest waiting command, as soon as there is one."""
        return self._commands.get()

    @property
    def paused(self) -> bool:
        return not self._go.is_set()

    def clock(self) -> float:
        """Seconds, from an arbitrary moment on, that do not pass while the engine is paused."""
        return time.perf_counter() - self._paused_for

    def checkpoint(self, emit: Emit | None = None) -> None:
        """Wait here while paused.

        Raises:
            Aborted: when an abort was asked for.
        """
        if not self._go.is_set() and not self._abort.is_set():
            if emit:
                emit(StateChanged(state="paused"))
            start = time.perf_counter()
            self._go.wait()
            self._paused_for += time.perf_counter() - start
            if emit:
                emit(StateChanged(state="running"))
        if self._abort.is_set():
            raise Aborted
