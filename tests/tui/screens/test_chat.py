"""The chat screen: who answers, what each model is told, keys that always lead out, and what is kept."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.content import Content
from textual.pilot import Pilot
from textual.widgets import Input

from heretic_tui import events as ev
from heretic_tui.commands import Chat, Keep, Samples, Sampling, Try
from heretic_tui.run.conversations import count_conversations
from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.app import HereticApp
from heretic_tui.tui.conversation import ORIGINAL, Who
from heretic_tui.tui.messages import ChatWith, TweakFrom
from heretic_tui.tui.screens.chat import ChatScreen
from heretic_tui.tui.screens.dialogs import ChoiceDialog
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.message_box import MessageBox
from heretic_tui.verdict import Verdict
from tests.support import fake_run
from tests.support.screens import drawn, drive, make_app, settle, shown, threads_end, told


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


def column(app: HereticApp, place: int) -> str:
    return shown(app, f"#chat-text-{place}")


def title(app: HereticApp, place: int | str) -> str:
    frame = app.screen.query_one(f"#chat-{place}" if isinstance(place, int) else place)
    return Content.from_markup(str(frame.border_title)).plain


def test_c_on_a_trial_chats_with_that_trial_whatever_was_chosen(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=6))
        await settle(pilot, app)
        await pilot.press("4", "ctrl+t", "b")
        (chat,) = await say(pilot, app, host, "one", "first")
        assert chat.trial is None
        await pilot.press("escape", "3", "g", "j", "c")
        assert title(app, 0).startswith("A  trial 1 ")
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


def test_a_history_belongs_to_a_model_whichever_column_shows_it(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=6))
        await settle(pilot, app)
        said: dict[int | None, list[str]] = {}
        await pilot.press("g", "c")
        for turn, switch in enumerate(
            [(), ("ctrl+g",), ("swap",), ("ctrl+g", "ctrl+g"), ("ctrl+t", "b"), ("other",), ()]
        ):
            if switch == ("other",):
                app.post_message(ChatWith(2))
                await pilot.pause()
            elif switch == ("swap",):
                await pilot.press("escape", "left_square_bracket")
            else:
                await pilot.press(*switch)
            for chat in await say(pilot, app, host, f"turn {turn}", f"answer {turn}"):
                own = said.setdefault(chat.trial, [])
                own.append(f"turn {turn}")
                assert [text for _, text in chat.turns] == own, (turn, chat.trial)
                assert [role for role, _ in chat.turns] == ["user", "assistant"] * (len(own) // 2) + ["user"]
                own.append(f"answer {turn} of {chat.trial}")
            # Each column shows all that its own model said, and nothing that another one did.
            for place, who in enumerate(app.view.conversations.chosen or []):
                for trial, words in said.items():
                    for answer in words[1::2]:
                        assert (answer in column(app, place)) == (trial == who.trial), (turn, answer, who)
        assert {None, 0, 2} <= set(said)

    drive(make_app(tmp_path, host), steps, size=(160, 60))


def test_turns_begin_in_the_same_line_of_every_column(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=6))
        await settle(pilot, app)
        await pilot.press("g", "c", "ctrl+g", "ctrl+g")
        assert [title(app, place)[:11] for place in range(3)] == ["A  original", "B  trial 0 ", "C  trial 1 "]
        box(app).set_text("one")
        await pilot.press("enter")
        for length, chat in zip((3, 60, 1), asked(host), strict=True):
            host.push(ev.ChatStarted(id=chat.id, trial=chat.trial), ev.ChatDelta(id=chat.id, text="word " * length))
            host.push(ev.ChatEnded(id=chat.id, reason="end", tokens=length, verdict=Verdict(False, None)))
        await settle(pilot, app)
        await say(pilot, app, host, "two", "second")
        texts = [column(app, place).splitlines() for place in range(3)]
        places = [[n for n, line in enumerate(text) if line.startswith("▸ ")] for text in texts]
        assert places[0] == places[1] == places[2]
        assert len({len(text) for text in texts}) == 1
        # A model that joins has not been asked before; its own history is empty.
        app.view.conversations.put(app.view.conversations.chosen or [], Who(2))
        await say(pilot, app, host, "three", "third")
        assert column(app, 2).count("not asked here") == 2

    drive(make_app(tmp_path, host), steps, size=(120, 40))


def test_each_answer_has_its_verdict(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.press("4")
        ends: list[tuple[dict[str, Any], str]] = [
            ({"reason": "end", "verdict": Verdict(True, "sorry", 10, 15)}, "✗ refused · 7 tok"),
            ({"reason": "end", "verdict": Verdict(False, None)}, "✓ answered · 7 tok"),
            ({"reason": "length", "verdict": Verdict(False, None)}, "✓ answered · 7 tok · cut at the length limit"),
            ({"reason": "stopped", "no_verdict": "no verdict: stopped before its end"}, "no verdict: stopped"),
            ({"reason": "end"}, "no verdict · 7 tok"),
            ({"reason": "failed", "error": "out of \x1b memory"}, "✗ failed: out of \\x1b memory"),
        ]
        for how, line in ends:
            box(app).set_text("hello")
            await pilot.press("enter")
            (chat,) = asked(host)
            host.push(ev.ChatStarted(id=chat.id, trial=None), ev.ChatDelta(id=chat.id, text="[/b] I am Sorry."))
            await settle(pilot, app)
            assert "… 1 tok" in column(app, 0)
            host.push(ev.ChatEnded(id=chat.id, tokens=7, seconds=0.2, **how))
            await settle(pilot, app)
            assert line in column(app, 0), column(app, 0)
        # The marker is set off.
        text = app.screen.query_one("#chat-text-0").text  # type: ignore[attr-defined]
        marked = [text.plain[s.start : s.end] for s in text.spans if "underline" in str(s.style)]
        assert marked == ["Sorry"]

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
        status = shown(app, "#chat-status")
        assert "Esc takes the message back." in status
        assert ("still being prepared (step 1 of 7)" in status) == (where == "preparing")
        await pilot.press("escape")
        assert app.view.conversations.turns == []
        assert box(app).text == "never mind", "it can be sent again"
        assert host.control.begin(chat).aborting
        host.control.end(chat)
        # The engine's word of it, whether it had begun or not, is nobody's any more.
        host.push(ev.ChatStarted(id=chat.id, trial=None), ev.ChatDelta(id=chat.id, text="late"))
        host.push(ev.ChatEnded(id=chat.id, reason="stopped"))
        await settle(pilot, app)
        assert app.view.conversations.turns == []
        await pilot.press("escape", "3")
        assert app.current_mode == "trials"
        await pilot.press("4")
        box(app).set_text("again")
        await pilot.press("enter")
        (chat,) = asked(host)
        host.push(ev.ChatStarted(id=chat.id, trial=None), ev.ChatDelta(id=chat.id, text="so far"))
        await settle(pilot, app)
        # An answer that has begun is stopped when the engine says so; the line is left all the same.
        await pilot.press("escape")
        assert host.control.begin(chat).aborting
        assert shown(app, "#chat-status").strip() == "Stopping."
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
        assert "the engine has ended" in column(app, 0)

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


@pytest.mark.parametrize("key", ["ctrl+l", "alt+t"])
def test_chat_begins_as_measured_and_sampling_is_one_key(tmp_path: Path, folder: Path, key: str) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.press("4")
        assert title(app, "#message-pane") == "Message  greedy, at most 512 tokens, as measured"
        (chat,) = await say(pilot, app, host, "hello", "a")
        assert (chat.sampling.temperature, chat.thinking) == (0, False)
        assert chat.system_prompt == "You are a helpful assistant."
        await pilot.press(key)
        sampled = "sampled, T=0.7, top-p 0.95, at most 512 tokens, not as measured"
        assert title(app, "#message-pane").endswith(sampled)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert sampled in drawn(app), "nothing of how it answers is cut off"
        (chat,) = await say(pilot, app, host, "hello", "b")
        assert chat.sampling == Sampling(temperature=0.7, top_p=0.95)
        await pilot.press(key)
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
        assert "Waiting: its turn comes next. Esc takes the message back." in shown(app, "#chat-status")
        host.push(ev.ChatStarted(id=asked.id, trial=0), ev.ChatDelta(id=asked.id, text="Hi [/b] \x1b[2J"))
        await settle(pilot, app)
        assert "Hi [/b] \\x1b[2J" in column(app, 0)
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
        host.control.end(trial)
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
        assert "sampled, T=1.5" in title(app, "#message-pane")
        for name in ("talk.md", "talk.json"):
            await pilot.press("ctrl+s")
            app.screen.query_one("#answer", Input).value = str(tmp_path / name)
            await pilot.press("enter")
        assert "Hi [/b]" in (tmp_path / "talk.md").read_text()
        assert json.loads((tmp_path / "talk.json").read_text())["turns"][0]["answers"][0]["trial"] == 0

    drive(make_app(tmp_path, host), steps)


def test_conversations_are_listed_opened_and_gone_on_with(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3, running=False), ev.PhaseStarted(phase="ready"))
        await settle(pilot, app)
        await pilot.press("g", "c")
        await say(pilot, app, host, "one", "first")
        await pilot.press("ctrl+n")
        assert "The conversation is kept: O lists it." in told(app)
        await pilot.press("ctrl+t", "b")
        await say(pilot, app, host, "two", "second")
        kept = RunFolder(folder).conversations
        (kept / "damaged.jsonl").write_text("{}\n[]\n")
        await pilot.press("escape", "O")
        await threads_end(app)
        await pilot.pause()
        table = app.screen.query_one("#kept", LineTable)
        said = [row.cells[2:] for row in table.rows]
        assert ("trial 0", "one") in said
        assert ("original", "shown now: two") in said
        assert any(cells[0] == "damaged" for cells in said)
        # The one that is shown cannot be deleted here; another can, after a question.
        for row in list(table.rows):
            if row.cells[2] == "damaged":
                table.go_to(row.key)
                await pilot.press("D", "y")
                await threads_end(app)
                await pilot.pause()
        assert len(table.rows) == 2
        table.go_to(next(row.key for row in table.rows if row.cells[2] == "trial 0"))
        await pilot.press("enter")
        await pilot.pause()
        assert "first of 0" in column(app, 0)
        (chat,) = await say(pilot, app, host, "and then?", "more")
        assert chat.turns == (("user", "one"), ("assistant", "first of 0"), ("user", "and then?"))
        assert len(list(kept.glob("*.jsonl"))) == 2, "it goes on in its own file"

    drive(make_app(tmp_path, host), steps)


def test_a_conversation_that_is_not_kept_is_not_lost_without_a_question(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3, running=False), ev.PhaseStarted(phase="ready"))
        await settle(pilot, app)
        (folder / "conversations").touch()
        await pilot.press("g", "c")
        await say(pilot, app, host, "one", "first")
        await pilot.press("ctrl+n")
        assert isinstance(app.screen, ChoiceDialog)
        await pilot.press("n")
        assert len(app.view.conversations.turns) == 1
        await pilot.press("ctrl+n", "y")
        assert app.view.conversations.turns == []

    drive(make_app(tmp_path, host), steps)


def test_eight_answers_are_drawn_counted_and_browsed(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3, running=False), ev.PhaseStarted(phase="ready"))
        await settle(pilot, app)
        await pilot.press("g", "c", "ctrl+g")
        await say(pilot, app, host, "one", "first")
        await pilot.press(*"two", "ctrl+y")
        (command,) = host.commands()
        assert isinstance(command, Samples)
        assert (command.count, command.sampling.temperature, command.sampling.top_p) == (8, 0.7, 0.95)
        assert [(a.trial, a.turns[-1], len(a.turns)) for a in command.asked] == [
            (None, ("user", "two"), 3),
            (0, ("user", "two"), 3),
        ]
        assert box(app).text == "two", "it can be sent still"
        for number in range(8):
            for model in (0, 1):
                verdict = Verdict(model == 0 or number == 5, None)
                host.push(
                    ev.SampleMade(
                        id=command.id, model=model, number=number, text=f"sample {number} of {model} [/b]", tokens=3,
                        ended="end", verdict=verdict,
                    )
                )  # fmt: skip
        await settle(pilot, app)
        assert "A 8 of 8 refused   B 1 of 8 refused" in shown(app, "#samples")
        assert app.view.samples.open
        host.push(ev.SamplesEnded(id=command.id, reason="end", seed=11, refused=[8, 1], made=[8, 8]))
        await settle(pilot, app)
        assert not app.view.samples.open
        await pilot.press("escape")
        for _ in range(5):
            await pilot.press("full_stop")
        assert "B 6 of 8  ✗ refused" in shown(app, "#samples")
        assert "sample 5 of 1 [/b]" in shown(app, "#samples")
        await pilot.press("comma", "comma", "comma", "comma", "comma", "comma")
        assert "sample 7 of 0" in shown(app, "#samples")
        # With no words in the line, the last message again, as it was asked.
        await pilot.press("i", "ctrl+u", "ctrl+y")
        (again,) = host.commands()
        assert isinstance(again, Samples)
        assert again.asked[0].turns == (("user", "one"),)
        # Esc stops it.
        await pilot.press("escape")
        assert host.control is not None
        assert host.control.withdrawn(again)

    drive(make_app(tmp_path, host), steps, size=(120, 40))


def knobs_story(host: fake_run.FakeHost) -> None:
    ranges = {"direction_index": (11.6, 26.1)}
    for name, low in (("attn.o_proj", 0.8), ("mlp.down_proj", 0.0)):
        ranges |= {
            f"{name}.max_weight": (low, 1.5),
            f"{name}.max_weight_position": (17.4, 29.0),
            f"{name}.min_weight": (0.0, 1.0),
            f"{name}.min_weight_distance": (1.0, 17.4),
        }
    host.push(*fake_run.story(trials=3, running=False), ev.SpaceKnown(ranges=ranges), ev.PhaseStarted(phase="ready"))


def tries(host: fake_run.FakeHost) -> list[Try]:
    found = host.commands()
    assert all(isinstance(command, Try) for command in found)
    return found  # type: ignore[return-value]


def test_knobs_turn_an_edit_and_what_it_does_follows(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)
    fake_run.write_responses(folder, 1, refused=2)
    fake_run.write_responses(folder, None, refused=90)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        knobs_story(host)
        await settle(pilot, app)
        app.post_message(TweakFrom(1))
        await pilot.pause()
        await threads_end(app)
        await pilot.pause()
        assert app.current_mode == "chat"
        assert app.view.conversations.chosen == [Who(1), Who(1, tweaked=True)]
        start = app.view.state.trials[1].parameters
        first = tries(host)[-1]
        assert first.parameters == start
        assert first.prompts == tuple(f"Tell me about the forbidden thing number {n}." for n in (0, 1))
        # Until a knob is turned the trial's own figures stand there, whatever is estimated meanwhile.
        own = ev.TryFigures(
            id=first.id, expected_refusals=99.0, harmful=100, harmful_of=100, figures={"kl_divergence": 9.0},
            harmless=100, harmless_of=100,
        )  # fmt: skip
        host.push(own)
        await settle(pilot, app)
        refusals = app.view.state.trials[1].figures["refusals"]
        assert f"trial 1 as it is:\nrefused {refusals:.0f}/100" in shown(app, "#tweak-figures")
        # A turn of a knob is tried at once; on the bounds nothing is.
        await pilot.press("l")
        (turned,) = tries(host)
        before = start.components["attn.o_proj"].max_weight
        assert turned.parameters.components["attn.o_proj"].max_weight == pytest.approx(before + 0.05, abs=0.03)
        assert turned.parameters.components["mlp.down_proj"] == start.components["mlp.down_proj"]
        for _ in range(6):
            await pilot.press("L")
        host.commands()
        assert app.view.tweak is not None
        assert app.view.tweak.now.components["attn.o_proj"].max_weight == 1.5
        await pilot.press("l")
        assert tries(host) == []
        # What the engine says of the latest is shown; what is left of an older one is not.
        answers = [ev.TriedAnswer("Sure! [/b]", 3, "end", Verdict(False, None)), ev.TriedAnswer("I am", 2)]
        host.push(ev.TryAnswers(id=turned.id, answers=[ev.TriedAnswer("old")] * 2))
        latest = app.view.tweak.asked
        assert latest is not None
        host.push(ev.TryAnswers(id=latest.id, answers=answers))
        host.push(
            ev.TryFigures(
                id=latest.id, expected_refusals=7.31, harmful=32, harmful_of=100, figures={"kl_divergence": 0.0943},
                harmless=100, harmless_of=100,
            )
        )  # fmt: skip
        await settle(pilot, app)
        assert "Sure! [/b] ✓ answered" in shown(app, "#pinned")
        assert "I am …" in shown(app, "#pinned")
        assert "old" not in shown(app, "#pinned")
        assert "refused ≈7.3/100 expected by how they begin, 32 looked at" in shown(app, "#tweak-figures")
        assert "→ 0.0943" in shown(app, "#tweak-figures")
        host.push(ev.TryEnded(id=latest.id, reason="end", no_estimate="no token tells"))
        await settle(pilot, app)
        assert not app.view.answering

    drive(make_app(tmp_path, host), steps, size=(120, 40))


def test_a_turned_edit_goes_back_is_kept_and_answers_in_its_column(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        knobs_story(host)
        await settle(pilot, app)
        await pilot.press("g", "j", "c", "ctrl+k", "l")
        await pilot.pause()
        start = app.view.state.trials[1].parameters
        assert app.view.tweak is not None
        assert app.view.tweak.now != start
        host.commands()
        # Backspace puts the knob back to the trial's.
        await pilot.press("backspace")
        (reset,) = tries(host)
        assert reset.parameters == start
        # Each layer's own direction, and back.
        await pilot.press("d")
        assert tries(host)[-1].parameters.direction_index is None
        await pilot.press("d")
        assert tries(host)[-1].parameters == start
        # Nothing is kept that is the trial itself; a turned edit becomes a trial.
        await pilot.press("W")
        assert host.commands() == []
        await pilot.press("j", "h", "W")
        found = host.commands()
        assert isinstance(found[-1], Keep)
        assert found[-1].parameters == app.view.tweak.now != start
        # A number is typed: what is typed is shown, and its keys mean nothing else; esc leaves the knob as it was.
        before = app.view.tweak.now
        await pilot.press("k", "enter", "0", "d", ".", "9", "9", "backspace", "h")
        assert "0.9▏" in shown(app, "#knobs")
        await pilot.press("escape")
        assert app.view.tweak.now == before
        assert host.commands() == []
        await pilot.press("enter", "7", "enter")
        assert any("can be" in text and text.endswith("not 7.") for text in told(app))
        await pilot.press("backspace", *"1.25", "enter")
        (typed,) = tries(host)
        knob = app.view.tweak.knobs[app.view.tweak.at]
        assert app.view.tweak.value(knob, typed.parameters) == 1.25
        # The column of the turned edit answers as it is now.
        await pilot.press("tab", "tab")
        chats = await say(pilot, app, host, "hello", "a")
        assert [chat.edit for chat in chats] == [None, app.view.tweak.now]
        assert chats[1].trial == 1
        await pilot.press("ctrl+k")
        assert Who(1, tweaked=True) in (app.view.conversations.chosen or []), "it has said something"

    drive(make_app(tmp_path, host), steps, size=(120, 40))


def test_knobs_are_one_pane_on_a_small_terminal(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        knobs_story(host)
        await settle(pilot, app)
        await pilot.press("g", "c", "escape", "ctrl+k")
        await pilot.pause()
        text = drawn(app)
        assert "attn.o strength" in text
        assert "mlp.down at reach" in text
        assert "direction" in text
        # Along the panes and back to the conversation.
        await pilot.press("v")
        assert app.screen.query_one("#chat-0").size.height > 5
        await pilot.press("ctrl+k")
        assert app.view.conversations.chosen == [Who(0)], "a column that said nothing goes with its knobs"

    drive(make_app(tmp_path, host), steps, size=(80, 24))


def test_an_edit_whose_bounds_are_not_known_is_not_turned(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=3))
        await settle(pilot, app)
        await pilot.press("g", "c", "ctrl+k")
        assert "cannot be turned" in told(app)[-1]
        assert host.commands() == []

    drive(make_app(tmp_path, host), steps)


def test_columns_go_from_one_to_three_and_back(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=6))
        await settle(pilot, app)
        await pilot.press("g", "c", "ctrl+g")
        talk = app.view.conversations
        assert talk.chosen == [ORIGINAL, Who(0)]
        await pilot.press("ctrl+g")
        assert talk.chosen is not None
        assert len(talk.chosen) == 3
        await pilot.press("escape", "l", "ctrl+t", "b")
        # A model has one column: the two change places.
        assert len(set(talk.chosen)) == 3
        await pilot.press("ctrl+g")
        assert len(talk.chosen) == 1

    drive(make_app(tmp_path, host), steps, size=(170, 50))


def test_where_there_is_room_the_original_model_is_beside_the_trial_before_anything_is_said(
    tmp_path: Path, folder: Path
) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=6))
        await settle(pilot, app)
        await pilot.press("4", "escape")
        await settle(pilot, app)
        assert isinstance(app.screen, ChatScreen)
        assert app.screen.columns == [Who(0), ORIGINAL]
        fewest, in_hand = app.view.state.fewest(), app.view.state.in_hand
        assert fewest is not None
        assert in_hand
        app.view.selected_trial = in_hand[-1].number
        assert app.screen.columns == [ORIGINAL, Who(fewest.number)], "one that is not measured cannot be asked"
        app.view.selected_trial = 0
        await pilot.press("3", "g", "c")
        await settle(pilot, app)
        assert app.screen.query_one("#chat-1").size.width > 60
        await pilot.press(*"hello", "enter")
        assert [asked.trial for asked in host.commands() if isinstance(asked, Chat)] == [0, None]
        assert app.view.conversations.chosen == [Who(0), ORIGINAL]

    drive(make_app(tmp_path, host), steps, size=(200, 50))


def test_the_conversations_of_a_run_are_counted_when_they_change_and_not_when_keys_are_painted(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = fake_run.FakeHost(folder)
    looks: list[RunFolder] = []

    def count(folder: RunFolder) -> int:
        looks.append(folder)
        return count_conversations(folder)

    monkeypatch.setattr("heretic_tui.tui.screens.chat_keeping.count_conversations", count)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=6))
        await settle(pilot, app)
        await pilot.press("4", "escape")
        await settle(pilot, app)
        before = len(looks)
        assert before
        for _ in range(5):
            app.screen.refresh_bindings()
            await pilot.pause()
        assert len(looks) == before
        assert app.screen.check_action("delete", ()) is False
        await say(pilot, app, host, "hello", "Hi")
        await pilot.press("escape", "ctrl+n")
        await settle(pilot, app)
        assert app.screen.check_action("delete", ()) is True, "what was said is kept"

    drive(make_app(tmp_path, host), steps)


def test_columns_scroll_together_at_any_size(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story(trials=6))
        await settle(pilot, app)
        await pilot.press("g", "c", "ctrl+g", "ctrl+g")
        for turn in range(4):
            await say(pilot, app, host, f"turn {turn}", "word " * 150)
        places = [app.screen.query_one(f"#chat-text-{place}") for place in range(3)]
        assert len({panel.scroll_offset.y for panel in places}) == 1
        assert places[0].scroll_offset.y == places[0].max_scroll_y > 0, "the end is in view"
        await pilot.press("escape", "k", "k")
        assert len({panel.scroll_offset.y for panel in places}) == 1
        assert places[0].scroll_offset.y < places[0].max_scroll_y
        # On a small terminal one column is in view, as tall as its own text, and the wider one has all again.
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        await pilot.press("v")
        await settle(pilot, app)
        assert [panel.size.width > 0 for panel in places] == [True, False, False], "the third was active: after it, A"
        assert places[0].virtual_size.height < 80
        await pilot.resize_terminal(200, 50)
        await settle(pilot, app)
        assert all(panel.size.width > 0 for panel in places)
        assert len({panel.virtual_size.height for panel in places}) == 1

    drive(make_app(tmp_path, host), steps, size=(120, 40))


def test_on_a_narrow_terminal_the_active_column_is_the_one_in_view(tmp_path: Path, folder: Path) -> None:
    host = fake_run.FakeHost(folder)

    async def steps(pilot: Pilot[Any], app: HereticApp) -> None:
        host.push(*fake_run.story())
        await settle(pilot, app)
        await pilot.press("g", "n", "c")
        await settle(pilot, app)
        trial = app.view.selected_trial
        await pilot.press("ctrl+g")
        await settle(pilot, app)
        text = drawn(app)
        assert f"[B trial {trial}]" in text
        assert f"B  trial {trial}" in text
        assert "A  original model" not in text
        # Another pane is another active column.
        await pilot.press("escape", "v")
        await settle(pilot, app)
        text = drawn(app)
        assert "[A original model]" in text
        assert "A  original model" in text
        await pilot.press("l")
        await settle(pilot, app)
        assert f"B  trial {trial}" in drawn(app)

    drive(make_app(tmp_path, host), steps, size=(80, 24))
