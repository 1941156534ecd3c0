"""Keys do what they say: none of a dialog reaches the screen beneath, none that is typed ahead is lost, and what the
line of keys shows works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from heretic_tui import events as ev
from heretic_tui.commands import Chat
from heretic_tui.control import Control
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.dialogs import ChoiceDialog, LineDialog, TextDialog
from heretic_tui.tui.screens.folder_dialog import FolderDialog
from heretic_tui.tui.screens.responses import ResponsesScreen
from heretic_tui.tui.widgets.key_bar import KeyBar
from heretic_tui.tui.widgets.message_box import MessageBox
from tests.support import fake_run
from tests.support.screens import drive, make_app, settle, shown


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    for number in (None, *range(13)):
        fake_run.write_responses(path, number, 5)
    return path


def type_at_once(app: HereticApp, *keys: str) -> None:
    """Keys as they come from a terminal where somebody types ahead: all before the first is looked at."""
    names = {"#": "number_sign", "enter": "enter", "escape": "escape"}
    for key in keys:
        name = names.get(key, key)
        app.post_message(events.Key(name, key if len(key) == 1 else "\r" if key == "enter" else None))


async def keys_are_through(pilot: Pilot[Any], app: HereticApp) -> None:
    await pilot.pause()
    while app.keys_wait:
        await pilot.pause()


DIALOGS: dict[str, Callable[[HereticApp], Any]] = {
    "quit": lambda app: app.action_quit(),
    "abort": lambda app: app.action_abort(),
    "more": lambda app: app.action_more(),
    "failure": lambda app: app.tell_failure(ev.RunFailed(text="out of memory")),
    "help": lambda app: app.action_help(),
    "folders": lambda app: app.push_screen(FolderDialog(Path("/"))),
}


@pytest.mark.parametrize("dialog", DIALOGS)
def test_no_key_of_a_dialog_reaches_the_screen_beneath(
    dialog: str, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = fake_run.FakeHost(folder)
    copied: list[str] = []
    app = make_app(tmp_path, host)
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
    monkeypatch.setattr(app, "exit", lambda result=None: None)
    monkeypatch.setattr(app, "start", lambda settings: None)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=4))
        await settle(pilot, app)
        beneath: Any = app.screen

        def looks() -> tuple[object, ...]:
            return str(beneath.query_one("#filter-words").visual), set(beneath.classes), app.view.selected_trial

        before = looks()
        opened: object = None
        for key in [*"12345ecvsroyYSXpntabkjq#/", "space", "tab", "enter"]:
            if app.screen is beneath:
                # A key before this one answered the dialog.
                opening = DIALOGS[dialog](app)
                if opening is not None:
                    await opening
                await pilot.pause()
                opened = app.screen
            assert app.screen is not beneath
            await pilot.press(key)
            assert looks() == before, key
            # To edit the settings is an answer where a run has failed.
            edits = dialog == "failure" and key == "e"
            assert app.current_mode == ("setup" if edits else "trials"), key
            if app.screen is opened:
                continue
            if edits:
                app.switch_mode("trials")
                await pilot.pause()
            while app.screen is not beneath:
                app.pop_screen()
                await pilot.pause()
            host.control = Control()
        assert copied == []

    drive(app, steps)


def test_keys_typed_ahead_go_to_what_they_open(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=13))
        await settle(pilot, app)
        type_at_once(app, "#", "1", "2", "enter", "s", "4", *"hi 3", "enter")
        await keys_are_through(pilot, app)
        assert app.view.selected_trial == 12
        assert app.current_mode == "chat"
        (asked,) = host.commands()
        assert isinstance(asked, Chat)
        assert (asked.trial, asked.turns[-1][1]) == (12, "hi 3")
        type_at_once(app, "escape", "escape", "3", "#")
        app.post_message(events.Paste("11"))
        type_at_once(app, "enter", "e", "escape", "q", "escape", "r")
        await keys_are_through(pilot, app)
        assert app.current_mode == "trials"
        assert app.view.selected_trial == 11
        assert shown(app, "#filter-words").endswith("sorted by refused ▼")

    drive(make_app(tmp_path, host), steps)


def test_a_second_click_on_an_answer_takes_no_further_screen_away(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.press("q")
        dialog = app.screen
        assert isinstance(dialog, ChoiceDialog)
        dialog.answer("stay")
        dialog.answer("stay")
        await pilot.pause()
        assert isinstance(app.screen, ModeScreen)

    drive(make_app(tmp_path, host), steps)


def test_help_is_there_on_every_screen_and_while_typing(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=4, running=False))
        await settle(pilot, app)
        for presses, key in (
            (["g", "enter"], "question_mark"),
            (["escape", "slash"], "f1"),
            (["escape", "4"], "f1"),
            (["escape", "1", "j", "enter"], "f1"),
        ):
            await pilot.press(*presses)
            assert isinstance(app.screen, ResponsesScreen) == (key == "question_mark")
            await pilot.press(key)
            assert isinstance(app.screen, TextDialog), presses
            await pilot.press("f1")
            assert not isinstance(app.screen, TextDialog)

    drive(make_app(tmp_path, host), steps)


def test_the_line_of_keys_shows_what_works_now(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        def keys() -> str:
            app.screen.query_one(KeyBar).show()
            return shown(app, "#key-bar")

        await settle(pilot, app)
        for words in ("export", "responses", "filter", "sort"):
            assert words not in keys(), "there is no trial yet"
        host.push(*fake_run.story(trials=4))
        await settle(pilot, app)
        await pilot.press("G")
        assert "export" not in keys(), "the last trial runs still"
        await pilot.press("g")
        for words in ("e export", "enter responses", "/ filter", "p pause", "q quit"):
            assert words in keys()
        await pilot.press("4")
        for words in ("0-6", "p pause", " q quit", "? help", "esc stop"):
            assert words not in keys(), "it would be typed"
        for words in ("esc leave the line", "F1 help", "^q quit"):
            assert words in keys()
        await pilot.press(*"hello", "enter")
        assert "esc stop" in keys()
        await pilot.press("escape", "escape")
        for words in ("0-6 screens", "p pause", "? help", "q quit", "i write"):
            assert words in keys()
        host.push(ev.PhaseStarted(phase="ready"))
        await settle(pilot, app)
        assert "p pause" not in keys(), "there is nothing to pause"
        await pilot.press("1")
        assert "resume" not in keys(), "there is no earlier run"

    drive(make_app(tmp_path, host), steps, (120, 40))


def test_p_says_what_it_does_and_help_names_no_dead_key(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        async def helped(*presses: str) -> str:
            await pilot.press(*presses)
            assert isinstance(app.screen, TextDialog)
            words = app.screen.text.plain
            await pilot.press("escape")
            return words

        assert host.control is not None
        host.push(*fake_run.story(trials=4, running=False))
        await settle(pilot, app)
        words = await helped("f1")
        assert words.index(" e  ") < words.index("down, j"), "the screen's own keys come first"
        assert "pause the run" in words
        await pilot.press("p")
        assert host.control.paused
        assert "p resume" in shown(app, "#key-bar")
        assert "p pause" not in shown(app, "#key-bar")
        assert "go on with the run" in await helped("f1")
        await pilot.press("p")
        assert not host.control.paused
        assert "Open" not in await helped("2", "f1"), "enter opens nothing there"
        words = await helped("3", "g", "enter", "f1")
        assert "list other prompts" in words
        for dead in ("Setup", "Chat", "Screen after"):
            assert dead not in words, "Responses are left first"

    drive(make_app(tmp_path, host), steps, (80, 24))


def test_without_an_engine_no_key_promises_one_and_what_to_do_is_said(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder, watched=True)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        def keys() -> str:
            app.screen.query_one(KeyBar).show()
            return shown(app, "#key-bar")

        host.push(*fake_run.story(trials=4, running=False))
        await settle(pilot, app)
        await pilot.press("g")
        assert "e export" not in keys()
        await pilot.press("e")
        assert "T takes control" in shown(app, "#export-facts")
        await pilot.press("escape", "4")
        assert "enter send" not in keys()
        assert "T takes control" in shown(app, "#chat-status")
        host.alive = False
        await settle(pilot, app)
        assert "R on Runs (0) resumes it" in shown(app, "#chat-status")
        await pilot.press("escape", "3", "e")
        assert "heretic-tui export run --trial 0" in shown(app, "#export-facts")
        await pilot.press("question_mark")
        assert isinstance(app.screen, TextDialog)
        assert "Abort now" not in app.screen.text.plain

    drive(HereticApp(None, lambda settings: host, host), steps, (120, 40))


def test_quitting_while_an_export_is_written_asks(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        # One that an earlier process did not end is nobody's.
        host.push(
            *fake_run.preparation(), ev.ExportStarted(trial=0, out="/gone"),
            *fake_run.story(trials=4, running=False), ev.PhaseStarted(phase="ready"),
        )  # fmt: skip
        await settle(pilot, app)
        assert app.view.state.export is None
        host.push(ev.ExportStarted(trial=3, out="/there"))
        await settle(pilot, app)
        await pilot.press("q")
        assert isinstance(app.screen, ChoiceDialog)
        assert "Trial 3 is being written to /there" in app.screen.question.text
        await pilot.press("a")

    app = make_app(tmp_path, host)
    drive(app, steps)
    assert app.return_value == "closed"
    assert host.control is not None
    assert host.control.closing


def test_a_handler_that_fails_costs_what_it_was_to_do_and_no_more(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host = fake_run.FakeHost(folder)
    app = make_app(tmp_path, host, strict=False)

    def fail(*arguments: object) -> None:
        raise ValueError("what was typed")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        screen: Any = app.screen
        monkeypatch.setattr(type(screen), "action_sort", fail)
        monkeypatch.setattr(type(screen), "paint", fail)
        monkeypatch.setattr("heretic_tui.tui.screens.trials_order.parse_filter", fail)
        await pilot.press("s", "slash", "x", "escape")
        host.push(*fake_run.trial(3))
        app.tick()
        await pilot.press("plus")
        assert isinstance(app.screen, LineDialog)
        for typed in ("²", "9" * 5000, "٣٤x", "-1"):
            app.screen.query_one(Input).value = typed
            await pilot.press("enter")
            assert isinstance(app.screen, LineDialog)
        await pilot.press("escape", "4", *"still there")
        assert app.screen.query_one(MessageBox).text == "still there"

    drive(app, steps)
    assert not app.return_code
    assert "what was typed" in caplog.text
