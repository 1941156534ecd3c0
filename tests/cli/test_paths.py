"""Paths that people type: every one is a path or one line that says why it is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import ModalScreen
from textual.widgets import Input

from heretic_tui import events as ev
from heretic_tui.cli.main import run_command
from heretic_tui.errors import UsageError
from heretic_tui.files import user_path
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.model_files import completions, model_facts
from heretic_tui.tui.screens.export import ExportScreen
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.message_box import MessageBox
from tests.support import fake_run
from tests.support.screens import drive, make_app, settle, shown, threads_end

NO_PATHS = ["~n", "~no-such-user/model", "a" * 300, "/" + "b/" * 3000, "/tmp/x\0y", "/tmp/\ud800", "~\0"]


@pytest.mark.parametrize("typed", NO_PATHS, ids=range(len(NO_PATHS)))
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


CONFIGS = ["[1]", "{", "[" * 100_000, '{"architectures": 7, "num_hidden_layers": "many"}']


@pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))
def test_what_a_config_holds_is_no_matter_for_what_is_shown_of_a_model(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    facts = model_facts(str(tmp_path))
    assert facts is None or facts.layers is None


def test_no_path_that_is_typed_brings_a_screen_down(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=4, running=False))
        await settle(pilot, app)
        await pilot.press("g", "e")
        assert isinstance(app.screen, ExportScreen)
        for typed in NO_PATHS:
            app.screen.query_one("#out", Input).value = typed
            await pilot.press("ctrl+s")
            assert host.commands() == []
            assert "is no path" in shown(app, "#export-facts")
        await pilot.press("1")
        app.screen.query_one("#settings", LineTable).go_to("model")
        await pilot.press("enter")
        for typed in NO_PATHS:
            app.screen.query_one("#editor", Input).value = typed
            await pilot.pause()
        app.screen.query_one("#editor", Input).value = ""
        await pilot.press(*"~n", "enter")
        assert app.form is not None
        assert app.form.settings.model == "~n"
        app.form.set("runs_dir", "~n")
        await pilot.press("2", "1")
        await threads_end(app)
        assert app.is_running

    drive(make_app(tmp_path, host), steps)


HOSTILE = ["~n", "/tmp/x\0y", "/tmp/\ud800", "²", "9" * 5000, "[/b] \x1b[2J", "refusals<=²", "{" * 3000]


def test_no_text_that_is_typed_anywhere_brings_the_screen_down(tmp_path: Path) -> None:
    """Every line that can be typed in, every hostile text; what a handler fails of is raised."""
    folder = tmp_path / "run"
    folder.mkdir()
    host = fake_run.FakeHost(folder)

    async def fill(pilot: Pilot[Any], app: HereticApp, *opening: str) -> None:
        """Open what has lines to type in, and put everything into each."""
        beneath = app.screen
        for text in HOSTILE:
            if not any(box.display for box in app.screen.query(Input)):
                await pilot.press(*opening)
            for box in app.screen.query(Input):
                box.value = text
                await box.action_submit()
            await pilot.pause()
        while isinstance(app.screen, ModalScreen) and app.screen is not beneath:
            app.pop_screen()
            await pilot.pause()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=4), ev.PhaseStarted(phase="ready"))
        await settle(pilot, app)
        await fill(pilot, app, "slash")
        await pilot.press("escape")
        await fill(pilot, app, "number_sign")
        await fill(pilot, app, "plus")
        await pilot.press("escape", "g")
        await fill(pilot, app, "2", "c")
        await pilot.press("3", "g", "c")
        for text in HOSTILE:
            app.screen.query_one(MessageBox).set_text(text)
            app.screen.query_one(MessageBox).action_submit()
            await pilot.pause()
            app.view.stop_answers()
        app.screen.query_one(MessageBox).set_text("x")
        await pilot.press("enter")
        await fill(pilot, app, "ctrl+s")
        await fill(pilot, app, "ctrl+o")
        assert app.is_running

    drive(make_app(tmp_path, host), steps)
