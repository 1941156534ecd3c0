"""Several calls at once, on threads of their own, handed out one by one between the checkpoints of a piece of work."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from heretic_tui.work import Work

T = TypeVar("T")
R = TypeVar("R")

# Seconds after which a pause or an abort takes effect, though no call has come back.
_LOOK = 0.1


class _Done(Generic[R]):
    """What became of a call."""

    def __init__(self, index: int, result: R | None, error: BaseException | None) -> None:
        self.index, self._result, self._error = index, result, error

    def value(self) -> R:
        if self._error:
            raise self._error
        return self._result  # type: ignore[return-value]  # there is one where there is no error


def at_once(
    items: Sequence[T],
    call: Callable[[T], R],
    take: Callable[[int, R], None],
    threads: int,
    work: Work,
    look: Callable[[], None] = lambda: None,
) -> None:
    """Call a function with each item, on several threads; hand over what comes back as it comes.

    While the work is paused no further calls begin. When this ends early, calls in hand end on their own, and what they
    return is dropped: threads do not keep the process alive.

    Args:
        call: on a thread of its own.
        take: called with the place of an item and what came back for it, on the thread that calls this.
        look: called there several times a second.

    Raises:
        Aborted: from the control.
        Exception: the first that was raised by a call.
    """
    tasks: queue.SimpleQueue[tuple[int, T] | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[_Done[R]] = queue.SimpleQueue()

    def serve() -> None:
        while (task := tasks.get()) is not None:
            index, item = task
            try:
                done.put(_Done(index, call(item), None))
            except BaseException as error:  # noqa: BLE001 - raised again on the thread that waits
                done.put(_Done(index, None, error))

    threads = min(threads, len(items))
    for _ in range(threads):
        threading.Thread(target=serve, name="opinions", daemon=True).start()
    waiting = iter(enumerate(items))
    in_hand = 0
    try:
        while True:
            work.checkpoint()
            look()
            while in_hand < threads and (task := next(waiting, None)):
                tasks.put(task)
                in_hand += 1
            if not in_hand:
                return
            try:
                found = done.get(timeout=_LOOK)
            except queue.Empty:
                continue
            in_hand -= 1
            take(found.index, found.value())
    finally:
        for _ in range(threads):
            tasks.put(None)
