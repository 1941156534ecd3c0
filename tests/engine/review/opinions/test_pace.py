"""When an endpoint is asked again: by a clock that passes as it is waited for."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest

from heretic_tui.engine.review.opinions.pace import TRIES, Ended, Pace, asked_to_wait

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Clock:
    """Time that passes by waiting alone."""

    def __init__(self) -> None:
        self.now = 100.0

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


def test_waits_double_up_to_a_limit() -> None:
    clock = Clock()
    pace = Pace(clock.wait, lambda: clock.now)
    waited = []
    for failures in range(1, 9):
        before = clock.now
        pace.rest(failures)
        waited.append(clock.now - before)
    for seconds, most in zip(waited, [1, 2, 4, 8, 16, 30, 30, 30], strict=True):
        assert most / 2 <= seconds <= most
    assert TRIES > 3


def test_a_hold_is_for_all_and_the_longest_counts() -> None:
    clock = Clock()
    pace = Pace(clock.wait, lambda: clock.now)
    pace.come()
    assert clock.now == 100.0
    pace.hold(7.0)
    pace.hold(3.0)
    pace.come()
    assert clock.now == 107.0
    pace.come()
    assert clock.now == 107.0


def test_a_hold_that_grows_while_it_is_waited_for_is_waited_for() -> None:
    clock = Clock()

    def wait(seconds: float) -> bool:
        clock.now += seconds
        if clock.now == 105.0:
            pace.hold(20.0)
        return False

    pace = Pace(wait, lambda: clock.now)
    pace.hold(5.0)
    pace.come()
    assert clock.now == 125.0


def test_work_that_was_dropped_is_waited_for_no_more() -> None:
    ended = threading.Event()
    ended.set()
    pace = Pace(ended.wait)
    pace.hold(3600.0)
    with pytest.raises(Ended):
        pace.come()
    with pytest.raises(Ended):
        pace.rest(8)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("nan", None),
        ("1e9", None),
        ("٣", None),
        ("9" * 5000, None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
        ("Sun, 01 Mar 99999999999999999999 12:00:30 GMT", None),
    ],
)
def test_what_a_retry_after_header_asks_for(header: str | None, seconds: float | None) -> None:
    assert asked_to_wait(header, NOW) == seconds
