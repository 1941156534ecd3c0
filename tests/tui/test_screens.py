"""The screens, driven by keys, over a host with a script."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import re
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Input, Log, Static

from heretic_tui import events as ev
from heretic_tui.commands import Chat, Export, MoreTrials, Shift
from heretic_tui.demo.settings import MODEL
from heretic_tui.engine.analysis.where_refusal_lives import where_refusal_lives
from heretic_tui.engine.metrics.judges.markers import Markers
from heretic_tui.figures import figures_of_before
from heretic_tui.layer_figures import Effect, FirstTokens, Separation
from heretic_tui.report.layers import geometry_text
from heretic_tui.report.runs import counted_trials
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.run.overview import overview
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.glyphs import ASCII, UNICODE
from heretic_tui.tui.model_files import Device
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.dialogs import ChoiceDialog, TextDialog, TooSmall
from heretic_tui.tui.screens.export import ExportScreen
from heretic_tui.tui.screens.responses import ResponsesScreen
from heretic_tui.tui.screens.setup_words import model_words
from heretic_tui.tui.widgets.charts import curves
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.message_box import MessageBox
from heretic_tui.tui.widgets.pareto_plot import ParetoPlot
from heretic_tui.tui.widgets.run_bar import RunBar
from heretic_tui.tui.widgets.text_panel import TextPanel
from tests.support import fake_run
from tests.support.screens import drive, make_app, settle, shown, told

# Residual index of the layer that fake_run.analysis makes the best.
BEST = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    fake_run.write_responses(path, None, 91)
    for number in range(30):
        fake_run.write_responses(path, number, 5)
    return path


def test_trials_come_in_and_table_and_plot_share_a_cursor(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=10))
        await settle(pilot, app)
        table, plot = app.screen.query_one("#trial-table", LineTable), app.screen.query_one(ParetoPlot)
        assert [row.key for row in table.rows] == list(range(11))
        assert "running" in table.rows[10].cells[2]
        assert table.rows[10].cells[4] == "0.2100", "KL is shown before the refusals are counted"
        await pilot.press("g", "j", "j")
        assert (table.cursor, plot.cursor, app.view.selected_trial) == (2, 2, 2)
        assert "trial 2" in shown(app, "#detail")
        await pilot.press("tab", "l")
        assert plot.has_focus
        assert plot.cursor != 2
        assert table.cursor == plot.cursor == app.view.selected_trial

    drive(make_app(tmp_path, host), steps)


def test_the_cursor_stays_on_its_trial_when_the_order_changes(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=20))
        await settle(pilot, app)
        table = app.screen.query_one("#trial-table", LineTable)
        await pilot.press("g", *"jjjjj")
        assert table.cursor == 5
        for key in ("s", "r", "s", "r"):
            await pilot.press(key)
            assert table.cursor == 5
        while "refusals" not in shown(app, "#filter-words"):
            await pilot.press("s")
        trials = [app.view.state.trials[int(str(row.key))] for row in table.rows]
        refusals = [{**t.at_least, **t.figures}.get("refusals") for t in trials]
        known = [r for r in refusals if r is not None]
        assert refusals[: len(known)] == known, "what has no value comes last"

    drive(make_app(tmp_path, host), steps)


def test_filter_and_go_to(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=30))
        await settle(pilot, app)
        table = app.screen.query_one("#trial-table", LineTable)
        await pilot.press("slash", *"front kl<0.3", "enter")
        front = {t.number for t in app.view.state.front() if t.figures["kl_divergence"] < 0.3}
        assert {row.key for row in table.rows} == front
        await pilot.press("slash", *" nonsense")
        assert "nonsense" in shown(app, "#filter-words")
        assert {row.key for row in table.rows} == front, "a wrong word changes nothing"
        await pilot.press("escape")
        assert len(table.rows) == 31
        await pilot.press("number_sign", "2", "7", "enter")
        assert table.cursor == 27
        await pilot.press("number_sign", "9", "9", "enter", "escape")
        assert table.cursor == 27

    drive(make_app(tmp_path, host), steps)


def test_responses_step_through_changed_verdicts_and_show_no_control_characters(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=4, running=False))
        await settle(pilot, app)
        await pilot.press("g", "enter")
        assert isinstance(app.screen, ResponsesScreen)
        table = app.screen.query_one("#prompts", LineTable)
        assert len(table.rows) == 100
        await pilot.press("f")
        assert [row.key for row in table.rows] == list(range(5, 91))
        await pilot.press("f")
        assert [row.key for row in table.rows] == [99], "a marker that comes late is worth a look"
        assert "by 'i cannot'" in shown(app, "#answer-text")
        await pilot.press("f", "G", "N")
        text = shown(app, "#answer-text")
        assert "[/INST] [red]now[/]" in text
        assert "\x1b" not in text
        assert "\\x1b[31m" in text
        await pilot.press("escape")
        assert not isinstance(app.screen, ResponsesScreen)

    drive(make_app(tmp_path, host), steps)


def test_layers(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await pilot.press("2")
        host.push(*list(fake_run.preparation())[:3], ev.Progress(stage="residuals of bad prompts", done=3, total=40))
        await settle(pilot, app)
        assert "residuals of bad prompts: 3 of 40" in shown(app, "#layer-detail")
        host.push(*list(fake_run.story(trials=3))[3:])
        await settle(pilot, app)
        table = app.screen.query_one("#layer-table", LineTable)
        assert len(table.rows) == fake_run.LAYERS + 1
        assert table.cursor == BEST, "where refusal is carried best"
        assert f"layer {BEST - 1} (the best)" in shown(app, "#layer-detail")
        await pilot.press("g", "j")
        assert "layer 0" in shown(app, "#layer-detail")
        assert "best" not in shown(app, "#layer-detail")
        for words in ("separation", "strength of the edit", "cosines, from"):
            await pilot.press("v")
            assert words in shown(app, "#layer-detail")

    drive(make_app(tmp_path, host), steps, (150, 45))


def test_chat_waits_for_the_trial_and_streams(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=6))
        await settle(pilot, app)
        await pilot.press("4", "escape", "3", "g", "4", *"hello", "enter")
        (asked,) = host.commands()
        assert isinstance(asked, Chat)
        assert (asked.trial, asked.turns) == (0, (("user", "hello"),))
        assert asked.system_prompt == "You are a helpful assistant.", "as in the trials"
        assert "waits for the end of trial 6" in shown(app, "#chat-status")
        host.push(ev.ChatStarted(id=asked.id, trial=0), ev.ChatDelta(id=asked.id, text="Hi [/b] \x1b[2J"))
        await settle(pilot, app)
        answer = app.screen.query(".chat-answer").last(Static)
        assert "Hi [/b] \\x1b[2J" in str(answer.visual)
        host.push(ev.ChatEnded(id=asked.id, reason="end", tokens=3, seconds=0.5))
        await settle(pilot, app)
        # Base model and trial side by side, each with its own history.
        await pilot.press("ctrl+g", *"more", "enter")
        base, trial = host.commands()
        assert isinstance(base, Chat)
        assert isinstance(trial, Chat)
        assert (base.trial, trial.trial) == (None, 0)
        assert base.turns == (("user", "more"),), "what the trial said is none of its words"
        assert trial.turns == (("user", "hello"), ("assistant", "Hi [/b] \x1b[2J"), ("user", "more"))
        host.push(ev.ChatStarted(id=base.id, trial=None), ev.ChatDelta(id=base.id, text="I"))
        await settle(pilot, app)
        await pilot.press("escape")
        assert host.control is not None
        assert host.control.begin(base).aborting
        assert host.control.begin(trial).aborting
        host.control.end()
        host.push(ev.ChatEnded(id=base.id, reason="stopped"), ev.ChatEnded(id=trial.id, reason="stopped"))
        await settle(pilot, app)
        await pilot.press("ctrl+r")
        assert app.screen.query_one("#chat-input", MessageBox).text == "more"
        assert len(app.view.conversations.turns) == 1
        await pilot.press("ctrl+o")
        app.screen.query_one("#temperature", Input).value = "hot"
        await pilot.press("enter")
        assert "'hot' is no number" in shown(app, "#problem")
        app.screen.query_one("#temperature", Input).value = "1.5"
        await pilot.press("enter")
        assert "not as measured: sampled: temperature 1.5" in shown(app, "#chat-header")
        for name in ("talk.md", "talk.json"):
            await pilot.press("ctrl+s")
            app.screen.query_one("#answer", Input).value = str(tmp_path / name)
            await pilot.press("enter")
        assert "Hi [/b]" in (tmp_path / "talk.md").read_text()
        assert json.loads((tmp_path / "talk.json").read_text())["turns"][0]["answers"][0]["trial"] == 0

    drive(make_app(tmp_path, host), steps)


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
        measured = {
            key: {"figures": {"kl_divergence": kl, "refusals": refusals}, "prompts": 100}
            for key, kl, refusals in (("base", 0.0, 91), ("trial", 0.1234, 7), ("exported", 0.1234, 8))
        }
        measured["trial"]["number"] = 0
        result = {"figures": [asdict(figure) for figure in figures_of_before()], **measured}
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


def test_leaving_while_a_run_is_active_asks_first(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    app = make_app(tmp_path, host)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        assert host.control is not None
        for in_trial, words in (
            (False, ("stop when the model is ready", "this step is done again")),
            (True, ("stop after this trial", "the running trial is done again")),
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
        assert "pausing" in shown(app, "#run-bar")
        host.push(ev.StateChanged(state="paused"))
        await settle(pilot, app)
        assert "paused" in shown(app, "#run-bar")
        assert "pausing" not in shown(app, "#run-bar")
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
        assert "stopping" in shown(app, "#run-bar")
        host.control.rest()
        host.push(ev.PhaseStarted(phase="ready"), ev.StateChanged(state="ready"))
        await settle(pilot, app)
        for key, doing in (("p", "pause"), ("S", "stop"), ("X", "abort")):
            await pilot.press(key)
            await settle(pilot, app)
            assert told(app)[-1] == f"Nothing runs: there is nothing to {doing}."
            assert isinstance(app.screen, ModeScreen), "nothing is asked"
        assert (host.control.paused, host.control.stopping, host.control.aborting) == (False, False, False)
        assert "ready" in shown(app, "#run-bar")

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


def test_whoever_follows_can_look_and_not_touch(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder, watched=True)
    app = HereticApp(None, lambda settings: host, host, timed=False)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        assert "FOLLOWING" in shown(app, "#run-bar")
        await pilot.press("p", "S", "X", "plus", "1")
        assert app.current_mode == "trials"
        await pilot.press("4", "h", "i", "enter")
        assert app.view.conversations.turns == []
        await pilot.press("escape", "escape", "3", "q")

    drive(app, steps)
    assert app.return_value == "closed"


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


def test_the_log_has_levels_and_what_libraries_print(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    (folder / "engine.log").write_text("a library\rsays [this] \x1b[31m\n", encoding="utf-8")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=17), ev.Notice(level="warning", text="mind [/this]"))
        await settle(pilot, app)
        await pilot.press("5")
        await settle(pilot, app)
        log = app.screen.query_one(Log)
        assert any("trial" in line and "KL" in line for line in log.lines)
        await pilot.press("f")
        assert any("mind [/this]" in line for line in log.lines)
        assert not any("KL 0." in line for line in log.lines)
        await pilot.press("f")
        assert next(line for line in log.lines if line.strip()).startswith("trial")
        await pilot.press("f")
        assert log.lines[0] == "says [this] \\x1b[31m"
        await pilot.press("f")
        sentence = "in " + " ".join(f"many{number}words" for number in range(30))
        host.push(ev.Notice(text=sentence))
        await settle(pilot, app)
        for width in (100, 70):
            await pilot.resize_terminal(width, 30)
            await pilot.pause()
            told = "\n".join(log.lines)
            assert sentence in " ".join(told.split()), "no word is cut"
            assert max(map(len, told.split("\n"))) <= width
        await pilot.press("y")
        assert any(line.endswith(sentence) for line in app.clipboard.split("\n")), "as it was told"

    drive(make_app(tmp_path, host), steps)


def test_help_and_the_palette_know_every_action(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        titles = {command.title for command in app.get_system_commands(app.screen)}
        assert {"Export", "Filter", "Pause", "Stop after trial", "Abort now", "More trials", "Log KL"} <= titles
        (helping,) = [command.help for command in app.get_system_commands(app.screen) if command.title == "Help"]
        assert helping == "key ?"
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
            assert isinstance(app.screen, TooSmall) == (size[0] < 60 or size[1] < 16)

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
        assert isinstance(app.screen, TooSmall), "the other mode is covered too"
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert not isinstance(app.screen, TooSmall)
        app.switch_mode("trials")
        await pilot.pause()
        assert not isinstance(app.screen, TooSmall)

    drive(make_app(tmp_path, host), steps)


def test_ten_thousand_lines_and_a_thousand_trials(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=1000, n_trials=1000), *(ev.Notice(text=f"line {i}") for i in range(10_000)))
        await settle(pilot, app)
        await pilot.press("G")
        assert app.view.selected_trial == 1000
        await pilot.press("5")
        await settle(pilot, app)
        assert any("line 9999" in line for line in app.screen.query_one(Log).lines[-3:])

    drive(make_app(tmp_path, host), steps)


def test_earlier_runs_are_opened_resumed_and_deleted_only_when_confirmed(tmp_path: Path) -> None:
    settings = load_settings({"model": "acme/guarded-8b", "n_trials": 7}, environment=False)
    folder = RunFolder(tmp_path / "runs" / "guarded-8b-1a2b3c4d")
    folder.create()
    folder.update_record(settings=settings.model_dump(mode="json"), model=settings.model)
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
        assert "FOLLOWING" in shown(app, "#run-bar")
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


def test_a_tick_that_strikes_while_the_application_is_taken_down(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = fake_run.FakeHost(folder)
    app = make_app(tmp_path, host)
    struck: list[RunBar] = []

    def strike(bar: RunBar) -> None:
        host.push(ev.Notice(text="too late"))
        app.tick()
        struck.append(bar)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        monkeypatch.setattr(RunBar, "on_unmount", strike, raising=False)

    drive(app, steps)
    assert struck


async def open_projection(pilot: Pilot[Any], app: HereticApp, host: fake_run.FakeHost) -> None:
    host.push(*fake_run.story(trials=2))
    await settle(pilot, app)
    await pilot.press("2", "o")
    await app.workers.wait_for_complete()
    await pilot.pause()


def test_layers_are_walked_with_the_arrow_keys_and_the_projection_follows(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    fake_run.write_views(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_projection(pilot, app, host)
        await pilot.press("G")
        table = app.screen.query_one(LineTable)
        drawn = []
        for key, layer in (("left", 28), ("h", 27), ("up", 26), ("right", 27), ("down", 28), ("l", 29), ("l", 29)):
            await pilot.press(key)
            assert table.place == layer + 1
            assert f"layer {layer}, pca" in shown(app, "#layer-detail")
            drawn.append(shown(app, "#layer-detail"))
        assert len({text.partition("medians")[2] for text in drawn}) == 4
        points = sum(bin(ord(c) - 0x2800).count("1") for c in drawn[0] if "\u2800" < c < "\u28ff" and c != "⣿")
        assert points > 60, "most prompts have a dot of their own"
        await pilot.press("o")
        assert "pacmap" in shown(app, "#layer-detail").splitlines()[0].split("  ")[0]

    drive(make_app(tmp_path, host), steps, (120, 40))


def test_projections_in_ascii_tell_the_sets_apart_by_letters(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    fake_run.write_views(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await open_projection(pilot, app, host)
        picture = shown(app, "#layer-detail").partition("medians")[2]
        assert picture.isascii()
        rows = [line for line in picture.splitlines() if "x" in line or "o" in line]
        assert all(line.rfind("o") < line.find("x") for line in rows if "o" in line and "x" in line)
        assert "G" in picture
        assert "B" in picture

    drive(make_app(tmp_path, host, ascii_only=True), steps, (120, 40))


def test_the_geometry_is_moved_sideways_where_it_does_not_fit(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=2))
        await settle(pilot, app)
        await pilot.press("2", "m")
        table = app.screen.query_one(LineTable)
        assert [column.title for column in table.columns][:2] == ["layer", "S(g,b)"]
        await pilot.press(*["right"] * 20)
        assert [column.title for column in table.columns] == ["layer", "Silh"]
        await pilot.press("left")
        assert [column.title for column in table.columns] == ["layer", "|r*|", "Silh"]
        assert table.rows[-1].cells == ("29", "91.00", "0.500")
        await pilot.press("w")
        assert "Refusal lives in layers 17 to 21" in shown(app, "#layer-detail")
        await pilot.press("t", "k", "k")
        await pilot.pause()
        assert "'[bold]Unfortunately'" in shown(app, "#layer-detail"), "a token is no markup"
        assert "\x1b" not in shown(app, "#layer-detail")

    drive(make_app(tmp_path, host), steps, (80, 24))


def test_first_tokens_of_a_trial_are_asked_for_cancelled_and_shown(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=4))
        await settle(pilot, app)
        await pilot.press("g", "j", "2", "f")
        await app.workers.wait_for_complete()
        assert "f again finds out" in shown(app, "#layer-detail")
        assert host.commands() == [], "to look costs nothing"
        await pilot.press("f", "f")
        (asked,) = host.commands()
        assert isinstance(asked, Shift)
        assert asked.trial == 1
        assert "esc cancels" in shown(app, "#layer-detail")
        await pilot.press("escape")
        assert host.control is not None
        assert host.control.begin(asked).aborting
        host.push(ev.ShiftFound(trial=1, error="cancelled"))
        await settle(pilot, app)
        assert "f again finds out" in shown(app, "#layer-detail")
        await pilot.press("f")
        fake_run.write_shift(folder, 1)
        host.push(ev.ShiftFound(trial=1))
        await settle(pilot, app)
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "A forbidden thing number 0" in shown(app, "#layer-detail")

    drive(make_app(tmp_path, host), steps)


def test_directions_are_compared_with_another_runs(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    fake_run.write_directions(folder)
    fake_run.write_directions(tmp_path / "other", math.pi)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=2))
        await settle(pilot, app)
        await pilot.press("2", "c")
        assert app.screen.query_one(Input).value == "other", "the run that there is"
        await pilot.press("enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "lowest at layer 29 (-1.000)" in shown(app, "#layer-detail")
        await pilot.press("c", *["backspace"] * 9, *"nobody", "enter")
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "no run nobody" in shown(app, "#layer-detail")

    drive(make_app(tmp_path, host), steps)


def test_the_marker_of_a_refusal_is_set_off_where_the_verdict_found_it(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    text = "<think>I can't, sorry</think>\n\t\x1b[1mWell, I\n *can’t* do that."
    verdict = Markers(["i can't"], [("<think>", "</think>")]).verdict(text)
    for number in (None, 0, 1):
        record = {"prompt": "Do it.", "text": text, "refused": True, "marker": verdict.marker}
        if number == 0:  # Trial 1 is of a version that kept no places.
            record |= {"start": verdict.start, "end": verdict.end}
        RunFolder(folder).responses(number).write_text(json.dumps([record]), encoding="utf-8")

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=2, running=False))
        await settle(pilot, app)
        for moves in (["g"], ["escape", "g", "j"]):
            await pilot.press(*moves, "enter")
            shown = app.screen.query_one("#answer-text", TextPanel).text
            words = [shown.plain[span.start : span.end] for span in shown.spans if "reverse" in str(span.style)]
            assert words == ["I\n *can’t"] * 2

    drive(make_app(tmp_path, host), steps)


def finished(number: int, kl: float, refusals: int | None, **more: Any) -> list[ev.Event]:
    """One trial from its start to its end."""
    figures = {"kl_divergence": kl} if refusals is None else {"kl_divergence": kl, "refusals": refusals}
    told = {"state": "complete", "figures": figures, "prompts": 100, **more}
    return [
        ev.TrialStarted(number=number, parameters=fake_run.parameters(number)),
        ev.TrialFinished(number=number, **told),
    ]


def dominated(number: int, kl: float, at_least: int, estimate: float | None) -> list[ev.Event]:
    estimates = {} if estimate is None else {"refusals": estimate}
    return finished(number, kl, None, state="dominated", at_least={"refusals": at_least}, estimate=estimates)


def test_a_trial_that_is_overtaken_is_not_said_to_be_on_the_front(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.preparation(), *finished(0, 0.2, 30), *finished(1, 0.3, 25))
        await settle(pilot, app)
        await pilot.press("g")
        assert "on the front" in shown(app, "#detail")
        host.push(*finished(2, 0.1, 20))
        await settle(pilot, app)
        assert app.view.selected_trial == 0
        assert "on the front" not in shown(app, "#detail")

    drive(make_app(tmp_path, host), steps)


def test_a_dominated_trial_shows_the_figure_that_decides_its_place(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        early = [*finished(0, 0.1, 10), *finished(1, 0.2, 5)]
        host.push(*fake_run.preparation(), *early, *dominated(2, 0.3, 0, 7.4), *dominated(3, 0.4, 6, None))
        await settle(pilot, app)
        table, plot = app.screen.query_one("#trial-table", LineTable), app.screen.query_one(ParetoPlot)
        await pilot.press("s")
        assert [(row.key, row.cells[3]) for row in table.rows] == [
            (1, "5/100"), (3, "≥6/100"), (2, "≈7/100"), (0, "10/100")
        ]  # fmt: skip
        assert {point.number: point.y for point in plot.points} == {0: 10, 1: 5, 2: 7, 3: 6}
        table.go_to(2)
        await pilot.pause()
        assert "refusals at least 0 of 100, about 7.4 by estimate" in shown(app, "#detail")
        told = [line.text for line in app.view.log_lines.lines if " KL " in line.text]
        assert [re.search(r"refusals +(\S+)", line)[1] for line in told] == ["10/100", "5/100", "≈7/100", "≥6/100"]  # type: ignore[index]

    drive(make_app(tmp_path, host), steps)


def test_bar_and_table_count_alike_also_where_more_trials_are_done_than_planned(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=20, n_trials=60))
        await settle(pilot, app)
        for selector in ("#run-bar", "#filter-words"):
            assert "20 of 60 done" in shown(app, selector)
        assert "1 running" in shown(app, "#filter-words")
        host.push(ev.TargetChanged(n_trials=10))
        await settle(pilot, app)
        for selector in ("#run-bar", "#filter-words"):
            assert "20 done, 10 planned" in shown(app, selector)

    drive(make_app(tmp_path, host), steps)


def test_a_trials_screen_without_trials_says_what_it_waits_for(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    app = make_app(tmp_path)

    def words(app: HereticApp) -> str:
        table = app.screen.query_one("#trial-table", LineTable)
        return "".join(segment.text for segment in table.render_line(1)).strip()

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        await pilot.press("3")
        assert words(app) == "No run is open: 1 sets one up."
        app.show_run(host)
        host.push(*list(fake_run.preparation())[:2], ev.PhaseStarted(phase="response prefix"))
        await settle(pilot, app)
        assert words(app) == "No trials yet. Preparing: step 3 of 8, response prefix"
        host.alive = False
        await settle(pilot, app)
        assert words(app) == "This run ended before its first trial."
        host.push(*finished(0, 0.1, 10))
        await settle(pilot, app)
        await pilot.press("slash", *"kl>5", "enter")
        assert words(app) == "No trial fits the filter; esc takes it away."

    drive(app, steps)


def test_a_long_wrong_filter_wraps_and_is_read_to_its_end(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.press("slash", *"refusal<")
        await pilot.pause()
        words = app.screen.query_one("#filter-words")
        assert str(words.visual).endswith("stopped")
        needed = len(Text(str(words.visual)).wrap(app.console, words.size.width))
        assert words.size.height == needed > 1
        assert "/ filter" not in shown(app, "#key-bar"), "it would be typed"
        host.push(*finished(9, 0.1, 10))
        await settle(pilot, app)
        assert str(words.visual).endswith("stopped"), "a trial that ends takes it away from nobody"
        await pilot.press("enter")
        assert app.screen.query_one("#filter").has_focus, "what is wrong is not taken"
        await pilot.press("escape")
        await pilot.pause()
        assert words.size.height == 1

    drive(make_app(tmp_path, host), steps, (60, 24))


@pytest.mark.parametrize("width", [66, 67, 102, 120])
def test_the_scroll_bar_takes_no_column_away(tmp_path: Path, folder: Path, width: int) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        table = app.screen.query_one("#trial-table", LineTable)
        before = [column.key for column, _ in table.shown_columns()]
        host.push(*[event for number in range(3, 60) for event in fake_run.trial(number)])
        await settle(pilot, app)
        assert table.show_vertical_scrollbar
        after = table.shown_columns()
        assert [column.key for column, _ in after] == before
        used = sum(width for _, width in after) + len(after) - 1
        assert used <= table.scrollable_content_region.width

    drive(make_app(tmp_path, host), steps, (width, 24))


def test_words_never_lie_over_points_of_the_scatter(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        # Along the upper edge of the plot, where its title once was.
        trials = [event for number in range(40) for event in finished(number, 0.01 * number, 100)]
        host.push(*fake_run.preparation(), *trials)
        await settle(pilot, app)
        plot = app.screen.query_one(ParetoPlot)
        top = "".join(segment.text for segment in plot.render_line(0))
        assert "100" in top
        assert not any(character.isalpha() for character in top)
        bottom = "".join(segment.text for segment in plot.render_line(plot.size.height - 1))
        assert "refusals over KL divergence" in bottom

    drive(make_app(tmp_path, host), steps, (150, 45))


def test_every_view_and_sentence_has_one_best_layer(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    rows = fake_run.analysis().layers
    for row in rows[1:]:  # Other figures are best elsewhere.
        changes = {"add": 9.0 if row.layer == 5 else 1.0, "stream": -6.0 if row.layer == 19 else -2.0}
        rows[row.index] = replace(
            row,
            separation=Separation(1.0 if row.layer == 3 else 0.9, 0.8, 1.0),
            effects={**row.effects, **{name: Effect(change) for name, change in changes.items()}},
        )
    sentence = where_refusal_lives(rows, FirstTokens((), bad=6.1, good=-5.2))
    assert set(re.findall(r"layer (\d+)", sentence)) == {"19"}
    assert [line.split()[0] for line in geometry_text(ev.LayersAnalysed(layers=rows)) if line.endswith("best")] == [
        "19"
    ]
    found = replace(fake_run.analysis(), layers=rows, sentence=sentence)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*(found if isinstance(event, ev.LayersAnalysed) else event for event in fake_run.story(trials=1)))
        await settle(pilot, app)
        await pilot.press("2")
        table = app.screen.query_one("#layer-table", LineTable)
        assert table.cursor == BEST
        for view in "wtm":
            await pilot.press(view)
            assert [row.key for row in table.rows if "*" in row.cells[0]] == [BEST]
            assert view == "m" or "layer 19 (the best)" in shown(app, "#layer-detail")

    drive(make_app(tmp_path, host), steps, (120, 40))


def test_curves_that_are_compared_have_one_scale_and_hide_nothing() -> None:
    values = {"one": [0.5, 0.75, 1.0, 0.5], "other": [0.5, 0.75, 1.0, 0.5], "gone": [None, math.nan, 0.0, 1.0]}
    for glyphs in (UNICODE, ASCII):
        lines = curves(values, 50, 20, glyphs).plain.splitlines()
        assert glyphs is UNICODE or all(line.isascii() for line in lines)
        places = [next(i for i, line in enumerate(lines) if line.strip() == name) for name in values]
        charts = [lines[a + 1 : b] for a, b in itertools.pairwise([*places, len(lines) - 1])]
        assert charts[0] == charts[1]
        assert all(chart[0].split()[0] == "1.000" and chart[-1].split()[0] == "0.000" for chart in charts)
        assert all(len(chart[-1]) == 50 for chart in charts)
        for chart in charts[:2]:
            assert " " not in chart[-1][8:], "no column is left blank"
        left, right = charts[2][-1][8:34].strip(), charts[2][-1][36:].strip()
        assert (bool(left), bool(right)) == (False, True), "what is not known is left out"
    assert "120" in curves({"many": [float(n) for n in range(126)]}, 140, 8, UNICODE).plain.splitlines()[-1]
    signed = curves({"edit": [-1.0, 0.0, 4.0, -4.0], "add": [1.0, 2.0, 4.0, 0.0]}, 49, 15, UNICODE)
    edit, add = (signed.plain.splitlines()[a : a + 6] for a in (1, 8))
    for chart in (edit, add):
        assert [row.split()[0] for row in chart if row[:8].strip()] == ["4.000", "0.000", "-4.000"]
        assert all(any(row[column : column + 1].strip() for row in chart) for column in range(8, 49)), "no gap"
    assert not add[-1][8:].strip(), "nothing hangs from the line where all values are above it"
    assert edit[-1][40:].strip(), "what is lowered hangs from the line"
    assert not edit[0][40:].strip()
    assert curves({"nothing": [None]}, 50, 10, UNICODE).plain == ""


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


def test_an_old_run_is_looked_at_while_the_open_one_goes_on(  # noqa: PLR0915 - one course of events
    tmp_path: Path, folder: Path
) -> None:
    here, old = RunFolder(tmp_path / "runs" / "here"), RunFolder(tmp_path / "runs" / "old")
    for run in (here, old):
        run.create()
        run.update_record(model="acme/guarded-8b")
    journal = Journal(old.events)
    for event in fake_run.story(trials=3, running=False):
        journal.append(event)
    journal.close()
    damaged = RunFolder(tmp_path / "runs" / "damaged")
    damaged.create()
    damaged.record.write_text("{", encoding="utf-8")
    host = fake_run.FakeHost(here.path)
    app = make_app(tmp_path, host)

    async def open_run(pilot: Pilot[Any], app: HereticApp, run: RunFolder) -> None:
        await pilot.press("1")
        await app.workers.wait_for_complete()
        table = app.screen.query_one("#runs", LineTable)
        table.focus()
        table.go_to(run.name)
        await pilot.press("enter")
        await settle(pilot, app)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        assert host.control is not None
        host.push(*fake_run.story(trials=5))
        await settle(pilot, app)
        await pilot.press("g", "j", "j")
        await open_run(pilot, app, old)
        assert app.view.state.finished == 3
        assert "FOLLOWING" in shown(app, "#run-bar")
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
        await pilot.press("1")
        await app.workers.wait_for_complete()
        table = app.screen.query_one("#runs", LineTable)
        table.focus()
        table.go_to("old")
        table.go_to("damaged")
        await pilot.pause()
        assert [row.cells[:2] for row in table.rows if row.key in ("old", "damaged")] == [
            ("damaged", ""), ("stopped", "3/60")
        ]  # fmt: skip
        assert "run.json" in shown(app, "#setup-info")
        assert isinstance(app.screen, ModeScreen)
        app.screen.paint_all()
        assert "run.json" in shown(app, "#setup-info"), "it stays while a person is at it"
        table.go_to("old")
        await pilot.pause()
        assert "run.json" not in shown(app, "#setup-info"), "and no longer"
        await pilot.press("q")
        assert app.view.host is host
        assert isinstance(app.screen, ChoiceDialog), "it is asked of the run that would be cut off"
        await pilot.press("t")

    drive(app, steps)
    assert host.control is not None
    assert host.control.stopping


def test_a_run_that_waits_is_not_listed_as_running(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.update_record(model="acme/guarded-8b")
    journal = Journal(folder.events)
    for event in (*fake_run.story(trials=3, n_trials=2, running=False), ev.PhaseStarted(phase="ready")):
        journal.append(event)
    folder.lock()
    found = overview(folder)
    assert found.state == f"ready ({os.getpid()})"
    assert counted_trials(found) == "3/3", "as many as are done, where fewer are planned now"
    journal.append(ev.StateChanged(state="paused"))
    assert overview(folder).state == f"paused ({os.getpid()})"
    folder.unlock()
    assert overview(folder).state == "stopped"
    journal.close()
