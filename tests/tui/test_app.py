"""The application: one run at a time, how it is paused, left and shown again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.events import Resize
from textual.geometry import Size
from textual.pilot import Pilot
from textual.widgets import Input

from heretic_tui import events as ev
from heretic_tui.commands import MoreTrials
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.run.record import RunRecord
from heretic_tui.settings.schema import Settings
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.dialogs import ChoiceDialog, TextDialog
from heretic_tui.tui.screens.home_text import Key
from heretic_tui.tui.screens.tiny import TinyScreen
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.now_line import NowLine
from tests.support import fake_run
from tests.support.screens import drive, make_app, settle, shown, threads_end, told


def test_leaving_while_a_run_is_active_asks_first(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    app = make_app(tmp_path, host)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        assert host.control is not None
        for in_trial, words in (
            (False, ("stop when the model is ready", "break off this step")),
            (True, ("stop after this trial", "drop the running trials")),
        ):
            host.control.in_trial = in_trial
            await pilot.press("q")
            assert isinstance(app.screen, ChoiceDialog)
            said = " ".join(answer for *_, answer in app.screen.question.answers)
            assert all(word in said for word in words)
            await pilot.press("escape")
        assert app.is_running
        await pilot.press("q", "t")

    drive(app, steps)
    assert app.return_value == "detach"
    assert host.control is not None
    assert host.control.stopping
    assert host.control.closing


def test_pause_stop_abort_and_more_trials(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        assert host.control is not None
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.press("p")
        assert host.control.paused
        assert app.view.state.state == "running", "the engine tells states, nobody else"
        assert "pausing" in shown(app, "#top-line")
        host.push(ev.StateChanged(state="paused"))
        await settle(pilot, app)
        assert "paused" in shown(app, "#top-line")
        assert "pausing" not in shown(app, "#top-line")
        await pilot.press("p")
        assert not host.control.paused
        await pilot.press("X", "escape")
        assert not host.control.aborting
        await pilot.press("X", "y")
        assert host.control.aborting
        await pilot.press("plus")
        app.screen.query_one("#answer", Input).value = "90"
        await pilot.press("enter")
        assert host.commands() == [MoreTrials(90)]

    drive(make_app(tmp_path, host), steps)


def test_when_nothing_runs_nothing_is_paused_stopped_or_aborted(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        assert host.control is not None
        host.push(*fake_run.story(trials=3, running=False), ev.StateChanged(state="stopping"))
        await settle(pilot, app)
        assert "stopping" in shown(app, "#top-line")
        host.control.rest()
        host.push(ev.PhaseStarted(phase="ready"), ev.StateChanged(state="ready"))
        await settle(pilot, app)
        for key, doing in (("p", "pause"), ("S", "stop"), ("X", "abort")):
            await pilot.press(key)
            await settle(pilot, app)
            assert told(app)[-1] == f"Nothing runs: there is nothing to {doing}."
            assert isinstance(app.screen, ModeScreen), "nothing is asked"
        assert (host.control.paused, host.control.stopping, host.control.aborting) == (False, False, False)
        assert "ready" in shown(app, "#top-line")

    drive(make_app(tmp_path, host), steps)


def test_a_failure_is_told_and_can_be_retried(tmp_path: Path, folder: Path) -> None:
    first, second = fake_run.FakeHost(folder), fake_run.FakeHost(folder)
    hosts = [second]
    asked: list[Settings] = []

    def new_host(settings: Settings) -> fake_run.FakeHost:
        asked.append(settings)
        return hosts.pop()

    app = make_app(tmp_path, first, new_host)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        first.push(*fake_run.story(trials=2), ev.RunFailed(text="CUDA out of memory [/x]", traceback="Traceback: here"))
        first.alive = False
        await settle(pilot, app)
        assert isinstance(app.screen, ChoiceDialog)
        await pilot.press("b")
        assert second.started
        assert asked[0].batch_size == 16
        assert app.view.host is second

    drive(app, steps)


def test_a_run_that_is_followed_can_be_looked_at_and_not_changed(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder, watched=True)
    app = HereticApp(None, lambda settings: host, host, timed=False)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        assert "FOLLOWING" in shown(app, "#top-line")
        await pilot.press("p", "S", "X", "plus", "1")
        assert app.current_mode == "trials"
        await pilot.press("4", "h", "i", "enter")
        assert app.view.conversations.turns == []
        await pilot.press("escape", "escape", "3", "q")

    drive(app, steps)
    assert app.return_value == "closed"


def test_help_and_the_palette_know_every_action(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        titles = {command.title: command.help for command in app.get_system_commands(app.screen)}
        for words in ("Pause the run; p again goes on", "Set the total number of trials"):
            assert words in titles
        assert "key e" in [titles[title] for title in titles if title.startswith("Trials: write the selected trial")]
        assert titles["Help"] == "key ?"
        await pilot.press("question_mark")
        assert isinstance(app.screen, TextDialog)
        await pilot.press("escape")
        assert not isinstance(app.screen, TextDialog)

    drive(make_app(tmp_path, host), steps)


def test_a_terminal_that_is_too_small_says_so(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        for size in ((40, 10), (100, 30), (59, 24), (60, 16)) * 3:
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert isinstance(app.screen, TinyScreen) == (size[0] < 60 or size[1] < 16)

    drive(make_app(tmp_path, host), steps)


def test_a_terminal_that_grew_while_another_mode_was_in_view_is_not_said_to_be_small(
    tmp_path: Path, folder: Path
) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.resize_terminal(40, 10)
        await pilot.pause()
        # A key that was pressed just before takes effect now.
        app.switch_mode("log")
        await pilot.pause()
        assert isinstance(app.screen, TinyScreen), "the other mode is covered too"
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert not isinstance(app.screen, TinyScreen)
        app.switch_mode("trials")
        await pilot.pause()
        assert not isinstance(app.screen, TinyScreen)

    drive(make_app(tmp_path, host), steps)


def test_a_tick_while_the_application_is_taken_down(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = fake_run.FakeHost(folder)
    app = make_app(tmp_path, host)
    struck: list[NowLine] = []

    def strike(bar: NowLine) -> None:
        host.push(ev.Notice(text="too late"))
        app.tick()
        struck.append(bar)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        monkeypatch.setattr(NowLine, "on_unmount", strike, raising=False)

    drive(app, steps)
    assert struck


def test_ending_a_run_starts_what_was_asked_for(tmp_path: Path, folder: Path) -> None:
    first, second = fake_run.FakeHost(folder), fake_run.FakeHost(folder)
    app = make_app(tmp_path, first, lambda settings: second)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        first.push(*fake_run.story(trials=2))
        await settle(pilot, app)
        await pilot.press("1", "ctrl+s", "y")
        assert first.control is not None
        assert first.control.aborting
        assert not second.started
        first.alive = False
        await asyncio.sleep(0.3)
        await pilot.pause()
        assert second.started
        assert app.view.host is second

    drive(app, steps)


def test_what_is_asked_for_twice_while_a_run_ends_begins_once(tmp_path: Path, folder: Path) -> None:
    first, begun = fake_run.FakeHost(folder), []

    def new_host(settings: Settings) -> fake_run.FakeHost:
        begun.append(fake_run.FakeHost(folder))
        return begun[-1]

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        first.push(*fake_run.story(trials=2))
        await settle(pilot, app)
        await pilot.press("1", "ctrl+s", "y", "ctrl+s", "y")
        first.alive = False
        while not isinstance(app.screen, ChoiceDialog) and len(begun) < 2:
            await pilot.pause(0.05)
        assert len(begun) == 1, "two engines in one process"
        assert isinstance(app.screen, ChoiceDialog)
        assert app.screen.question.title == "Close the open run?"
        await pilot.press("n")
        assert app.at_work is begun[0]

    drive(make_app(tmp_path, first, new_host), steps)


def test_an_old_run_is_looked_at_while_the_open_one_goes_on(tmp_path: Path, folder: Path) -> None:
    here, old = RunFolder(tmp_path / "runs" / "here"), RunFolder(tmp_path / "runs" / "old")
    for run in (here, old):
        run.create()
        run.save_record(RunRecord(model="acme/guarded-8b"))
    journal = Journal(old.events)
    for event in fake_run.story(trials=3, running=False):
        journal.append(event)
    journal.close()
    host = fake_run.FakeHost(here.path)
    app = make_app(tmp_path, host)

    async def listed(pilot: Pilot[Any], app: HereticApp) -> None:
        app.screen.look_soon()  # type: ignore[attr-defined]
        for _ in range(2):
            app.tick()
            await threads_end(app)
        await settle(pilot, app)

    async def open_run(pilot: Pilot[Any], app: HereticApp, run: RunFolder) -> None:
        await pilot.press("0")
        await listed(pilot, app)
        table = app.screen.query_one("#run-table", LineTable)
        assert table.go_to(Key(run=run.name))
        await pilot.press("enter")
        await settle(pilot, app)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        assert host.control is not None
        host.push(*fake_run.story(trials=5))
        await settle(pilot, app)
        await pilot.press("g", "j", "j")
        await open_run(pilot, app, old)
        assert app.view.state.finished == 3
        assert "read only" in shown(app, "#top-line"), "nothing is at work there that could be followed"
        await pilot.press("p", "X")
        assert not any((host.control.paused, host.control.aborting, host.control.closing)), "it goes on"
        host.push(*fake_run.trial(6))
        await settle(pilot, app)
        assert app.view.state.finished == 3
        await open_run(pilot, app, here)
        assert app.view.host is host
        assert (app.view.state.finished, app.view.selected_trial) == (6, 2), (
            "what happened meanwhile, and where one was"
        )
        await open_run(pilot, app, old)
        await pilot.press("0")
        await listed(pilot, app)
        await pilot.press("q")
        assert app.view.host is host
        assert isinstance(app.screen, ChoiceDialog), "it is asked of the run that would be cut off"
        await pilot.press("t")

    drive(app, steps)
    assert host.control is not None
    assert host.control.stopping


def test_of_two_sizes_that_wait_at_a_time_the_latter_stays(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layout of a screen tells it a size that is new once more, behind what waits already."""
    host = fake_run.FakeHost(folder)
    laid_out: list[Size] = []

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        screen, laying_out = app.screen, app.screen._screen_resized

        def resized(size: Size) -> None:
            laid_out.append(size)
            if len(laid_out) < 10:
                laying_out(size)

        monkeypatch.setattr(screen, "_screen_resized", resized)
        for size in (Size(70, 20), Size(100, 30)):
            screen.post_message(Resize(size, size))
            # What waits between them keeps them from being taken for one.
            screen.call_later(lambda: None)
        for _ in range(10):
            await pilot.pause()
        assert screen.size == (100, 30)

    drive(make_app(tmp_path, host), steps)
    assert len(laid_out) <= 2, "a screen is laid out once and once more"
