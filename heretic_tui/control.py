"""Pause, stop after this trial, abort: what can be asked of an engine; one object that it looks at between batches and
tokens, and the queue of commands."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from heretic_tui.commands import Chat, Close, Command, FullAnswers, Keep, MoreTrials, Samples, Task, Try
from heretic_tui.events import (
    ChatEnded,
    Emit,
    Event,
    FullAnswersFound,
    SamplesEnded,
    StateChanged,
    TrialKept,
    TryEnded,
)


class Aborted(Exception):
    """Raised at the next checkpoint after `abort`: the work in hand is dropped, finished work stays."""


class Requests(Protocol):
    """What can be asked of an engine, whether it is in this process (`Control`) or in another one."""

    @property
    def paused(self) -> bool: ...

    @property
    def requested(self) -> str:
        """What the engine was asked for: pausing, stopping or aborting; nothing else is running."""
        ...

    @property
    def in_trial(self) -> bool:
        """Whether "after this trial" means anything at this moment."""
        ...

    def pause(self) -> bool: ...

    def resume(self) -> None: ...

    def stop_after_trial(self) -> bool: ...

    def abort(self) -> bool: ...

    def send(self, command: Command) -> None: ...

    def cancel(self, command: Task) -> None:
        """Stop a command, in hand or still waiting for its turn."""
        ...

    def close(self) -> None:
        """Whoever asks here will ask for nothing more: the session need not wait for it after the search."""
        ...


# What became of a command that can be withdrawn while it waits.
_BEGUN, _WITHDRAWN = "begun", "withdrawn"


class Control:
    """Requests from outside, safe to call from any thread or a signal handler.

    Three named levels: `pause` holds the trials at the next checkpoint; `stop_after_trial` ends the search at the
    trial's end; `abort` ends it at the next checkpoint. Each returns whether there is anything to hold or end, and the
    engine confirms it with a StateChanged event.

    Args:
        above: the control of the session, for that of a single command: it tells what is asked of the session
            meanwhile.

    Attributes:
        in_trial: whether "after this trial" means anything at this moment.
        attended: whether another terminal controls the run: a session that was closed waits for its commands too.
        serve: called at each checkpoint of the session: what is done beside its work gets its turn there. Returns
            whether there is more of it; while the work is held it is called again then.
        spare: called where memory has run out: drops what is done beside the work. Returns whether there was any.
        emit: the session's; states are told by it where there is one.
        tell: takes what has to be known at once, on whichever thread it was asked for.
    """

    def __init__(self, above: Control | None = None) -> None:
        # Events and a SimpleQueue, no locks: a signal handler may run while the same thread holds any lock.
        self._go = threading.Event()
        self._go.set()
        self._stop = threading.Event()
        self._abort = threading.Event()
        # Set whenever there may be something to do for an engine that holds its trials.
        self._wake = threading.Event()
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._above = above
        self._told = "running"
        self._ready = False
        # Whether the engine waits for `resume`.
        self._held = False
        self._tasks: list[tuple[Task, Control]] = []
        # Of the command that is worked on at this moment.
        self._acting: Control | None = None
        self._cancelled: set[Task] = set()
        # Whether a command was begun or withdrawn: whichever came first.
        self._fates: dict[Task, str] = {}
        # The edit that is to be tried: of several the latest.
        self._latest_try: Try | None = None
        self._paused_for = 0.0
        self._closed = self._dismissed = False
        self.in_trial = False
        self.attended = False
        self.serve: Callable[[], bool] = nothing
        self.spare: Callable[[], bool] = nothing
        self.emit: Emit | None = None
        self.tell: Emit = _unheard

    def pause(self) -> bool:
        return self._request(self._go.clear, self._go.set)

    def resume(self) -> None:
        self._go.set()
        self._wake.set()

    def stop_after_trial(self) -> bool:
        asked = self._request(self._stop.set, self._stop.clear)
        self.resume()
        return asked

    def abort(self) -> bool:
        asked = self._request(self._abort.set, self._abort.clear)
        # A command in hand is dropped too, whether a search goes on beside it or not.
        tasks = list(self._tasks)
        for _, control in tasks:
            control.abort()
        self.resume()
        return asked or bool(tasks)

    def _request(self, ask: Callable[[], None], take_back: Callable[[], None]) -> bool:
        if not self._ready:
            ask()
            if not self._ready:
                return True
            # It became ready in between: what was asked for must not meet the next search.
            take_back()
        return False

    def begin(self, command: Task) -> Control:
        """The control of a command whose turn has come; aborted already where it was cancelled before."""
        control = Control(self)
        self._tasks.append((command, control))
        # In this order: `cancel`, on another thread, looks for the task after it has noted the command.
        if _when_withdrawn(command):
            cancelled = self._fates.setdefault(command, _BEGUN) == _WITHDRAWN
        else:
            cancelled = command in self._cancelled
        if cancelled or self.replaced(command):
            control.abort()
        return control

    def begin_beside(self, command: Keep) -> bool:
        """The turn of a command has come that is worked on beside others. Returns whether it was not withdrawn."""
        return self._fates.setdefault(command, _BEGUN) == _BEGUN

    def cancelled(self, command: Task) -> bool:
        """Whether a command was cancelled, before its turn or after."""
        return command in self._cancelled

    def end(self, command: Task) -> None:
        """A command in hand has ended."""
        self._tasks = [pair for pair in self._tasks if pair[0] is not command]

    @contextmanager
    def acting(self, task: Control) -> Iterator[None]:
        """Within the block the session's checkpoints are those of a command in hand: a pause does not hold it, and it
        can be cancelled alone."""
        before, self._acting = self._acting, task
        try:
            yield
        finally:
            self._acting = before

    def beside(self, task: Control, others: Callable[[], None]) -> Callable[[], bool]:
        """What a command in hand serves at its checkpoints: others, which are obeyed beside it. Where the run is to be
        closed from now on, the command ends."""
        closing = self.closing

        def serve() -> bool:
            others()
            if self.closing and not closing:
                task.abort()
            return False

        return serve

    def cancel(self, command: Task) -> None:
        """Stop a command that takes long, in hand or still waiting for its turn; nothing else is touched. What waits
        for an answer, or to be kept, is told to have ended at once, whatever the engine is doing."""
        self._cancelled.add(command)
        ended = _when_withdrawn(command)
        if ended and command not in self._fates and self._fates.setdefault(command, _WITHDRAWN) == _WITHDRAWN:
            self.tell(ended)
        for task, control in list(self._tasks):
            if task is command:
                control.abort()

    def withdrawn(self, command: Task) -> bool:
        """Whether a command was taken back before its turn came, and has been told to have ended."""
        return self._fates.get(command) == _WITHDRAWN

    def replaced(self, command: Task) -> bool:
        """Whether a newer edit is to be tried than that of this command."""
        return isinstance(command, Try) and self._latest_try is not command

    def close(self) -> None:
        self._closed = True
        self.resume()
        self.wake()

    def dismiss(self) -> None:
        """Close, and let the session end even while another terminal controls it."""
        self._dismissed = True
        self.close()

    def wake(self) -> None:
        """Let a session that waits for commands look whether it is to end."""
        self._commands.put(Close())

    @property
    def closing(self) -> bool:
        """Whether the session ends when its search has ended, and waits for no further commands."""
        return self._closed and (self._dismissed or not self.attended)

    def rest(self) -> None:
        """The search is over: what was asked of it is forgotten, and the session waits for commands."""
        self._ready = True
        self._stop.clear()
        self._abort.clear()
        self._go.set()
        self.tell_state()

    def work(self) -> None:
        """The search goes on."""
        self._ready = False
        self.tell_state()

    @property
    def ready(self) -> bool:
        """Whether no search is going on: there is nothing to pause or to stop."""
        return self._ready

    @property
    def busy(self) -> bool:
        """Whether a command that takes long is in hand."""
        return bool(self._tasks)

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    @property
    def aborting(self) -> bool:
        return self._abort.is_set()

    @property
    def requested(self) -> str:
        """What the engine was asked for: pausing, stopping or aborting; nothing else is running."""
        if self._abort.is_set():
            return "aborting"
        if not self._go.is_set():
            return "pausing"
        return "stopping" if self._stop.is_set() else "running"

    def send(self, command: Command) -> None:
        if isinstance(command, MoreTrials):
            # Who asks for trials after a stop wants the search to go on.
            self._stop.clear()
        self._commands.put(command)
        if isinstance(command, Try):
            self._latest_try = command
            for task, control in list(self._tasks):
                if isinstance(task, Try):
                    control.abort()
        self._wake.set()

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
        """Seconds, from an arbitrary moment on, that do not pass while the engine is paused, or works on what is done
        beside."""
        return time.perf_counter() - self._paused_for

    def tell_state(self) -> None:
        """Tell the state where it has changed since it was last told."""
        if self._above:
            self._above.tell_state()
            return
        state = "ready" if self._ready else self.requested
        state = "paused" if self._held and state == "pausing" else state
        if self.emit and state != self._told:
            self._told = state
            self.emit(StateChanged(state=state))

    def checkpoint(self) -> None:
        """Let what is done beside have its turn; wait here while paused.

        Raises:
            Aborted: when an abort was asked for.
        """
        if self._acting:
            self._acting.checkpoint()
            return
        start = time.perf_counter()
        while not self._abort.is_set():
            if self.paused:
                self._held = True
                self.tell_state()
                self._wake.clear()
            more = self.serve()
            if not self.paused:
                break
            # A pause that came during the turn holds from here on, and is told first.
            if self._held and not more and not self._abort.is_set():
                self._wake.wait()
        self._held = False
        self._paused_for += time.perf_counter() - start
        self.tell_state()
        if self._abort.is_set():
            raise Aborted


def _when_withdrawn(command: Task) -> Event | None:
    """What is told of a command that is taken back while it waits; None where that is told when its turn comes."""
    match command:
        case Chat():
            return ChatEnded(id=command.id, reason="stopped")
        case Samples():
            return SamplesEnded(id=command.id, reason="stopped")
        case FullAnswers():
            trial = command.trials[0] if command.trials else None
            return FullAnswersFound(
                id=command.id, trial=trial, prompts=[], harmless=command.harmless, ended=True, error="cancelled"
            )
        case Try():
            return TryEnded(id=command.id, reason="stopped")
        case Keep():
            return TrialKept(id=command.id, error="cancelled")
    return None


def nothing() -> bool:
    """Nothing is done beside."""
    return False


def _unheard(event: Event) -> None:
    """For whom nothing has to be known at once."""
