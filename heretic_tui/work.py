"""Progress of a stage as events, with the time left by the pace so far."""

from __future__ import annotations

import time
from collections.abc import Callable

from heretic_tui.events import Emit, Progress


def reporter(emit: Emit, stage: str) -> Callable[[int, int], None]:
    """A function of (done, total) that tells it; the clock starts now."""
    start = time.perf_counter()

    def report(done: int, total: int) -> None:
        left = round((time.perf_counter() - start) / done * (total - done), 1) if done else None
        emit(Progress(stage=stage, done=done, total=total, seconds_left=left))

    return report
