"""One terminal controls a run, any number watch; what comes over the socket cannot hurt the run."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from heretic_tui import events as ev
from heretic_tui.commands import Chat, Export, MoreTrials, Shift, Try
from heretic_tui.parameters import Parameters
from heretic_tui.run.attach import protocol
from tests.support.attached import PATIENCE, Screen, ServedRun, served, until

EDIT = {
    "direction_index": None,
    "components": {
        "attn.o_proj": {"max_weight": 1.0, "max_weight_position": 2.0, "min_weight": 0.5, "min_weight_distance": 1.0}
    },
}


def chat(number: int) -> Chat:
    return Chat(id=number, trial=None, turns=(("user", "hello"),), system_prompt="")


class Raw:
    """A connection that says whatever it is told to."""

    def __init__(self, run: ServedRun, greet: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(run.folder.socket))
        if greet:
            self.say(say="Hello", protocol=protocol.PROTOCOL, version="1", terminal="raw")

    def say(self, **record: Any) -> None:
        self.socket.sendall(json.dumps(record).encode() + b"\n")

    def last_words(self) -> str:
        """All that is said until the connection is ended."""
        said = b""
        try:
            while piece := self.socket.recv(1 << 16):
                said += piece
        except ConnectionResetError:
            pass
        self.socket.close()
        goodbyes = [record["text"] for line in said.splitlines() if (record := json.loads(line))["say"] == "Goodbye"]
        return goodbyes[-1] if goodbyes else ""


def test_who_attaches_controls_the_run(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        screen = Screen(run.folder)
        screen.take_control()
        assert screen.news == ["gained"]
        assert screen.attachment.yours
        assert run.control.attended
        assert run.said == [f"{run.server.controller} controls the run now"]
        assert f"(process {os.getpid()})" in run.said[0]

        run.control.in_trial = True
        screen.until(lambda: screen.control.in_trial)
        assert screen.control.pause()
        assert screen.control.requested == "pausing", "it is known before it is confirmed"
        assert screen.control.paused
        until(lambda: run.control.paused)
        screen.control.resume()
        assert not screen.control.paused
        until(lambda: not run.control.paused)
        assert screen.control.stop_after_trial()
        screen.until(lambda: run.control.stopping)
        screen.until(lambda: screen.control.requested == "stopping")
        assert screen.control.abort()
        until(lambda: run.control.aborting)

        run.control.rest()
        screen.until(lambda: not screen.control.pause())
        assert not screen.control.stop_after_trial()
        assert not screen.control.abort()
        screen.control.send(MoreTrials(90))
        assert run.control.wait_command() != MoreTrials(90), "first the session looks whether it is to end"
        assert run.control.wait_command() == MoreTrials(90)


def test_a_session_that_was_closed_waits_as_long_as_a_terminal_controls_it(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        run.control.close()
        assert run.control.closing
        screen = Screen(run.folder)
        screen.take_control()
        until(lambda: not run.control.closing)
        screen.control.close()
        until(lambda: run.control.closing)
        # Until it is gone it has control: an abort can follow.
        screen.control.abort()
        until(lambda: run.control.aborting)
        screen.attachment.leave()
        until(lambda: run.server.controller is None)
        assert run.control.closing


def test_a_session_waits_a_while_for_a_terminal_that_went_away_without_a_word(tmp_path: Path) -> None:
    with served(tmp_path / "run", away=1000.0) as run:
        run.control.close()
        screen = Screen(run.folder)
        screen.take_control()
        screen.attachment.leave()
        until(lambda: run.server.controller is None)
        assert not run.control.closing
        # It comes back, and leaves in good order.
        screen = Screen(run.folder)
        screen.take_control()
        screen.control.close()
        screen.attachment.leave()
        until(lambda: run.control.closing)
    with served(tmp_path / "run", away=0.0) as run:
        run.control.close()
        screen = Screen(run.folder)
        screen.take_control()
        screen.attachment.leave()
        until(lambda: run.control.closing)


def test_whoever_leaves_a_run_to_itself_leaves_it_going_on(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        screen = Screen(run.folder)
        screen.take_control()
        screen.control.pause()
        until(lambda: run.control.paused)
        screen.attachment.leave()
        until(lambda: run.server.controller is None)
        assert run.control.paused, "a link that drops changes nothing"
        screen = Screen(run.folder)
        screen.take_control()
        screen.control.close()
        until(lambda: not run.control.paused)


def test_a_signal_ends_a_session_that_is_controlled_from_elsewhere(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        Screen(run.folder).take_control()
        until(lambda: run.control.attended)
        run.control.dismiss()
        assert run.control.closing


def test_a_second_terminal_watches_until_it_is_told_to_take_over(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        first, second = Screen(run.folder), Screen(run.folder)
        first.take_control()
        second.take_control()
        assert second.news == ["held"]
        assert second.texts == [run.server.controller]
        second.control.pause()
        second.until(lambda: "refused" in second.news)
        assert not run.control.paused
        second.take_control(over=True)
        assert second.attachment.yours
        first.until(lambda: "lost" in first.news)
        assert not first.attachment.yours
        assert first.attachment.controller == run.server.controller
        first.control.abort()
        first.until(lambda: "refused" in first.news)
        assert not run.control.aborting
        # And back again.
        first.take_control(over=True)
        assert first.attachment.yours
        assert run.control.attended


@pytest.mark.parametrize("dies", [True, False])
def test_control_is_free_when_its_terminal_dies_or_leaves(dies: bool, tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        first, second = Raw(run), Screen(run.folder)
        first.say(say="TakeControl", number=1, over=False)
        second.until(lambda: second.attachment.controller)
        if dies:
            # What a process leaves that is killed: half a line, and then nothing.
            first.socket.sendall(b'{"say": "As')
        first.socket.close()
        second.until(lambda: "free" in second.news)
        assert run.server.controller is None
        second.take_control()
        assert second.attachment.yours


def test_the_screen_of_the_process_has_control_unless_it_is_taken_over(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        run.server.screen = "pts/9 (process 1)"
        screen = Screen(run.folder)
        screen.take_control()
        assert (screen.news, screen.texts) == (["held"], ["pts/9 (process 1)"])
        assert run.server.controller is None
        screen.take_control(over=True)
        assert screen.attachment.yours
        until(lambda: run.server.controller)
        run.server.take_back()
        assert run.server.controller is None, "at once"
        screen.until(lambda: "lost" in screen.news)
        assert screen.texts[-1] == "pts/9 (process 1)"
        assert not run.control.attended
        screen.take_control(over=True)
        screen.attachment.leave()
        until(lambda: run.server.controller is None)


def test_answers_stream_to_whoever_asked_and_to_nobody_else(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        first, second = Screen(run.folder), Screen(run.folder)
        first.take_control()
        first.control.send(chat(0))
        own = next(command for command in iter(run.control.wait_command, None) if isinstance(command, Chat))
        assert own.id != 0, "another terminal numbers its questions from 0 too"
        run.tell(ev.ChatStarted(id=own.id, trial=None), ev.ChatDelta(id=own.id, text="one "))
        second.take_control(over=True)
        second.control.send(chat(0))
        others = next(command for command in iter(run.control.wait_command, None) if isinstance(command, Chat))
        # The screen of the process itself asks too.
        run.tell(ev.ChatDelta(id=0, text="of the screen here"), ev.ChatDelta(id=others.id, text="for the second"))
        run.tell(ev.ChatDelta(id=own.id, text="two"), ev.ChatEnded(id=own.id, reason="end"))
        first.until(lambda: any(isinstance(event, ev.ChatEnded) for event in first.events))
        second.until(lambda: any(isinstance(event, ev.ChatDelta) for event in second.events))
        assert [(type(e).__name__, e.id) for e in first.events if hasattr(e, "id")] == [
            ("ChatStarted", 0), ("ChatDelta", 0), ("ChatDelta", 0), ("ChatEnded", 0),
        ]  # fmt: skip
        assert [e.text for e in first.events if isinstance(e, ev.ChatDelta)] == ["one ", "two"]
        assert [e.text for e in second.events if isinstance(e, ev.ChatDelta)] == ["for the second"]


def test_a_command_is_cancelled_by_itself(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        screen = Screen(run.folder)
        screen.take_control()
        waiting, begun, export = chat(0), chat(1), Export(trial=0, out="/out")
        for command in (waiting, begun, export, Shift(trial=0)):
            screen.control.send(command)
        arrived: list[Any] = []
        until(lambda: len(arrived) == 4, lambda: arrived.extend(c for c in [run.control.next_command()] if c))
        arrived = [command for command in arrived if isinstance(command, Chat | Export | Shift)]
        task = run.control.begin(arrived[1])
        screen.control.cancel(waiting)
        screen.until(lambda: screen.events)
        (ended,) = screen.events
        assert isinstance(ended, ev.ChatEnded)
        assert (ended.id, ended.reason) == (0, "stopped")
        assert not task.aborting
        screen.control.cancel(begun)
        until(lambda: task.aborting)
        screen.control.cancel(export)
        until(lambda: run.control.begin(arrived[2]).aborting)


def test_events_of_both_ways_come_in_the_order_in_which_they_were_told(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        run.tell(ev.Notice(text="before anybody came"))
        screen = Screen(run.folder)
        screen.take_control()
        screen.control.send(chat(3))
        command = next(command for command in iter(run.control.wait_command, None) if isinstance(command, Chat))
        screen.events.clear()
        told: list[ev.Event] = []
        for turn in range(40):
            told += [
                ev.Notice(text=f"{turn}"),
                ev.ChatDelta(id=command.id, text=f"{turn}"),
                ev.PhaseStarted(phase=f"{turn}"),
            ]
        told.append(ev.ChatEnded(id=command.id, reason="end"))
        run.tell(*told)
        # All has come over the socket before the journal is looked at, and the other way round.
        screen.until(lambda: any(isinstance(event, ev.ChatEnded) for event in screen.events))
        mine = [event for event in screen.events if isinstance(event, ev.Notice | ev.ChatDelta | ev.PhaseStarted)]
        order = [(type(event).__name__, getattr(event, "text", None) or getattr(event, "phase", "")) for event in mine]
        notices = [text for name, text in order if name != "ChatDelta"]
        assert notices == [str(turn) for turn in range(40) for _ in range(2)]
        assert [text for name, text in order if name == "ChatDelta"] == [str(turn) for turn in range(40)]
        for turn in range(40):
            # What the journal held before a word was said stands before it.
            assert order.index(("Notice", f"{turn}")) < order.index(("ChatDelta", f"{turn}"))
        assert not [event for event in mine if event.past]


def test_progress_is_not_told_after_what_has_overtaken_it(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        screen = Screen(run.folder)
        screen.take_control()
        screen.events.clear()
        for done in range(1, 30):
            run.tell(ev.Progress(stage="prompts", done=done, total=30))
        run.tell(ev.PhaseFinished(phase="baseline", seconds=1.0))
        # The journal has it first: what is then on its way was overtaken.
        run.tell(ev.Notice(text="the last"))
        screen.until(lambda: any(isinstance(event, ev.Notice) for event in screen.events))
        for _ in range(20):
            screen.look()
        kinds = [type(event).__name__ for event in screen.events]
        assert "Progress" in kinds
        assert "Progress" not in kinds[kinds.index("PhaseFinished") :]


def test_progress_comes_more_often_than_the_journal_has_it(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        screen = Screen(run.folder)
        screen.take_control()
        for done in range(1, 4):
            run.tell(ev.Progress(stage="prompts", done=done, total=9))
            seen = done
            screen.until(lambda: [e.done for e in screen.events if isinstance(e, ev.Progress)][-1:] == [seen])  # noqa: B023


def bad_lines() -> list[bytes]:
    return [
        b"\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b'{"say": "Ask", "number": 1, "what": "explode"}\n',
        b'{"say": "Told", "after": 1, "event": {}}\n',
        b'{"say": "Hello", "protocol": 1, "version": "1", "terminal": "again"}\n',
        b'["Ask"]\n',
        b"[" * 200_000 + b"\n",
        os.urandom(200) + b"\n",
        b"x" * (protocol.LONGEST + (1 << 17)),
        b'{"say": "TakeControl", "number": 1, "over": false}\n' * 1000,
    ]


@pytest.mark.parametrize("number", range(len(bad_lines())))
def test_a_terminal_that_says_what_cannot_be_is_let_go_with_the_reason(number: int, tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        good = Screen(run.folder)
        good.take_control()
        bad = Raw(run)
        try:
            bad.socket.sendall(bad_lines()[number])
        except (BrokenPipeError, ConnectionResetError):
            assert number >= 8, "only what is long is cut off in the middle"
        else:
            assert bad.last_words() or number >= 8
        assert good.attachment.yours
        good.control.pause()
        until(lambda: run.control.paused)


def test_requests_before_the_greeting_and_of_another_protocol_are_refused(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        early = Raw(run, greet=False)
        early.say(say="TakeControl", number=1, over=True)
        assert "not expected" in early.last_words()
        newer = Raw(run, greet=False)
        newer.say(say="Hello", protocol=99, version="9.0\x1b[31m", terminal="x")
        assert "cannot be controlled by version" in newer.last_words()
        assert not run.control.attended


def test_a_request_that_cannot_be_obeyed_costs_no_connection(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        screen = Screen(run.folder)
        screen.take_control()
        screen.attachment.say(protocol.Send(9, 9, "Dance", {}))
        screen.attachment.say(protocol.Send(10, 10, "Chat", {"id": 0}))
        screen.attachment.say(protocol.Cancel(11, 12345))
        screen.until(lambda: screen.news.count("refused") == 2)
        screen.control.pause()
        until(lambda: run.control.paused)


def test_what_is_too_long_to_be_sent_is_told(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        screen = Screen(run.folder)
        screen.take_control()
        screen.control.send(Chat(id=1, trial=None, turns=(("user", "x" * protocol.LONGEST),), system_prompt=""))
        screen.look()
        assert screen.news[-1] == "refused"
        assert screen.attachment.yours


def test_a_terminal_that_does_not_read_is_let_go_and_holds_nothing_up(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        stalled = Raw(run)
        stalled.say(say="TakeControl", number=1, over=False)
        until(lambda: run.server.controller)
        watcher = Screen(run.folder)
        base = 0
        stalled.say(say="Send", number=2, key=1, name="Chat", command={"id": 0})
        greeting = json.loads(stalled.socket.makefile("rb").readline())
        base = greeting["base"]

        def talk() -> None:
            # Returns at once, whoever reads or does not.
            run.tell(ev.ChatDelta(id=base, text="x" * 50_000))
            watcher.look()

        until(lambda: run.server.controller is None, talk)
        watcher.take_control()
        assert watcher.attachment.yours
        stalled.socket.close()


def test_a_terminal_that_reads_late_gets_the_latest_of_what_comes_often(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        screen = Screen(run.folder)
        screen.take_control()
        screen.control.send(Try(id=4, parameters=Parameters.from_json(EDIT)))
        asked = next(command for command in iter(run.control.wait_command, None) if isinstance(command, Try))
        for turn in range(300):
            run.tell(
                ev.TryAnswers(id=asked.id, answers=[ev.TriedAnswer(f"{turn} " + "x" * 20_000)]),
                # Of another kind, so that each is passed on.
                ev.Memory(where="gpu", used=turn, total=300),
            )
        run.tell(ev.TryEnded(id=asked.id, reason="end"))
        screen.until(lambda: any(isinstance(event, ev.TryEnded) for event in screen.events))
        told = [event for event in screen.events if isinstance(event, ev.TryAnswers)]
        assert told[-1].id == 4
        assert told[-1].answers[0].text.startswith("299 ")
        assert isinstance([event for event in screen.events if hasattr(event, "id")][-1], ev.TryEnded)


def test_too_many_connections_are_refused_and_leave_room_again(tmp_path: Path) -> None:
    with served(tmp_path / "run") as run:
        some = [Raw(run) for _ in range(32)]
        assert "terminals are attached" in Raw(run).last_words()
        for each in some:
            each.socket.close()
        until(lambda: Screen(run.folder).attachment is not None)
        screen = Screen(run.folder)
        screen.take_control()
        assert screen.attachment.yours


def test_the_end_of_the_process_is_told_to_all(tmp_path: Path) -> None:
    run = ServedRun(tmp_path / "run")
    run.server.start()
    first, second = Screen(run.folder), Screen(run.folder)
    first.take_control()
    second.take_control()
    run.tell(ev.RunFailed(text="out of memory"), ev.RunEnded(outcome="failed", reason="out of memory"))
    run.close()
    for screen in (first, second):
        screen.until(lambda: "ended" in screen.news)  # noqa: B023
        assert {event.type for event in screen.events} >= {"run_failed", "run_ended"}
        assert not screen.attachment.yours
        screen.control.pause()


def test_a_server_that_says_what_cannot_be_costs_the_terminal_nothing_but_control(tmp_path: Path) -> None:
    from heretic_tui.run.attach import place
    from heretic_tui.run.folder import RunFolder

    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.lock()
    for line in (b"garbage\n", b'{"say": "Told", "after": 0, "event": {"type": "chat_delta"}}\n', b"y" * 6_000_000):
        listening = place.listen(folder.socket)
        screen = Screen(folder)
        listening.setblocking(True)
        server, _ = listening.accept()
        server.setblocking(False)
        sent = 0

        def go_on() -> None:
            nonlocal sent
            with contextlib.suppress(OSError):
                sent += server.send(line[sent:]) if sent < len(line) else 0  # noqa: B023
            screen.look()  # noqa: B023

        until(lambda: screen.news, go_on)  # noqa: B023
        assert screen.news == ["ended"]
        server.close()
        listening.close()
    folder.unlock()
