"""What a long piece of work is handed: what it tells, and where it ends on request."""

from __future__ import annotations

import pytest

from heretic_tui.control import Aborted, Control
from heretic_tui.events import Event, Notice, PhaseStarted, Progress
from heretic_tui.work import Work


def test_work_that_nobody_follows() -> None:
    work = Work()
    work.tell(PhaseStarted(phase="load"))
    work.progress("prompts")(1, 2)
    work.checkpoint()


def test_progress_tells_the_time_left_by_the_pace_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Event] = []
    moments = iter([10.0, 12.0, 16.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(moments))
    report = Work(told.append).progress("prompts")
    report(0, 8)
    report(2, 8)
    report(4, 8)
    assert told == [
        Progress(stage="prompts", done=0, total=8),
        Progress(stage="prompts", done=2, total=8, seconds_left=6.0),
        Progress(stage="prompts", done=4, total=8, seconds_left=6.0),
    ]


def test_of_work_within_work_only_some_kinds_are_told_and_it_ends_with_it() -> None:
    told: list[Event] = []
    control = Control()
    work = Work(told.append, control)
    part = work.part(Progress, Notice)
    part.tell(PhaseStarted(phase="load"))
    part.note("something", "warning")
    assert told == [Notice(text="something", level="warning")]
    control.abort()
    for each in (work, part):
        with pytest.raises(Aborted):
            each.checkpoint()


def test_a_listener_hears_what_is_told_too() -> None:
    told: list[Event] = []
    heard: list[Event] = []
    Work(told.append).heard_by(heard.append).note("something")
    assert told == heard == [Notice(text="something")]
