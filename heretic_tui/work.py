"""What a long piece of work is handed: a way to tell what happens, and where it waits or ends on request."""

from __future__ import annotations

import time
from collections.abc import Callable

from heretic_tui.control import Control
from heretic_tui.events import Emit, Event, Notice, Progress

# Called with how much is done, and of how much.
ProgressReport = Callable[[int, int], None]


class Work:
    """One long piece of work, as it looks to the function that does it.

    Args:
        emit: called with every event, on the thread that works; None: events are dropped.
        control: the requests it obeys; None: nothing is ever asked of it.
    """

    def __init__(self, emit: Emit | None = None, control: Control | None = None) -> None:
        self._emit = emit or _unheard
        self._control = control or Control()

    def tell(self, event: Event) -> None:
        self._emit(event)

    def note(self, text: str, level: str = "info") -> None:
        """Tell something that the user should know; `level` is info, warning or error."""
        self._emit(Notice(text=text, level=level))

    def progress(self, stage: str) -> ProgressReport:
        """A function of (done, total) that tells how far a stage is, with the time left by the pace so far. The clock
        of the stage starts now."""
        start = time.perf_counter()

        def report(done: int, total: int) -> None:
            left = round((time.perf_counter() - start) / done * (total - done), 1) if done else None
            self._emit(Progress(stage=stage, done=done, total=total, seconds_left=left))

        return report

    def checkpoint(self) -> None:
        """Let what is done beside have its turn; wait here while paused. Nothing but edits may be on a model here.

        Raises:
            Aborted: when an abort was asked for.
        """
        self._control.checkpoint()

    @property
    def paused(self) -> bool:
        """Whether the next checkpoint waits."""
        return self._control.paused

    def spare(self) -> bool:
        """Memory has run out: drop what is done beside this work. Returns whether there was any, so that it can be
        tried once more."""
        return self._control.spare()

    def clock(self) -> float:
        """Seconds, from an arbitrary moment on, that do not pass while the work is paused or others have their turn."""
        return self._control.clock()

    def heard_by(self, listener: Emit) -> Work:
        """The same work; `listener` is called with every event too, before it is told."""

        def tell(event: Event) -> None:
            listener(event)
            self._emit(event)

        return Work(tell, self._control)

    def under(self, control: Control) -> Work:
        """The same telling, under another control: that of a single command."""
        return Work(self._emit, control)

    def part(self, *kinds: type[Event]) -> Work:
        """Work within this work: under the same control, and only events of these kinds are told."""

        def tell(event: Event) -> None:
            if isinstance(event, kinds):
                self._emit(event)

        return Work(tell, self._control)


def _unheard(event: Event) -> None:
    """Drops every event."""
