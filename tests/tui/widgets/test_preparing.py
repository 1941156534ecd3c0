"""The steps before the search: what is left of them, and when they are done."""

from __future__ import annotations

import time

from heretic_tui import events as ev
from heretic_tui.run.earlier import EarlierPhases
from heretic_tui.run.state import RunState
from heretic_tui.tui.glyphs import ASCII, UNICODE
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.preparing import seconds_left, steps_text
from tests.support import fake_run

LOOK = Looks(*("default" for _ in Looks.__dataclass_fields__))
EARLIER = EarlierPhases({"load": 5.0, "batch size": 20.0, "baseline": 60.0, "residuals": 10.0, "directions": 30.0}, 2)


def state_of(*events: ev.Event) -> RunState:
    state = RunState()
    for event in (fake_run.opened(), *events):
        state.fold(event)
    return state


def test_what_is_left_is_that_of_earlier_runs_less_what_has_passed() -> None:
    state = state_of(ev.PhaseStarted(phase="baseline", time=1000.0))
    assert seconds_left(state, EARLIER, 1015.0) == 45 + 10 + 30
    assert seconds_left(state, EARLIER, 1100.0) == 10 + 30, "it takes longer than it did"
    state.fold(ev.Progress(stage="responses", done=1, total=4, seconds_left=90.0))
    assert seconds_left(state, EARLIER, 1015.0) == 90 + 10 + 30, "its own pace tells more"
    words = steps_text(state, EARLIER, 1015.0, LOOK, UNICODE).plain
    assert f"About 2:10 left: ready about {time.strftime('%H:%M', time.localtime(1145))}" in words
    assert "as 2 earlier runs of this model" in words
    assert "15 s of about 1:00" in words


def test_without_earlier_runs_the_end_is_said_not_to_be_known() -> None:
    state = state_of(ev.PhaseStarted(phase="baseline", time=1000.0))
    state.fold(ev.Progress(stage="responses", done=1, total=4, seconds_left=12.0))
    words = steps_text(state, EarlierPhases(), 1015.0, LOOK, UNICODE).plain
    assert "This step: about 12 s left." in words
    assert "not known" in words
    assert "ready" not in words


def test_done_steps_have_their_seconds_and_a_resumed_run_begins_anew() -> None:
    state = state_of(ev.PhaseFinished(phase="load", seconds=4.0), ev.PhaseStarted(phase="residuals", time=0.0))
    lines = steps_text(state, EarlierPhases(), 1.0, LOOK, ASCII).plain.splitlines()
    assert lines[0] == f"+ 1 {'loading the model':30}4.0 s"
    assert lines[1].endswith("not needed")
    assert all(line.isascii() for line in lines)
    state.fold(fake_run.opened())
    assert state.phases == {}
