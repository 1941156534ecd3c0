"""Setup: settings, completion, previews, and the earlier runs."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Input

from heretic_tui.demo.settings import MODEL
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.run.record import RunRecord
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.model_files import Device
from heretic_tui.tui.screens.setup_words import model_words
from heretic_tui.tui.widgets.line_table import LineTable
from tests.support import fake_run
from tests.support.screens import drive, make_app, settle, shown


async def edited(pilot: Pilot[Any], app: HereticApp, key: str, text: str) -> str:
    """Go to a setting, type a text in its line, and wait for what is said of it."""
    app.screen.query_one("#settings", LineTable).go_to(key)
    await pilot.press("enter", "ctrl+u", *text)
    return await said(pilot, app)


async def said(pilot: Pilot[Any], app: HereticApp) -> str:
    await pilot.pause()
    await app.workers.wait_for_complete()
    await pilot.pause()
    return shown(app, "#setup-info")


def test_settings_are_checked_as_they_are_typed(tmp_path: Path) -> None:
    started: list[Settings] = []

    def new_host(settings: Settings) -> fake_run.FakeHost:
        started.append(settings)
        return fake_run.FakeHost()

    app = make_app(tmp_path, new_host=new_host)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        table = app.screen.query_one("#settings", LineTable)
        table.go_to("n_trials")
        await pilot.press("enter")
        app.screen.query_one("#editor", Input).value = "0"
        await pilot.pause()
        assert "expected a whole number from 1 to 100,000" in shown(app, "#setup-info")
        await pilot.press("enter")
        assert app.form is not None
        assert app.form.settings.n_trials == 200, "a wrong value is not taken"
        app.screen.query_one("#editor", Input).value = "75"
        await pilot.press("enter")
        assert app.form.settings.n_trials == 75
        row = next(row for row in table.rows if row.key == "n_trials")
        assert (row.cells[0].strip() != "", row.cells[2]) == (True, "75")
        table.go_to("start")
        await pilot.pause()
        assert "--n-trials 75" in shown(app, "#setup-info")
        table.go_to("n_trials")
        await pilot.press("backspace")
        assert app.form.settings.n_trials == 200
        table.go_to("group:Ablation")
        await pilot.press("enter")
        assert any(row.key == "winsorization_quantile" for row in table.rows)
        table.go_to("orthogonalize_direction")
        await pilot.press("enter")
        assert app.form.settings.orthogonalize_direction is False
        await pilot.press("ctrl+s")
        assert started[0].orthogonalize_direction is False
        assert app.current_mode == "trials"

    drive(app, steps)


def test_what_of_a_model_would_be_edited_is_shown_before_it_is_loaded(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        assert app.form is not None
        for model, words in ((MODEL, "editing 20 of 20 matrices"), (tmp_path / "none", "no such model folder")):
            app.form.set("model", str(model))
            await pilot.press("i")
            await app.workers.wait_for_complete()
            await pilot.pause()
            assert words in shown(app, "#setup-info")

    drive(make_app(tmp_path), steps)


def test_a_model_that_cannot_be_there_is_not_said_to_be_on_the_hub(tmp_path: Path) -> None:
    for model, words in (
        (str(tmp_path), "holds no model"),
        (str(tmp_path / "none"), "no such model folder"),
        ("~nobody-of-this-name/x", "no path"),
        (__file__, "a file"),
        ("acme/guarded-8b", "downloaded from the Hub"),
    ):
        assert words in model_words(model, []).plain


def test_prompt_files_are_checked_as_they_are_typed(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("question,number\nWhat is it?,1\nWhy [b]?,2\n", encoding="utf-8")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        assert app.form is not None
        mine, table = str(tmp_path / "mine.csv"), app.screen.query_one("#settings", LineTable)
        assert "no such file" in await edited(pilot, app, "bad_prompts", str(tmp_path / "mine.txt"))
        await pilot.press("escape")
        assert "number" in await edited(pilot, app, "bad_prompts", mine), "there are two columns"
        await pilot.press("escape")
        table.go_to("group:Prompts")
        await pilot.press("enter")
        assert "no column 'other'" in await edited(pilot, app, "bad_prompts.column", "other")
        await pilot.press("escape")
        assert "2 prompts, the first: 'What is it?'" in await edited(pilot, app, "bad_prompts.column", "question")
        await pilot.press("enter")
        table.go_to("bad_prompts")
        assert "2 prompts, the first: 'What is it?'" in await said(pilot, app), "also while nothing is typed"
        assert "Hub" in await edited(pilot, app, "bad_prompts", "someone/data")

    drive(make_app(tmp_path), steps, (120, 40))


def test_a_preview_that_comes_late_is_not_shown_for_another_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = threading.Event()

    def preview(settings: Settings, name: str) -> Text:
        if name == "good_prompts":
            waits.wait(10)
        return Text(f"preview of {name}")

    monkeypatch.setattr("heretic_tui.tui.screens.setup.preview_words", preview)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        table = app.screen.query_one("#settings", LineTable)
        table.go_to("good_prompts")
        await pilot.press("w")
        await asyncio.sleep(0.3)
        table.go_to("bad_prompts")
        await pilot.pause()
        await pilot.press("w")
        waits.set()
        assert await said(pilot, app) == "preview of bad_prompts"

    drive(make_app(tmp_path), steps)


def test_leaving_a_line_takes_what_stands_in_it_unless_it_is_wrong(tmp_path: Path) -> None:
    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        assert app.form is not None
        table, editor = app.screen.query_one("#settings", LineTable), app.screen.query_one("#editor", Input)
        for number, key in enumerate(("enter", "escape", "tab", "down", "up"), start=31):
            table.go_to("n_trials")
            await pilot.press("enter", "ctrl+u", *str(number), key)
            assert app.form.settings.n_trials == number
            assert not editor.display
            assert table.has_focus
        assert table.cursor == "bad_evaluation_prompts", "up went to the line above"
        table.go_to("n_trials")
        await pilot.press("enter", "ctrl+u", "4", "1")
        await pilot.click("#runs")
        assert app.form.settings.n_trials == 41
        assert app.focused is not None
        assert app.focused.id == "runs", "a click leaves the line, and goes where it was made"
        table.focus()
        for key in ("escape", "enter", "tab"):
            await pilot.press("enter", "ctrl+u", "0", key)
            assert app.form.settings.n_trials == 41
            assert editor.display == (key != "escape"), "what is wrong stays to be mended, or goes"
            await pilot.press("escape")
        await pilot.press("enter", "ctrl+u", "4", "2", "ctrl+s")
        assert app.form.settings.n_trials == 42
        assert app.current_mode == "trials", "started with what stood in the line"

    drive(make_app(tmp_path), steps)


def test_tab_completes_models_and_files_of_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "models--acme--guarded-8b").mkdir(parents=True)
    for name in ("harmful_train.csv", "harmful_eval.csv", "harmful.png", ".hidden.csv"):
        (tmp_path / name).touch()
    (tmp_path / "harmless").mkdir()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        editor = app.screen.query_one("#editor", Input)
        await edited(pilot, app, "model", "acm")
        await pilot.press("tab")
        assert editor.value == "acme/guarded-8b"
        await pilot.press("escape")
        await edited(pilot, app, "bad_prompts", f"{tmp_path}/harm")
        await pilot.press("tab", "tab")
        assert editor.value == f"{tmp_path}/harm"
        assert "harmful_eval.csv, harmful_train.csv, harmless/" in shown(app, "#setup-info")
        await pilot.press("f", "tab", "e", "tab")
        assert editor.value == f"{tmp_path}/harmful_eval.csv"
        await pilot.press("escape")
        monkeypatch.chdir(tmp_path)
        await edited(pilot, app, "bad_prompts", "harmful_t")
        await pilot.press("tab")
        assert editor.value == "harmful_train.csv"

    drive(make_app(tmp_path), steps, (120, 40))


def test_the_driver_of_the_gpu_is_asked_once_and_never_on_the_screens_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def devices() -> list[Device]:
        asked.append(threading.get_ident())
        return [Device("GPU of the test", 1 << 40, 1 << 40)]

    monkeypatch.setattr("heretic_tui.tui.screens.setup.devices", devices)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        assert "GPU of the test: 1.1 TB free; fits" in await edited(pilot, app, "model", str(MODEL))
        assert len(asked) == 1
        assert asked[0] != threading.get_ident()

    drive(make_app(tmp_path), steps, (120, 40))


def test_earlier_runs_are_opened_resumed_and_deleted_only_when_confirmed(tmp_path: Path) -> None:
    settings = load_settings({"model": "acme/guarded-8b", "n_trials": 7}, environment=False)
    folder = RunFolder(tmp_path / "runs" / "guarded-8b-1a2b3c4d")
    folder.create()
    folder.save_record(RunRecord(settings=settings.model_dump(mode="json"), model=settings.model))
    journal = Journal(folder.events)
    for event in fake_run.story(trials=3, n_trials=7, running=False):
        journal.append(event)
    journal.close()
    started: list[Settings] = []

    def new_host(settings: Settings) -> fake_run.FakeHost:
        started.append(settings)
        return fake_run.FakeHost()

    app = make_app(tmp_path, new_host=new_host)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await app.workers.wait_for_complete()
        await pilot.pause()
        runs = app.screen.query_one("#runs", LineTable)
        assert [row.key for row in runs.rows] == [folder.name]
        assert runs.rows[0].cells[1] == "3/7"
        runs.focus()
        await pilot.press("D", "escape")
        assert folder.record.exists()
        await pilot.press("enter")
        await settle(pilot, app)
        assert "FOLLOWING" in shown(app, "#top-line")
        assert app.view.state.finished == 3
        await pilot.press("1")
        await app.workers.wait_for_complete()
        app.screen.query_one("#runs").focus()
        await pilot.press("R")
        assert started[0].n_trials == 7
        assert Path(started[0].runs_dir) == tmp_path / "runs"
        assert app.view.host is not None
        app.view.host.alive = False  # type: ignore[misc]
        app.tick()
        await pilot.press("1")
        await app.workers.wait_for_complete()
        app.screen.query_one("#runs").focus()
        await pilot.press("D", "y")
        assert not folder.path.exists()

    drive(app, steps)
