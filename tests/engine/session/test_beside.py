"""What models are asked to say while trials are in hand: it begins at once, and the search is as it is without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from heretic_tui import events as ev
from heretic_tui.commands import Answering, Asked, Chat, FullAnswers, MoreTrials, Samples, Sampling, Try
from heretic_tui.control import Control
from heretic_tui.engine.edits.attach import RowsLost
from heretic_tui.engine.measuring.decoding_steps import DecodingSteps
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.measuring.line_batch import LineBatch, Step
from tests.support.sessions import Watched, flags_of, is_ready

HELLO = (("user", "hello"),)
ENDS = (ev.ChatEnded, ev.SamplesEnded, ev.FullAnswersFound, ev.TryEnded)


def said(run: Watched, id: int) -> str:
    return "".join(e.text for e in run.events if isinstance(e, ev.ChatDelta) and e.id == id)


def samples(run: Watched) -> list[tuple[int, int, str]]:
    return sorted((e.model, e.number, e.text) for e in run.events if isinstance(e, ev.SampleMade))


def ended(run: Watched, count: int) -> list[ev.Event]:
    return run.wait(lambda e: isinstance(e, ENDS) and getattr(e, "ended", True), count)


def asked(run: Watched) -> list[Answering]:
    drawn = Sampling(temperature=1.0, max_tokens=30, seed=7)
    return [
        Chat(1, None, HELLO, "", Sampling(max_tokens=60)),
        Chat(2, 0, HELLO, "", drawn),
        Samples(3, (Asked(0, HELLO), Asked(None, HELLO)), "", 2, replace(drawn, max_tokens=8)),
        FullAnswers(4, (0,), (0, 1), limit=20),
        Try(5, run.session.state.trials[0].required_parameters, ("hello",)),
    ]


def trials(run: Watched) -> dict[int, Any]:
    return {n: (t.parameters, t.state, t.figures) for n, t in run.session.state.trials.items()}


@pytest.mark.parametrize("way", ["together", "apart", "plain"])
def test_answers_begin_between_two_steps_and_the_trials_are_those_of_a_search_without(
    tiny_folder: Path, sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def lost(*given: Any) -> None:
        raise RowsLost("rows of a test")

    if way == "plain":
        monkeypatch.setattr("heretic_tui.engine.measuring.open_pool.plain_layers", lambda cache: "cache of a test")
    if way == "apart":
        monkeypatch.setattr("heretic_tui.engine.measuring.open_pool._check_rows", lost)
    joined: list[bool] = []
    real = FastPool.join

    def join(*given: Any) -> bool:
        joined.append(real(*given))
        return joined[-1]

    monkeypatch.setattr(FastPool, "join", join)
    flags = flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=5, trials_at_once=2, early_stop=False)
    whole = Watched({**flags, "runs_dir": str(tmp_path / "whole")})
    whole.wait(is_ready)
    for command in asked(whole):
        whole.control.send(command)
    ended(whole, 5)
    whole.end()
    assert not any(joined), "no trial is in hand"

    def ask(event: ev.Event, control: Control) -> None:
        # In the middle of trial 1's responses, on the engine's own thread.
        working = isinstance(event, ev.Progress) and event.stage.startswith("refusals") and event.done
        if working and run.session.state.finished and not sent:
            sent.extend(asked(run))
            for command in sent:
                control.send(command)

    sent: list[Answering] = []
    run = Watched(flags, ask)
    try:
        run.wait(is_ready)
        ended(run, 5)
    finally:
        run.end()
    assert not [e.error for e in run.events if isinstance(e, ENDS) and e.error]
    kinds = [type(event) for event in run.events]
    trial = [e.number for e in run.events if isinstance(e, ev.TrialFinished)]
    before = kinds[: kinds.index(ev.ChatDelta)]
    # Its first words come with the turn in which it begins, while trials are in hand.
    assert before.count(ev.TrialStarted) > before.count(ev.TrialFinished) > 0
    assert ev.TrialFinished not in before[before.index(ev.ChatStarted) :]
    assert len(trial) == 5
    assert any(joined) == (way == "together")
    for id in (1, 2):
        assert said(run, id) == said(whole, id) != ""
    assert samples(run) == samples(whole) != []
    for number, (parameters, state, figures) in trials(whole).items():
        assert trials(run)[number] == (parameters, state, pytest.approx(figures, abs=1e-6))


def test_one_of_each_kind_is_in_hand_and_a_chat_does_not_wait_for_full_answers(
    tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=1))
    try:
        run.wait(is_ready)
        assert run.session.workbench is not None
        run.session.workbench.model.end_tokens = frozenset()
        run.control.send(FullAnswers(1, (None,), (0,), limit=500))
        run.control.send(Chat(2, None, HELLO, "", Sampling(max_tokens=5)))
        run.control.send(Chat(3, None, HELLO, "", Sampling(max_tokens=5)))
        order = [e.id for e in ended(run, 3)]  # type: ignore[attr-defined]
        assert order == [2, 3, 1]
        starts = [e.id for e in run.events if isinstance(e, ev.ChatStarted | ev.ChatEnded)]
        assert starts == [2, 2, 3, 3]
    finally:
        run.end()


def test_an_answer_that_is_in_hand_when_the_search_ends_goes_on(
    tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    chat = Chat(1, None, HELLO, "", Sampling(max_tokens=100_000))

    def ask(event: ev.Event, control: Control) -> None:
        if isinstance(event, ev.TrialStarted):
            control.send(chat)

    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=1), ask)
    try:
        run.wait(is_ready)
        run.wait(lambda e: isinstance(e, ev.ChatStarted))
        told = len(said(run, 1))
        run.wait(lambda e: isinstance(e, ev.ChatDelta), told + 20)
        run.control.cancel(chat)
        (end,) = ended(run, 1)
        assert getattr(end, "reason", "") in ("stopped", "end")
    finally:
        run.end()


def test_an_abort_ends_trials_and_answers(tiny_folder: Path, sets: list[str], tmp_path: Path) -> None:
    def ask(event: ev.Event, control: Control) -> None:
        if isinstance(event, ev.TrialStarted) and event.number == 1:
            control.send(Chat(1, None, HELLO, "", Sampling(max_tokens=100_000)))
        if isinstance(event, ev.ChatDelta) and run.session.state.finished > 2:
            control.abort()

    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=100_000), ask)
    run.session.listeners.insert(0, lambda event: endless(run))
    try:
        run.wait(is_ready)
        (end,) = ended(run, 1)
        assert isinstance(end, ev.ChatEnded)
        assert end.reason == "stopped"
        assert "stopped" in {trial.state for trial in run.session.state.trials.values()}
        assert not run.control.busy
    finally:
        run.end()


def test_a_pause_holds_trials_and_not_the_chat_that_has_begun(
    tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    def ask(event: ev.Event, control: Control) -> None:
        endless(run)
        if isinstance(event, ev.TrialStarted) and event.number == 1:
            control.send(Chat(1, None, HELLO, "", Sampling(max_tokens=60)))
        if isinstance(event, ev.ChatDelta):
            control.pause()

    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=4), ask)
    try:
        (end,) = ended(run, 1)
        assert isinstance(end, ev.ChatEnded)
        assert (end.reason, end.tokens) == ("length", 60)
        assert run.session.state.state == "paused"
        kinds = [type(event) for event in run.events]
        assert ev.TrialFinished not in kinds[kinds.index(ev.ChatDelta) :]
        run.control.resume()
        run.wait(is_ready)
        assert run.session.state.finished == 4
    finally:
        run.control.resume()
        run.end()


def test_memory_that_runs_out_beside_trials_costs_the_chat_and_no_trial(
    tiny_folder: Path, sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = DecodingSteps.begin

    def begin(steps: DecodingSteps, batch: LineBatch) -> Step:
        # Once it shares the batch.
        if len(said(run, 1)) > 3 and not failed:
            failed.append(steps)
            raise torch.OutOfMemoryError("no memory")
        return real(steps, batch)

    def ask(event: ev.Event, control: Control) -> None:
        endless(run)
        if isinstance(event, ev.TrialStarted) and event.number == 1:
            control.send(Chat(1, None, HELLO, "", Sampling(max_tokens=100_000)))

    failed: list[DecodingSteps] = []
    monkeypatch.setattr(DecodingSteps, "begin", begin)
    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=5, batch_size=4), ask)
    try:
        run.wait(is_ready)
        (end,) = ended(run, 1)
        assert isinstance(end, ev.ChatEnded)
        assert end.reason == "failed"
        assert "memory ran out" in (end.error or "")
        assert failed
        assert run.session.workbench is not None
        assert run.session.workbench.model.batch_size == 4, "the batch of trials stays as it was"
        assert run.session.state.finished == 5
        assert "failed" not in {trial.state for trial in run.session.state.trials.values()}
    finally:
        run.end()


def endless(run: Watched) -> None:
    if run.session.workbench:
        run.session.workbench.model.end_tokens = frozenset()


def test_a_chat_that_fails_beside_trials_costs_none(tiny_folder: Path, sets: list[str], tmp_path: Path) -> None:
    def ask(event: ev.Event, control: Control) -> None:
        if isinstance(event, ev.TrialStarted) and event.number == 1:
            control.send(Chat(1, 77, HELLO, ""))

    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=3), ask)
    try:
        run.wait(is_ready)
    finally:
        run.end()
    (end,) = (e for e in run.events if isinstance(e, ev.ChatEnded))
    assert end.reason == "failed"
    assert run.session.state.finished == 3
    assert "failed" not in {trial.state for trial in run.session.state.trials.values()}


def test_more_trials_that_are_asked_for_during_the_last_are_made(
    tiny_folder: Path, sets: list[str], tmp_path: Path
) -> None:
    def ask(event: ev.Event, control: Control) -> None:
        if isinstance(event, ev.TrialStarted) and event.number == 1:
            control.send(MoreTrials(4))

    run = Watched(flags_of(sets, tiny_folder, tmp_path / "runs", n_trials=2), ask)
    try:
        run.wait(is_ready)
        assert run.session.state.finished == 4
    finally:
        run.end()
