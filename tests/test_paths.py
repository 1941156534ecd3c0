"""Paths that people type: every one is a path or one line that says why it is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake
import pytest
from test_screens import drive, make_app, settle, shown
from textual.pilot import Pilot
from textual.widgets import Input

from heretic_tui.cli import run_command
from heretic_tui.errors import UsageError
from heretic_tui.runtime.files import user_path
from heretic_tui.runtime.model_files import completions, model_facts
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.export import ExportScreen
from heretic_tui.tui.widgets.line_table import LineTable

NO_PATHS = ["~n", "~no-such-user/model", "a" * 300, "/" + "b/" * 3000, "/tmp/x\0y", "/tmp/\ud800", "~\0"]


@pytest.mark.parametrize("typed", NO_PATHS)
def test_what_can_be_no_path_is_told_in_one_short_line(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError) as told:
        user_path(typed)
    line = str(told.value)
    assert len(line) < 250
    assert line.isprintable()
    assert completions(typed) == []
    assert model_facts(typed) is None
    assert run_command(["runs", "--runs-dir", typed]) == 2
    assert run_command(["show", typed]) == 2
    assert run_command(["export", "x", "--trial", "1", typed]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_a_path_may_lie_there_or_not(tmp_path: Path) -> None:
    assert user_path(str(tmp_path / "not there" / "at all")) == tmp_path / "not there" / "at all"
    (tmp_path / "file").touch()
    assert not user_path(str(tmp_path / "file" / "beneath")).exists()
    assert user_path("~") == Path.home()
    assert user_path("acme/guarded-8b") == Path("acme/guarded-8b")


@pytest.mark.parametrize("config", ["[1]", "{", "[" * 100_000, '{"architectures": 7, "num_hidden_layers": "many"}'])
def test_what_a_config_holds_is_no_matter_for_what_is_shown_of_a_model(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    facts = model_facts(str(tmp_path))
    assert facts is None or facts.layers is None


def test_no_path_that_is_typed_brings_a_screen_down(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    host = fake.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake.story(trials=4, running=False))
        await settle(pilot, app)
        await pilot.press("g", "e")
        assert isinstance(app.screen, ExportScreen)
        for typed in NO_PATHS:
            app.screen.query_one("#out", Input).value = typed
            await pilot.press("ctrl+s")
            assert host.commands() == []
            assert "is no path" in shown(app, "#export-facts")
        await pilot.press("escape", "1")
        app.screen.query_one("#settings", LineTable).go_to("model")
        await pilot.press("enter")
        for typed in NO_PATHS:
            app.screen.query_one("#editor", Input).value = typed
            await pilot.pause()
        app.screen.query_one("#editor", Input).value = ""
        await pilot.press(*"~n", "enter")
        assert app.draft is not None
        assert app.draft.settings.model == "~n"
        app.draft.set("runs_dir", "~n")
        await pilot.press("2", "1")
        await app.workers.wait_for_complete()
        assert app.is_running

    drive(make_app(tmp_path, host), steps)
