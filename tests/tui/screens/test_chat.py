"""The chat screen: who answers, what each model is told, keys that always lead out, and what is kept."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, Static

from heretic_tui import events as ev
from heretic_tui.commands import Chat, Sampling
from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.messages import ChatWith
from heretic_tui.tui.screens.dialogs import ChoiceDialog
from heretic_tui.tui.widgets.message_box import MessageBox
from tests.support import fake_run
from tests.support.screens import drive, make_app, settle, shown


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


def asked(host: fake_run.FakeHost) -> list[Chat]:
    found = host.commands()
    assert all(isinstance(command, Chat) for command in found)
    return found  # type: ignore[return-value]


def box(app: HereticApp) -> MessageBox:
    return app.screen.query_one("#chat-input", MessageBox)


async def say(pilot: Pilot[Any], app: HereticApp, host: fake_run.FakeHost, words: str, answer: str) -> list[Chat]:
    """Send some words and let every model that is asked answer, each with its own name in it."""
    box(app).focus()
    box(app).set_text(words)
    await pilot.press("enter")
    chats = asked(host)
    for chat in chats:
        host.push(ev.ChatStarted(id=chat.id, trial=chat.trial))
        host.push(ev.ChatDelta(id=chat.id, text=f"{answer} of {chat.trial}"))
        host.push(ev.ChatEnded(id=chat.id, reason="end", tokens=3, seconds=0.1))
    await settle(pilot, app)
    return chats


def dividers(app: HereticApp) -> list[str]:
    return [str(widget.visual) for widget in app.screen.query(".chat-divider").results(Static)]


def test_c_on_a_trial_chats_with_that_trial_whatever_was_chosen(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=6))
        await settle(pilot, app)
        await pilot.press("4", "ctrl+t", "b")
        (chat,) = await say(pilot, app, host, "one", "first")
        assert chat.trial is None
        await pilot.press("escape", "3", "g", "j", "c")
        assert "Trial 1" in shown(app, "#chat-header")
        (chat,) = await say(pilot, app, host, "two", "second")
        assert chat.trial == 1
        # Another one is selected meanwhile: the conversation stays with the one that it is with.
        await pilot.press("escape", "3", "g", "4")
        (chat,) = await say(pilot, app, host, "three", "third")
        assert chat.trial == 1
        # A trial that has not been measured cannot chat, and nobody else answers in its place.
        await pilot.press("escape", "3", "G", "c")
        assert app.current_mode == "trials"

    drive(make_app(tmp_path, host), steps)


def test_a_history_belongs_to_a_model(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=6))
        await settle(pilot, app)
        told: dict[int | None, list[str]] = {}
        await pilot.press("g", "c")
        for turn, switch in enumerate([(), ("ctrl+g",), ("ctrl+g",), ("ctrl+t", "b"), ("ctrl+g",), ("other",), ()]):
            if switch == ("other",):
                app.post_message(ChatWith(2))
                await pilot.pause()
            else:
                await pilot.press(*switch)
            for chat in await say(pilot, app, host, f"turn {turn}", f"answer {turn}"):
                own = told.setdefault(chat.trial, [])
                own.append(f"turn {turn}")
                assert [text for _, text in chat.turns] == own, (turn, chat.trial)
                assert [role for role, _ in chat.turns] == ["user", "assistant"] * (len(own) // 2) + ["user"]
                own.append(f"answer {turn} of {chat.trial}")
        assert set(told) == {None, 0, 2}
        said = dividers(app)
        assert said == [
            "-- Base model from here on; it has seen nothing of the above --",
            "-- Trial 0 goes on from its own 2 turns --",
            "-- Base model goes on from its own 1 turn --",
            "-- Trial 2 from here on; it has seen nothing of the above --",
            "-- Trial 0 goes on from its own 1 turn --",
            "-- Trial 0 goes on from its own 3 turns --",
        ]

    drive(make_app(tmp_path, host), steps)


@pytest.mark.parametrize("where", ["searching", "preparing", "paused"])
def test_esc_withdraws_what_waits_and_the_next_leaves_the_line(where: str, tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        assert host.control is not None
        host.push(*(list(fake_run.preparation())[:3] if where == "preparing" else fake_run.story(trials=3)))
        await settle(pilot, app)
        if where == "paused":
            await pilot.press("p")
            host.push(ev.StateChanged(state="paused"))
        await pilot.press("4", *"never mind", "enter")
        (chat,) = asked(host)
        assert "esc withdraws it" in shown(app, "#chat-status").lower()
        await pilot.press("escape")
        assert app.view.conversations.turns == []
        assert box(app).text == "never mind", "it can be sent again"
        assert host.control.begin(chat).aborting
        host.control.end()
        # The engine's word of it, whether it had begun or not, is nobody's any more.
        host.push(ev.ChatStarted(id=chat.id, trial=None), ev.ChatDelta(id=chat.id, text="late"))
        host.push(ev.ChatEnded(id=chat.id, reason="stopped"))
        await settle(pilot, app)
        assert app.view.conversations.turns == []
        await pilot.press("escape", "5")
        assert app.current_mode == "log"
        await pilot.press("4")
        box(app).set_text("again")
        await pilot.press("enter")
        (chat,) = asked(host)
        host.push(ev.ChatStarted(id=chat.id, trial=None), ev.ChatDelta(id=chat.id, text="so far"))
        await settle(pilot, app)
        # An answer that has begun is stopped when the engine says so; the line is left all the same.
        await pilot.press("escape")
        assert host.control.begin(chat).aborting
        assert shown(app, "#chat-status") == "stopping"
        await pilot.press("escape", "2")
        assert app.current_mode == "layers"
        host.push(ev.ChatEnded(id=chat.id, reason="stopped", tokens=2))
        await settle(pilot, app)
        assert app.view.conversations.open == []

    drive(make_app(tmp_path, host), steps)


def test_tab_leaves_the_line_and_comes_back(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.press("4", "a", "tab", "tab", "b", "tab", "3")
        assert app.current_mode == "trials"
        await pilot.press("4")
        assert box(app).text == "ab"

    drive(make_app(tmp_path, host), steps)


def test_an_engine_that_ends_leaves_no_answer_waiting(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.press("4", *"hello", "enter")
        host.alive = False
        await settle(pilot, app)
        assert app.view.conversations.open == []
        assert "the engine has ended" in str(app.screen.query(".chat-answer").last(Static).visual)

    drive(make_app(tmp_path, host), steps)


def test_many_lines_are_sent_as_they_are(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.press("4")
        app.post_message(events.Paste("  def f():\r\n\treturn 1\r\n\r\nWhat is this?  "))
        await pilot.pause()
        await pilot.press("ctrl+j", "x", "alt+enter", "y", "enter")
        (chat,) = asked(host)
        assert chat.turns[-1][1] == "  def f():\n\treturn 1\n\nWhat is this?  \nx\ny"
        await pilot.press("escape")
        assert box(app).text == chat.turns[-1][1]

    drive(make_app(tmp_path, host), steps)


def test_chat_begins_as_measured_and_sampling_is_one_key(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.press("4")
        assert "as measured: greedy, the run's system prompt" in shown(app, "#chat-header")
        (chat,) = await say(pilot, app, host, "hello", "a")
        assert (chat.sampling.temperature, chat.thinking) == (0, False)
        assert chat.system_prompt == "You are a helpful assistant."
        await pilot.press("ctrl+l")
        assert "not as measured: sampled: temperature 0.7, top-p 0.95" in shown(app, "#chat-header")
        header = app.screen.query_one("#chat-header")
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        needed = len(Text(shown(app, "#chat-header")).wrap(app.console, header.size.width))
        assert header.size.height == needed > 1, "nothing of how it answers is cut off"
        (chat,) = await say(pilot, app, host, "hello", "b")
        assert chat.sampling == Sampling(temperature=0.7, top_p=0.95)
        await pilot.press("ctrl+l")
        (chat,) = await say(pilot, app, host, "hello", "c")
        assert chat.sampling == Sampling()

    drive(make_app(tmp_path, host), steps)


def test_conversations_are_kept_for_their_owner_and_can_be_deleted(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    kept = RunFolder(folder).conversations

    def lines() -> list[list[dict[str, Any]]]:
        return [[json.loads(line) for line in path.read_text().splitlines()] for path in sorted(kept.glob("*"))]

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3, running=False), ev.PhaseStarted(phase="ready"))
        await settle(pilot, app)
        await pilot.press("g", "c")
        await say(pilot, app, host, "one", "first")
        await say(pilot, app, host, "two \ud800", "second")
        ((header, first, second),) = lines()
        assert header["model"] == "acme/guarded-8b"
        assert (first["user"], first["temperature"], first["answers"][0]["text"]) == ("one", 0, "first of 0")
        assert second["answers"][0]["trial"] == 0
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (kept, *kept.iterdir())]
        assert modes == [0o700, 0o600]
        await pilot.press("ctrl+r")
        assert len(lines()[0]) == 2, "a turn that is taken back is not kept"
        await pilot.press("ctrl+n")
        await say(pilot, app, host, "three", "third")
        assert len(lines()) == 2
        await pilot.press("escape", "D", "t")
        assert len(lines()) == 1
        assert app.view.conversations.turns == []
        await say(pilot, app, host, "four", "fourth")
        await pilot.press("escape", "D", "escape", "D", "a")
        assert not kept.exists()
        # What is kept needs no question.
        await say(pilot, app, host, "five", "fifth")
        await pilot.press("escape", "q")

    app = make_app(tmp_path, host)
    drive(app, steps)
    assert app.return_value == "closed"


@pytest.mark.parametrize("why", ["no answer yet", "cannot be written"])
def test_quitting_with_a_conversation_that_is_not_kept_asks(why: str, tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    app = make_app(tmp_path, host)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        assert host.control is not None
        host.push(*fake_run.story(trials=3, running=False), ev.PhaseStarted(phase="ready"))
        await settle(pilot, app)
        await pilot.press("g", "c")
        if why == "cannot be written":
            (folder / "conversations").touch()
            await say(pilot, app, host, "one", "first")
        else:
            await pilot.press("o", "n", "e", "enter")
            (chat,) = asked(host)
            host.push(ev.ChatStarted(id=chat.id, trial=0), ev.ChatDelta(id=chat.id, text="so far"))
            await settle(pilot, app)
        await pilot.press("ctrl+q")
        assert isinstance(app.screen, ChoiceDialog)
        await pilot.press("s")
        assert app.is_running
        await pilot.press("ctrl+q", "x")
        if why == "no answer yet":
            assert host.control.begin(chat).aborting

    drive(app, steps)
    assert app.return_value == "closed"
    if why == "no answer yet":
        (path,) = (folder / "conversations").iterdir()
        assert "so far" in path.read_text()
        assert os.access(path, os.R_OK)


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
