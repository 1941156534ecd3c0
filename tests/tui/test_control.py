"""Who controls the run in view: what the screen says of it, and what its keys do then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.control import Control
from heretic_tui.run.attach.client import ControlNews
from heretic_tui.run.folder import RunFolder
from heretic_tui.tui import messages
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.conversation import Who
from heretic_tui.tui.host import ThreadHost
from heretic_tui.tui.other_process import AttachHost
from tests.support import fake_run
from tests.support.attached import Screen, ServedRun, served, until
from tests.support.screens import drawn, drive, make_app, settle


class TakenOver(fake_run.FakeHost):
    """A run whose control can be had by asking."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.own = self.control
        self.asked: list[bool] = []

    def lose(self, to: str) -> None:
        self.control, self.controller = None, to
        self.news.append(ControlNews("lost", to))

    def take_control(self, over: bool) -> None:
        self.asked.append(over)
        self.control, self.controller = self.own, None
        self.news.append(ControlNews("gained", "This screen controls the run again."))


async def shows(pilot: Pilot[Any], app: HereticApp, wanted: Callable[[], object]) -> None:
    for _ in range(2000):
        if wanted():
            return
        await settle(pilot, app)
    pytest.fail(f"it did not come to that:\n{drawn(app)}")


def test_a_screen_that_was_taken_over_watches_and_can_take_control_back(tmp_path: Path) -> None:
    host = TakenOver(tmp_path)
    host.push(*fake_run.story(trials=4))
    app = make_app(tmp_path, host)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        host.lose("pts/7 (process 12)")
        await settle(pilot, app)
        assert "pts/7 (process 12) controls the run now" in drawn(app)
        assert "pts/7 controls  " in drawn(app)
        assert isinstance(host.own, Control)
        for key in ("p", "S", "X", "plus"):
            await pilot.press(key)
            await settle(pilot, app)
        assert not host.own.paused
        assert not host.own.stopping
        assert not host.own.aborting
        await pilot.press("T")
        await settle(pilot, app)
        assert "Take over?" in drawn(app)
        await pilot.press("w")
        assert not host.asked
        await pilot.press("T")
        await pilot.pause()
        await pilot.press("y")
        assert host.asked == [True]
        await settle(pilot, app)
        assert "This screen controls the run again" in drawn(app)
        await pilot.press("p")
        assert host.own.paused

    drive(app, steps, size=(120, 40))


def test_answers_that_wait_end_with_the_connection(tmp_path: Path) -> None:
    host = TakenOver(tmp_path)
    host.push(*fake_run.story(trials=4, running=False), ev.PhaseStarted(phase="ready"))
    app = make_app(tmp_path, host)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await settle(pilot, app)
        app.view.conversations.ask("hello", [Who(0)])
        host.news.append(ControlNews("ended", "The run's process closed the connection."))
        await settle(pilot, app)
        assert "closed the connection" in drawn(app)
        (answer,) = app.view.conversations.turns[0].answers
        assert answer.reason == "failed"

    drive(app, steps, size=(120, 40))


def test_what_the_engine_of_a_screen_does_is_watched_and_taken_over_from_elsewhere(tmp_path: Path) -> None:
    """The real host with the real server; a session's part is played."""
    run = ServedRun(tmp_path / "run")

    class Played(ThreadHost):
        def run_session(self) -> None:
            self.folder = run.folder
            with self.served(run.folder, lambda: run.journal.records) as server:
                for event in fake_run.story(trials=3):
                    run.journal.append(event)
                    self.hear(event)
                assert server.screen
                while not self.engine.closing:
                    self.engine.wait_command()
            self.outcome = "done"

    host = Played(fake_run.FakeHost().settings)
    app = make_app(tmp_path, host)  # type: ignore[arg-type]

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await shows(pilot, app, lambda: len(app.view.state.trials) == 4)
        other = Screen(run.folder)
        other.take_control()
        assert other.news == ["held"]
        assert "process" in other.texts[0]
        other.take_control(over=True)
        await shows(pilot, app, lambda: "this screen only watches" in drawn(app))
        other.control.pause()
        until(lambda: host.engine.paused)
        await pilot.press("T")
        await pilot.pause()
        await pilot.press("y")
        await shows(pilot, app, lambda: app.view.control is host.engine)
        other.until(lambda: "lost" in other.news)
        other.take_control(over=True)
        other.attachment.leave()
        await shows(pilot, app, lambda: host.controller is None and app.view.control is host.engine)
        host.engine.close()

    drive(app, steps, size=(120, 40))
    host.join()
    run.close()


def test_a_run_is_attached_to_from_an_open_screen(tmp_path: Path) -> None:
    app = make_app(tmp_path, fake_run.FakeHost(tmp_path / "none"))
    with served(tmp_path / "run") as run:
        run.tell(*fake_run.story(trials=3))
        other = Screen(run.folder)
        other.take_control()

        async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
            app.post_message(messages.AttachRun(run.folder))
            await shows(pilot, app, lambda: "Take over?" in drawn(app))
            await pilot.press("y")
            await shows(pilot, app, lambda: app.view.control is not None)
            assert isinstance(app.view.host, AttachHost)
            other.until(lambda: "lost" in other.news)
            await pilot.press("p")
            until(lambda: run.control.paused)
            # It stays attached while another run is looked at.
            (tmp_path / "old").mkdir()
            app.post_message(messages.ShowRun(RunFolder(tmp_path / "old")))
            await shows(pilot, app, lambda: not app.view.is_of(run.folder))
            assert run.server.controller
            app.post_message(messages.AttachRun(run.folder))
            await shows(pilot, app, lambda: app.view.is_of(run.folder) and app.view.control)

        drive(app, steps, size=(120, 40))


def test_a_run_that_cannot_be_attached_to_is_a_line(tmp_path: Path) -> None:
    app = make_app(tmp_path, fake_run.FakeHost(tmp_path))

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        app.post_message(messages.AttachRun(RunFolder(tmp_path / "old")))
        await shows(pilot, app, lambda: "run old is not running" in " ".join(drawn(app).split()))
        assert app.view.control is not None, "the run in view stays"

    drive(app, steps, size=(160, 40))
