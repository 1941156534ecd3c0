"""What a person asks of a running engine: it tells the states itself, holds trials and not chats, and lets a chat that
waits be withdrawn at once."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from heretic_tui import events as ev
from heretic_tui.commands import Chat, MoreTrials, Sampling
from heretic_tui.control import Aborted, Control
from heretic_tui.engine.edits.attach import attached, edits_aside
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.memory import free_memory
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.load import load_model
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.state import RunState
from heretic_tui.tui.host import settle_garbage
from tests.support.sessions import Watched, flags_of, is_ready

GREEDY = Sampling(temperature=0, max_tokens=12)


def state_is(*states: str) -> Callable[[ev.Event], bool]:
    return lambda event: isinstance(event, ev.StateChanged) and event.state in states


def finished(event: ev.Event) -> bool:
    return isinstance(event, ev.TrialFinished)


def chat_ended(event: ev.Event) -> bool:
    return isinstance(event, ev.ChatEnded)


def ask(number: int, trial: int | None = None) -> Chat:
    return Chat(number, trial, (("user", "hello"),), "", GREEDY)


@pytest.fixture
def flags(tiny_folder: Path, sets: list[str], tmp_path: Path) -> dict[str, Any]:
    return flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=100_000, early_stop=False)


def states(run: Watched) -> list[str]:
    return [event.state for event in run.events if isinstance(event, ev.StateChanged)]


def test_stop_and_abort_are_confirmed_and_over_when_the_run_is_ready(flags: dict[str, Any]) -> None:
    run = Watched(flags)
    try:
        run.wait(finished, 2)
        assert run.control.stop_after_trial()
        run.wait(state_is("ready"))
        assert states(run) == ["stopping", "ready"]
        assert run.session.state.word(alive=True) == "ready"
        # Nothing is at work: nothing is asked of the search that comes next.
        assert [run.control.pause(), run.control.stop_after_trial(), run.control.abort()] == [False] * 3
        done = run.session.state.finished
        run.control.send(MoreTrials(100_000))
        run.wait(finished, done + 3)
        assert run.session.state.state == "running"
        assert run.control.abort()
        run.wait(state_is("ready"), 2)
        assert states(run) == ["stopping", "ready", "running", "aborting", "ready"]
        # Who asks for trials behind a stop takes it back.
        run.control.send(MoreTrials(100_000))
        run.wait(state_is("running"), 2)
        run.control.stop_after_trial()
        run.control.send(MoreTrials(run.session.state.finished + 20))
        assert not run.control.stopping
        run.wait(is_ready, 3)
    finally:
        run.end()
    journal = RunState()
    for event in run.events:
        journal.fold(event)
    assert journal.outcome == "done"


def test_an_abort_while_the_model_is_prepared_is_confirmed_and_the_run_can_go_on(
    flags: dict[str, Any],
) -> None:
    begun: list[ev.Event] = []

    def abort_the_first(event: ev.Event, control: Control) -> None:
        if isinstance(event, ev.PhaseStarted) and event.phase == "baseline":
            begun.append(event)
            if len(begun) == 1:
                control.abort()

    run = Watched({**flags, "n_trials": 2}, abort_the_first)
    try:
        run.wait(state_is("ready"))
        assert states(run) == ["aborting", "ready"]
        assert not [event for event in run.events if isinstance(event, ev.TrialStarted)]
        assert run.session.workbench is None, "what was half there is let go of"
        run.control.send(MoreTrials(2))
        run.wait(is_ready, 2)
        assert run.session.state.finished == 2
    finally:
        run.end()


@pytest.mark.parametrize("plain", [False, True])
def test_a_paused_run_answers_as_the_model_that_was_asked_and_changes_no_trial(
    flags: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: bool
) -> None:
    if plain:
        monkeypatch.setattr("heretic_tui.engine.measuring.open_pool.plain_layers", lambda cache: "cache of a test")
    few = {**flags, "n_trials": 6, "trials_at_once": 2}
    whole = Watched({**few, "runs_dir": str(tmp_path / "whole")})
    whole.wait(is_ready)
    whole.control.send(ask(1))
    whole.control.send(ask(2, 1))
    whole.wait(chat_ended, 2)
    whole.end()

    run = Watched(few)
    steps = iter(range(100))

    def pause_in_the_middle(event: ev.Event) -> None:
        # In the middle of responses, with the edits of trials attached.
        working = isinstance(event, ev.Progress) and event.stage.startswith("refusals") and event.done
        if working and run.session.state.finished >= 2 and next(steps) == 3:
            run.control.pause()

    run.session.listeners.append(pause_in_the_middle)
    try:
        run.wait(state_is("paused"))
        done = run.session.state.finished
        run.control.send(ask(1))
        run.control.send(ask(2, 1))
        run.control.send(MoreTrials(7))
        run.wait(chat_ended, 2)
        run.wait(lambda event: isinstance(event, ev.TargetChanged))
        assert run.session.state.finished == done < 6
        assert states(run) == ["paused"], "it is paused all the while"
        run.control.resume()
        run.wait(is_ready)
    finally:
        run.end()

    def said(watched: Watched, number: int) -> str:
        return "".join(e.text for e in watched.events if isinstance(e, ev.ChatDelta) and e.id == number)

    assert said(run, 1) == said(whole, 1) != ""
    assert said(run, 2) == said(whole, 2) != said(run, 1)
    for number, trial in whole.session.state.trials.items():
        other = run.session.state.trials[number]
        assert other.parameters == trial.parameters
        assert other.figures == pytest.approx(trial.figures, abs=1e-6)
    assert run.session.state.finished == 7


def test_a_chat_that_waits_is_withdrawn_at_once_whatever_the_engine_does(
    flags: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, go_on, real = threading.Event(), threading.Event(), load_model

    def load(*given: Any, **options: Any) -> tuple[ChatModel, str]:
        loading.set()
        go_on.wait()
        return real(*given, **options)

    monkeypatch.setattr("heretic_tui.engine.session.phases.load.load_model", load)
    run = Watched({**flags, "n_trials": 1})
    told: list[ev.Event] = []
    run.control.tell = told.append
    try:
        loading.wait()
        first, second = ask(1), ask(2)
        run.control.send(first)
        run.control.send(second)
        run.control.cancel(first)
        run.control.cancel(first)
        # While the model is loaded: nobody but the one who asked is there to tell it.
        assert [(event.id, event.reason) for event in told if isinstance(event, ev.ChatEnded)] == [(1, "stopped")]
        go_on.set()
        (answered,) = run.wait(chat_ended)
        assert isinstance(answered, ev.ChatEnded)
        assert (answered.id, answered.reason) == (2, "length"), "one that was withdrawn has no turn"
        assert len(told) == 1
    finally:
        go_on.set()
        run.end()


def test_a_chat_that_waits_is_withdrawn_while_the_run_is_paused(flags: dict[str, Any]) -> None:
    run = Watched(flags)
    told: list[ev.Event] = []
    run.control.tell = told.append
    try:
        run.wait(finished)
        # One that has begun ends where it is; one behind it has no turn.
        long = Chat(1, None, (("user", "hello"),), "", Sampling(temperature=0, max_tokens=100_000))
        behind = ask(2)
        run.control.pause()
        run.wait(state_is("paused"))
        run.control.send(long)
        run.control.send(behind)
        run.wait(lambda event: isinstance(event, ev.ChatStarted))
        run.control.cancel(behind)
        assert [event.id for event in told if isinstance(event, ev.ChatEnded)] == [2]
        run.control.cancel(long)
        (ended,) = run.wait(chat_ended)
        assert isinstance(ended, ev.ChatEnded)
        assert ended.id == 1
        assert len(told) == 1
        assert run.session.state.state == "paused"
    finally:
        run.control.abort()
        run.end()


def states_in(told: list[ev.Event]) -> list[str]:
    return [event.state for event in told if isinstance(event, ev.StateChanged)]


def test_what_is_asked_for_during_a_command_is_told_before_it_can_be_done() -> None:
    control = Control()
    said: list[ev.Event] = []
    control.emit = said.append
    chat = ask(1)
    task = control.begin(chat)
    control.pause()
    with control.acting(task):
        control.checkpoint()
    assert said == [ev.StateChanged(state="pausing", time=said[0].time)]
    control.end(chat)
    control.stop_after_trial()
    control.checkpoint()
    assert states_in(said) == ["pausing", "stopping"]
    control.abort()
    with pytest.raises(Aborted):
        control.checkpoint()
    assert states_in(said)[-1] == "aborting"


def test_edits_are_set_aside_and_come_back(make_model: Callable[..., Any]) -> None:
    model = make_model()
    directions = torch.nn.functional.normalize(torch.randn(5, 32), dim=-1)
    bank = EditBank(model.anatomy.writers, directions, edit_method("norm_preserving"), 1 << 30)
    strong, weak = (
        bank.edits(Parameters(None, {name: Kernel(w, 2.0, w, 4.0) for name in model.anatomy.components}))
        for w in (1.5, 0.3)
    )

    def logits() -> torch.Tensor:
        with torch.inference_mode():
            batch = model.batch([0], [[1, 2, 3]])
            found: torch.Tensor = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
            return found

    plain = logits()
    with attached(model.anatomy.writers, weak):
        alone = logits()
    with attached(model.anatomy.writers, strong):
        edited = logits()
        with edits_aside():
            assert torch.equal(logits(), plain)
            with attached(model.anatomy.writers, weak):
                assert torch.equal(logits(), alone)
        assert torch.equal(logits(), edited)
    assert not torch.equal(edited, plain)


@pytest.mark.parametrize("release", [lambda: settle_garbage(ev.PhaseStarted(phase="search")), free_memory])
def test_what_an_earlier_search_froze_is_not_kept_for_ever(release: Callable[[], None]) -> None:
    class Model:
        pass

    model = Model()
    model.itself = model  # type: ignore[attr-defined]
    there = weakref.ref(model)
    try:
        settle_garbage(ev.PhaseStarted(phase="search"))
        del model
        release()
        assert there() is None
    finally:
        gc.unfreeze()
