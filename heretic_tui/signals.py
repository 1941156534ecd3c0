"""What ctrl-c and SIGTERM do: end the process, stop the engine, and in any case end the process at the third."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, TypeAlias

from heretic_tui.errors import INTERRUPTED
from heretic_tui.terminal import Output, Streams

if TYPE_CHECKING:
    from heretic_tui.control import Control

Handler: TypeAlias = Callable[[int, FrameType | None], None]


@contextlib.contextmanager
def leaving_at_once(streams: Streams) -> Iterator[None]:
    """While nothing is at work that has an end of its own, ctrl-c and SIGTERM end the process at once: an exception
    in the middle of the import of a library could come out as anything."""

    def leave(number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            os.write(streams.err.fileno(), b"heretic-tui: interrupted\n")
        if streams.scratch_log:
            streams.scratch_log.unlink(missing_ok=True)
        os._exit(INTERRUPTED)

    with handling(leave, leave):
        yield


@contextlib.contextmanager
def handling(interrupted: Handler, terminated: Handler) -> Iterator[None]:
    """Within the block these are called for SIGINT and SIGTERM."""
    before = signal.signal(signal.SIGINT, interrupted), signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


# So many ctrl-c or SIGTERM together end the process, whatever it does.
_LAST = 3


@contextlib.contextmanager
def interrupts(control: Control, err: Output, presses: int = 0) -> Iterator[None]:
    """ctrl-c once stops after the trial, twice stops now; SIGTERM stops now; three of them end the process.

    Args:
        presses: so many came before.
    """

    def say(text: str) -> None:
        # Not through the stream: the signal may have come in the middle of a write to it.
        with contextlib.suppress(OSError):
            os.write(err.fileno(), f"\n{text}\n".encode())

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        if presses == 1 and control.in_trial:
            say("stopping after this trial; ctrl-c again stops now")
            control.stop_after_trial()
        else:
            more = "once more" if presses > 1 else "twice more"
            say(f"stopping now; ctrl-c {more} ends the process at once")
            control.abort()

    def terminated(number: int, frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        control.abort()

    with handling(interrupted, terminated), the_third_ends(presses):
        yield


@contextlib.contextmanager
def the_third_ends(presses: int = 0) -> Iterator[None]:
    """Count ctrl-c and SIGTERM where they arrive, and end the process at the third. Handlers are called by the main
    thread between two steps of Python code: a library that computes, or waits, without an end keeps them waiting."""
    arrived, told = os.pipe()
    os.set_blocking(told, False)

    def count() -> None:
        seen = presses
        while numbers := os.read(arrived, 64):
            seen += sum(number in (signal.SIGINT, signal.SIGTERM) for number in numbers)
            if seen >= _LAST:
                os._exit(INTERRUPTED)
        os.close(arrived)

    threading.Thread(target=count, name="signals", daemon=True).start()
    before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(told)
