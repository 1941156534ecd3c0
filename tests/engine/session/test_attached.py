"""A session that has no screen, controlled from another terminal: it waits for it, answers it, and ends as it would
have."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from heretic_tui import events as ev
from heretic_tui.commands import Chat, MoreTrials, Sampling
from heretic_tui.control import Control
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.session.session import Session
from heretic_tui.run.attach.server import AttachServer, attachable
from heretic_tui.settings.sources import load_settings
from tests.support.attached import Screen
from tests.support.sessions import flags_of, is_ready


class Headless:
    """What `run` does, in a thread."""

    def __init__(self, model: Path, sets: list[str], runs_dir: Path, n_trials: int) -> None:
        flags = flags_of(sets, model, runs_dir, n_trials=n_trials, n_startup_trials=2)
        self.control = Control()
        self.session = Session(check_inputs(load_settings(flags)), self.control)
        self.server = AttachServer(self.session.folder, self.control, lambda: self.session.records)
        self.control.tell = self.server.hear
        self.session.listeners.append(self.server.hear)
        self.outcome = ""
        self.listening = threading.Event()
        self.go = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self.listening.wait()

    def _run(self) -> None:
        try:
            with attachable(self.server, pytest.fail):
                self.listening.set()
                self.go.wait()
                self.outcome = self.session.run()
        finally:
            self.session.close()

    def end(self) -> str:
        self.thread.join(timeout=120)
        assert not self.thread.is_alive()
        return self.outcome


def answers(screen: Screen, number: int) -> str:
    return "".join(event.text for event in screen.events if isinstance(event, ev.ChatDelta) and event.id == number)


def ended(screen: Screen, number: int) -> str | None:
    ends = [event.reason for event in screen.events if isinstance(event, ev.ChatEnded) and event.id == number]
    return ends[0] if ends else None


def test_it_chats_goes_on_and_ends_when_the_terminal_has_left(
    tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    run = Headless(tiny_folder, sets, tmp_path / "runs", n_trials=2)
    screen = Screen(run.session.folder)
    screen.take_control()
    run.go.set()
    screen.until(lambda: any(is_ready(event) for event in screen.events))
    screen.control.send(Chat(0, 1, (("user", "hello"),), "", Sampling(max_tokens=30)))
    screen.until(lambda: ended(screen, 0))
    assert ended(screen, 0) == "length"
    kinds = [type(event) for event in screen.events if getattr(event, "id", None) == 0]
    assert kinds[0] is ev.ChatStarted
    assert kinds.count(ev.ChatDelta) > 5, "it comes in pieces"
    assert kinds[-1] is ev.ChatEnded
    assert answers(screen, 0)
    # One in hand is stopped, and one that waits for it is withdrawn at once.
    long = Chat(1, None, (("user", "go on"),), "", Sampling(max_tokens=100_000))
    waiting = Chat(2, None, (("user", "and then?"),), "", Sampling(max_tokens=5))
    screen.control.send(long)
    screen.control.send(waiting)
    screen.until(lambda: answers(screen, 1))
    screen.control.cancel(waiting)
    screen.until(lambda: ended(screen, 2))
    screen.control.cancel(long)
    screen.until(lambda: ended(screen, 1))
    assert ended(screen, 2) == "stopped"
    assert not answers(screen, 2)
    screen.control.send(MoreTrials(3))
    screen.until(lambda: sum(is_ready(event) for event in screen.events) == 2)
    assert run.thread.is_alive()
    screen.control.close()
    assert run.end() == "done"
    assert run.session.state.finished == 3
    journal = run.session.folder.events.read_text(encoding="utf-8")
    assert "hello" not in journal
    assert not run.session.folder.socket.exists()


def test_without_a_terminal_it_ends_after_its_last_trial(tiny_folder: Path, sets: list[str], tmp_path: Path) -> None:
    run = Headless(tiny_folder, sets, tmp_path / "runs", n_trials=1)
    watcher = Screen(run.session.folder)
    run.go.set()
    assert run.end() == "done", "whoever watches keeps nothing waiting"
    watcher.until(lambda: any(isinstance(event, ev.RunEnded) for event in watcher.events))


def test_what_was_stopped_from_a_terminal_is_interrupted(tiny_folder: Path, sets: list[str], tmp_path: Path) -> None:
    run = Headless(tiny_folder, sets, tmp_path / "runs", n_trials=100_000)
    screen = Screen(run.session.folder)
    screen.take_control()
    run.go.set()
    screen.until(lambda: any(isinstance(event, ev.TrialFinished) for event in screen.events))
    screen.control.close()
    screen.control.abort()
    assert run.end() == "interrupted"
