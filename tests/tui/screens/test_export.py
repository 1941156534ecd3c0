"""The export dialog: asking for an export, following it, taking it back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from heretic_tui import events as ev
from heretic_tui.commands import Export
from heretic_tui.figures import figures_of_before
from heretic_tui.settings.interface import Interface
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.export import ExportScreen
from tests.support import fake_run
from tests.support.screens import drawn, drive, make_app, settle, shown


def test_an_export_is_asked_for_followed_and_its_figures_shown(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=4, running=False), ev.PhaseStarted(phase="ready"))
        await settle(pilot, app)
        await pilot.press("g", "e")
        assert isinstance(app.screen, ExportScreen)
        assert "deliberately reduced" in shown(app, "#card-text")
        assert "needs about 538 MB" in shown(app, "#export-facts")
        app.screen.query_one("#out", Input).value = str(tmp_path / "there")
        app.screen.query_one("#hub", Input).value = "me/mine"
        app.screen.query_one("#token", Input).value = "hf_secret"
        await pilot.press("ctrl+s")
        (asked,) = host.commands()
        assert isinstance(asked, Export)
        assert (asked.trial, asked.out, asked.kind, asked.hub) == (0, str(tmp_path / "there"), "merged", "me/mine")
        assert "hf_secret" not in repr(asked)
        assert app.screen.query_one("#token", Input).value == ""
        host.push(ev.ExportStarted(trial=0, out=asked.out), ev.Progress(stage="shards written", done=1, total=4))
        await settle(pilot, app)
        assert "shards written: 1 of 4" in shown(app, "#export-facts")
        measured: dict[str, dict[str, object]] = {
            key: {"figures": {"kl_divergence": kl, "refusals": refusals}, "prompts": 100}
            for key, kl, refusals in (("base", 0.0, 91), ("trial", 0.1234, 7), ("exported", 0.1234, 8))
        }
        measured["trial"]["number"] = 0
        result: dict[str, object] = {"figures": [asdict(figure) for figure in figures_of_before()], **measured}
        host.push(ev.ExportFinished(trial=0, out=asked.out, result=result))
        await settle(pilot, app)
        assert "8/100" in shown(app, "#export-facts")
        await pilot.pause()
        facts = app.screen.query_one("#export-facts")
        assert facts.size.height >= facts.virtual_size.height > 4, "a long path must not push the figures out"
        # Once more, as an adapter: what was told of the first is not taken for it, and it can be taken back.
        app.screen.query_one("#out", Input).value = str(tmp_path / "again")
        await pilot.press("ctrl+s")
        assert "waiting" in shown(app, "#export-facts")
        await pilot.press("ctrl+x")
        (second,) = host.commands()
        assert isinstance(second, Export)
        assert host.control is not None
        assert host.control.begin(second).aborting

    drive(make_app(tmp_path, host), steps, (120, 40))


def test_the_dialog_is_drawn_with_ascii_characters_where_only_they_are_known(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=4, running=False))
        await settle(pilot, app)
        await pilot.press("g", "e")
        await pilot.pause()
        assert isinstance(app.screen, ExportScreen)
        text = drawn(app)
        assert text.isascii(), {c for c in text if not c.isascii()}

    drive(make_app(tmp_path, host, interface=Interface(ascii=True)), steps)
