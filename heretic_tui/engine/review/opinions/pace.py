"""When an endpoint that failed is asked again: after waits that double, or when it says itself (Retry-After)."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# So often one thing is asked before it is given up.
TRIES = 6
# Seconds before the second try; each wait is twice the one before.
_FIRST, _LONGEST = 1.0, 30.0
# Seconds that an endpoint may ask for. One that wants more is not waited for.
LONGEST_HOLD = 600.0


class Ended(Exception):
    """The work was dropped while an answer was waited for."""


class Pace:
    """Holds all that ask the same endpoint back while it wants a rest.

    Args:
        wait: waits so many seconds, and returns whether the work was dropped meanwhile.
        clock: seconds, from an arbitrary moment on.
    """

    def __init__(self, wait: Callable[[float], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._wait, self._clock = wait, clock
        self._lock = threading.Lock()
        self._not_before = clock()

    def come(self) -> None:
        """Returns when it is time to ask.

        Raises:
            Ended: when the work was dropped.
        """
        while True:
            # Asked once even where there is nothing to wait for: the work may be dropped.
            left = max(0.0, self._not_before - self._clock())
            if self._wait(left):
                raise Ended
            if not left or self._clock() >= self._not_before:
                return

    def hold(self, seconds: float) -> None:
        """Nobody asks for so many seconds."""
        with self._lock:
            self._not_before = max(self._not_before, self._clock() + seconds)

    def rest(self, failures: int) -> None:
        """Wait after so many failures in a row. Those that failed together do not come back together.

        Raises:
            Ended: when the work was dropped.
        """
        seconds = min(_LONGEST, _FIRST * 2 ** (failures - 1))
        if self._wait(seconds * random.uniform(0.5, 1.0)):
            raise Ended


def asked_to_wait(header: str | None, now: datetime | None = None) -> float | None:
    """The seconds that a Retry-After header asks for, given as such or as a date; None where it says nothing that can
    be understood."""
    text = (header or "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
