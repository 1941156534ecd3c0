"""What ctrl-c and SIGTERM do: end the process, or stop the engine. The third of them always ends the process."""

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
    """Within the block, where no other handler is set, ctrl-c and SIGTERM end the process at once. A KeyboardInterrupt
    in the middle of the import of a library could be caught there, or come out as another exception."""

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


# This many ctrl-c and SIGTERM, counted together, end the process whatever it does.
_LAST = 3


@contextlib.contextmanager
def interrupts(control: Control, err: Output, presses: int = 0) -> Iterator[None]:
    """ctrl-c once stops after the trial, twice stops now; SIGTERM stops now; three of them end the process. The
    session ends then, though another terminal controls it.

    Args:
        presses: how many came before.
    """

    def say(text: str) -> None:
        # Not through the stream: the signal may have interrupted a write to it.
        with contextlib.suppress(OSError):
            os.write(err.fileno(), f"\n{text}\n".encode())

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal presses
        presses += 1
        control.dismiss()
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
        control.dismiss()
        control.abort()

    with handling(interrupted, terminated), the_third_ends(presses):
        yield


@contextlib.contextmanager
def the_third_ends(presses: int = 0) -> Iterator[None]:
    """Count ctrl-c and SIGTERM on a thread of its own, and end the process at the third. Python calls handlers on the
    main thread, between two steps of Python code: while a library computes or waits they are not called."""
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
