"""The requests from outside, and the clock that stands still while the engine is paused."""

from __future__ import annotations

import itertools
import time

import pytest

from heretic_tui.control import Control
from heretic_tui.events import Event


def test_a_pause_takes_no_time_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    hours = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(hours))
    control = Control()
    start = control.clock()
    control.pause()

    def resume(event: Event) -> None:
        control.resume()

    control.emit = resume
    control.checkpoint()
    # Hour 0 at the start, paused from 1 to 2, hour 3 at the end.
    assert control.clock() - start == 2
