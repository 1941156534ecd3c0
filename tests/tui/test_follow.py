"""Watching a run: what it tells of its past is no news, and keeps the time at which it happened."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from heretic_tui import events as ev
from heretic_tui.calls import Calls
from heretic_tui.report.notify import Notifier
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.other_process import FollowHost
from heretic_tui.tui.widgets.log_panel import LogPanel
from tests.support import fake_run
from tests.support.journals import opened, trial
from tests.support.screens import drive, make_app, settle, told

THEN = 1_500_000_000.0


def test_the_past_of_a_short_run_is_told_with_its_own_time_and_without_bell_or_toast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(tmp_path / "run")
    run.create()
    journal = Journal(run.events)
    past = [
        fake_run.opened(),
        *fake_run.trial(0),
        ev.ExportFinished(trial=0, out="/out", time=THEN),
        ev.Notice(level="error", text="went wrong long ago", time=THEN),
        ev.PhaseStarted(phase="ready"),
    ]
    for event in past:
        journal.append(event)
    calls: list[str] = []
    toasts: list[str] = []
    monkeypatch.setattr(HereticApp, "steer_terminal", lambda self, sequence: calls.append(sequence))
    monkeypatch.setattr(HereticApp, "say", lambda self, text, severity="": toasts.append(text))

    async def go() -> None:
        notifier = Notifier(Calls(osc="off"))
        app = HereticApp(None, lambda settings: fake_run.FakeHost(), FollowHost(run), notifier=notifier)
        async with app.run_test(size=(100, 30)) as pilot:
            app.tick()
            assert app.view.state.finished == 1
            notifier.close()
            assert not calls
            assert not toasts
            await pilot.press("6")
            app.tick()
            lines = app.screen.query_one(LogPanel).lines
            when = time.strftime("%H:%M:%S", time.localtime(THEN))
            assert [line.split()[0] for line in lines if "long ago" in line or "/out" in line] == [when, when]
            # What happens from now on is news.
            journal.append(ev.ExportFinished(trial=0, out="/other"))
            app.tick()
            notifier.close()
            assert calls == ["\x07"]
            assert toasts == ["trial 0 is exported to /other"]

    asyncio.run(go())
    journal.close()


def test_a_search_that_stands_still_is_said_and_calls_once(tmp_path: Path) -> None:
    calls: list[str] = []
    host, notifier = fake_run.FakeHost(), Notifier(Calls(osc="off"))

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        notifier.to_terminal = calls.append
        host.push(opened(100), *trial(0, 0.1, 3))
        for number in range(1, 30):
            host.push(*trial(number, 0.2, 9))
            await settle(pilot, app)
        notifier.close()
        assert any("the front has not moved for 20 trials; trial 0: 3 refused" in text for text in told(app))
        assert calls == ["\x07"]

    drive(make_app(tmp_path, host, notifier=notifier), steps)
