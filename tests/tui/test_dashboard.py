"""The dashboard over the real engine: Setup, search, chat and export in one application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from heretic_tui import events as ev
from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.settings.form import SettingsForm
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.host import ThreadHost
from heretic_tui.tui.other_process import FollowHost


def test_the_demo_from_setup_to_export_in_the_application(tmp_path: Path) -> None:
    runs_dir = tmp_path / "runs"
    form = SettingsForm(
        {"runs_dir": str(runs_dir), "seed": 0, "n_trials": 12, "n_startup_trials": 8}, base=settings_of_the_demo()
    )
    app = HereticApp(form, ThreadHost)

    async def until(pilot: Pilot[Any], true: Callable[[], bool]) -> None:
        async with asyncio.timeout(300):
            while not true():
                await pilot.pause(0.05)

    async def go() -> None:
        async with app.run_test(size=(100, 30)) as pilot:
            await pilot.pause()
            await pilot.press("ctrl+s")
            # A chat asked for during the search waits for a trial's end, and the search goes on.
            await until(pilot, lambda: len(app.view.state.front()) > 0)
            await pilot.press("4", "ctrl+t", "b")
            await pilot.press(*"What is a dog?", "enter")
            await until(pilot, lambda: bool(app.view.conversations.turns) and not app.view.conversations.open)
            (answer,) = app.view.conversations.turns[0].answers
            assert answer.reason == "end"
            assert answer.who.trial is None
            assert "dog" in answer.text or "pet" in answer.text
            await pilot.press("escape", "3")
            await until(pilot, lambda: app.view.state.phase == "ready")
            assert app.view.state.finished == 12
            best = app.view.state.front()[0].number
            await pilot.press("number_sign", *str(best), "enter", "e")
            # Merged, LoRA, DoRA.
            await pilot.press("j", "j")
            out = Path(app.screen.query_one("#out", Input).value)
            assert out == app.view.folder.path / "exports" / f"trial-{best}-dora"  # type: ignore[union-attr]
            await pilot.press("ctrl+s")
            await until(pilot, lambda: isinstance(app.view.state.export, ev.ExportFinished))
            await pilot.press("q")
        assert app.view.host is not None
        app.view.host.join()

    asyncio.run(go())
    record = json.loads((next(runs_dir.iterdir()) / "exports").glob("*/reproduce.json").__next__().read_text())
    assert record["exported"]["figures"]["refusals"] == record["trial"]["figures"]["refusals"]
    # Whoever looks at the run later sees the same.
    assert app.view.folder is not None
    state = app.view.state
    events = FollowHost(app.view.folder).take()
    # One that was screened, and decoded later, ends twice.
    ended = {event.number for event in events if isinstance(event, ev.TrialFinished)}
    assert len(ended) == state.finished == 12
