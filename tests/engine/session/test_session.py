"""A session: phases, commands from outside, failures that stay alone, and resuming."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from heretic_tui import events as ev
from heretic_tui.commands import MoreTrials
from heretic_tui.control import Control
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.session.session import Session
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.errors import HereticError
from heretic_tui.parameters import Parameters
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState
from heretic_tui.settings.sources import load_settings


class Run:
    """Sessions on one run folder, one after the other, each closed behind itself."""

    def __init__(self, model: Path, flags: list[str], runs_dir: Path) -> None:
        pairs = zip(flags[::2], flags[1::2], strict=True)
        self.settings: dict[str, Any] = {name[2:].replace("-", "_"): value for name, value in pairs}
        self.settings |= {"model": str(model), "runs_dir": str(runs_dir), "seed": 1, "n_startup_trials": 3}
        self.settings |= {"early_stop": False, "trials_at_once": 2}
        self.events: list[ev.Event] = []
        self.control = Control()

    def go(self, n_trials: int, listener: Callable[[ev.Event], None] = lambda event: None) -> str:
        self.control = Control()
        self.events = []
        session = Session(check_inputs(load_settings({**self.settings, "n_trials": n_trials})), self.control)
        session.listeners += [self.events.append, listener]
        self.path = session.folder
        try:
            return session.run()
        finally:
            session.close()

    def state(self) -> RunState:
        return RunState.replay(read_events(self.path.events))

    def trials(self) -> list[tuple[Any, ...]]:
        return [
            (n, t.state, t.parameters, *(t.figures.get(key) for key in ("kl_divergence", "refusals")))
            for n, t in sorted(self.state().trials.items())
        ]

    def of(self, kind: type[ev.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def run(tiny_folder: Path, sets: list[str], tmp_path: Path) -> Run:
    return Run(tiny_folder, sets, tmp_path / "runs")


def test_the_phases_and_the_state_that_their_events_add_up_to(run: Run) -> None:
    assert run.go(3) == "done"
    assert [event.phase for event in run.of(ev.PhaseStarted)] == [
        "load", "response prefix", "baseline", "residuals", "directions", "search", "ready", "layers", "ready",
    ]  # fmt: skip
    stages = {event.stage for event in run.of(ev.Progress)}
    # Those few prompts that directions are made from have been read when the response prefix is known.
    assert {"response prefix", "KL divergence", "refusals"} <= stages
    (coverage,) = run.of(ev.Coverage)
    assert (coverage.editable, coverage.found, coverage.missing) == (8, 8, [])
    state = run.state()
    assert state.outcome == "done"
    found = state.directions
    assert found is not None
    assert len(found.layers) == len(found.cosines) == len(found.histograms) == 5
    assert all(sum(h.good) == 12 for h in found.histograms)
    assert all(trial.state == "complete" for trial in state.trials.values())


def test_a_finished_run_goes_on_with_more_trials_and_computes_nothing_twice(run: Run) -> None:
    run.go(3)
    first = run.trials()
    assert run.go(5) == "done"
    assert [event.number for event in run.of(ev.TrialStarted)] == [3, 4]
    assert run.trials()[:3] == first
    assert {event.phase for event in run.of(ev.PhaseFinished) if event.reused} == {"baseline", "residuals"}
    assert not run.of(ev.LayersAnalysed)
    assert run.state().analysis
    assert run.go(5) == "done"
    assert not run.of(ev.TrialStarted)


def test_residuals_are_kept_with_their_size_said_before_and_gathered_again_when_lost(run: Run) -> None:
    run.go(1)
    (note,) = [e.text for e in run.of(ev.Notice) if "residuals" in e.text]
    assert note.startswith("Kept the residuals of 36 prompts (0.0 MB) in residuals.safetensors")
    size = run.path.residuals.stat().st_size
    run.path.residuals.unlink()
    before = run.path.geometry.read_text(encoding="utf-8")
    run.go(1)
    assert run.path.residuals.stat().st_size == size
    assert run.path.geometry.read_text(encoding="utf-8") == before
    run.settings["keep_residuals"] = False
    run.path.residuals.unlink()
    run.go(1)
    assert not run.path.residuals.exists()
    assert "layers" not in {event.phase for event in run.of(ev.PhaseStarted)}


def test_stopping_after_the_trial(run: Run) -> None:
    def listen(event: ev.Event) -> None:
        if isinstance(event, ev.TrialStarted) and event.number == 1:
            run.control.stop_after_trial()

    assert run.go(4, listen) == "interrupted"
    assert [(number, state) for number, state, *_ in run.trials()] == [(0, "complete"), (1, "complete")]


def test_aborted_trials_are_stopped_and_done_again_on_resume(run: Run, tiny_folder: Path, tmp_path: Path) -> None:
    def listen(event: ev.Event) -> None:
        if isinstance(event, ev.TrialStarted) and event.number == 1:
            run.control.abort()

    assert run.go(4, listen) == "interrupted"
    assert [(number, state) for number, state, *_ in run.trials()] == [(0, "stopped"), (1, "stopped")]
    assert run.go(4) == "done"
    interrupted = run.trials()
    run.settings["runs_dir"] = str(tmp_path / "whole")
    assert run.go(4) == "done"
    assert run.trials() == interrupted


def test_an_interrupted_search_of_several_trials_at_once_goes_the_same_way(run: Run, tmp_path: Path) -> None:
    run.settings |= {"early_stop": True, "trials_at_once": 3}
    for end in range(1, 14, 2):

        def listen(event: ev.Event, end: int = end) -> None:
            if isinstance(event, ev.TrialFinished) and run.state().finished == end:
                run.control.abort()

        assert run.go(14, listen) == "interrupted"
    assert run.go(14) == "done"
    interrupted = run.trials()
    run.settings["runs_dir"] = str(tmp_path / "whole")
    assert run.go(14) == "done"
    assert run.trials() == interrupted
    assert {state for _, state, *_ in interrupted} == {"complete", "dominated"}
    for trial in run.state().trials.values():
        if trial.state == "dominated":
            assert "refusals" not in trial.figures
            known = {**trial.figures, **trial.at_least}
            assert known["refusals"] <= trial.estimate["refusals"] <= 6
            assert any(all(other.figures[key] <= known[key] for key in known) for other in run.state().front())


@pytest.mark.parametrize("moment", [ev.TrialFinished, ev.Measured])
def test_pausing_is_confirmed_and_resumed(run: Run, moment: type[ev.Event]) -> None:
    def listen(event: ev.Event) -> None:
        if isinstance(event, moment) and getattr(event, "number", 0) == 0:
            run.control.pause()
        if isinstance(event, ev.StateChanged) and event.state == "paused":
            run.control.resume()

    assert run.go(2, listen) == "done"
    assert [event.state for event in run.of(ev.StateChanged)] == ["paused", "running"]


def test_more_trials_can_be_asked_for_while_it_runs(run: Run) -> None:
    def listen(event: ev.Event) -> None:
        if isinstance(event, ev.TrialFinished) and event.number == 0:
            run.control.send(MoreTrials(4))

    assert run.go(2, listen) == "done"
    assert run.state().finished == 4
    assert run.state().n_trials == 4


def test_a_trial_whose_logits_are_no_numbers_fails_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = Workbench.edits, iter(range(100))

    def edits(bench: Workbench, parameters: Any) -> dict[str, Edit]:
        found = real(bench, parameters)
        if next(calls) == 1:
            return {name: Edit(edit.a, edit.b * float("inf"), edit.c) for name, edit in found.items()}
        return found

    monkeypatch.setattr(Workbench, "edits", edits)
    assert run.go(4) == "done"
    trial = run.state().trials[1]
    assert trial.state == "failed"
    assert not trial.figures
    assert "not finite" in (trial.reason or "")
    assert [t.state for t in run.state().trials.values()].count("complete") == 3


def out_of_memory_above(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ChatModel.logits

    def limited(model: ChatModel, ids: torch.Tensor, *rest: Any, **extra: Any) -> torch.Tensor:
        if len(ids) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(model, ids, *rest, **extra)

    monkeypatch.setattr(ChatModel, "logits", limited)


def test_out_of_memory_halves_the_batch_and_changes_nothing_else(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run.go(3)
    expected = run.trials()
    run.settings["runs_dir"] = str(tmp_path / "small")
    out_of_memory_above(1, monkeypatch)
    assert run.go(3) == "done"
    for (*one, kl, refusals), (*other, other_kl, other_refusals) in zip(expected, run.trials(), strict=True):
        assert one == other
        assert refusals == other_refusals
        assert kl == pytest.approx(other_kl, abs=1e-5)
    assert any("batch size is now 1" in notice.text for notice in run.of(ev.Notice))


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        ("search", "3 trials in a row failed; the last: CUDA out of memory"),
        ("baseline", "out of memory in the phase 'baseline' even with one prompt at a time"),
    ],
)
def test_out_of_memory_at_one_row_is_said(run: Run, monkeypatch: pytest.MonkeyPatch, phase: str, said: str) -> None:
    def listen(event: ev.Event) -> None:
        if isinstance(event, ev.PhaseStarted) and event.phase == phase:
            out_of_memory_above(0, monkeypatch)

    with pytest.raises(HereticError, match=said):
        run.go(9, listen)
    assert run.state().outcome == "failed"
    assert said in (run.state().reason or "")
    monkeypatch.undo()
    assert run.go(9) == "done", "what was finished is kept, and the run goes on"


def test_an_edit_that_cannot_be_made_fails_its_trial_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Workbench.job

    def job(self: Workbench, number: int | None, parameters: Parameters | None) -> Job:
        if number == 1:
            raise torch.OutOfMemoryError("out of memory")
        return real(self, number, parameters)

    monkeypatch.setattr(Workbench, "job", job)
    assert run.go(4) == "done"
    assert [trial.state for trial in run.state().trials.values()] == ["complete", "failed", "complete", "complete"]


def test_a_model_that_is_let_go_of_is_gone(run: Run) -> None:
    session = Session(check_inputs(load_settings({**run.settings, "n_trials": 1})), Control())
    session.run()
    assert session.workbench is not None
    model = weakref.ref(session.workbench.model.network)
    session.let_go()
    assert model() is None
    session.close()


def test_another_configuration_is_another_run(run: Run) -> None:
    run.go(1)
    first = run.path.name
    run.settings["edit_method"] = "row_normalised"
    run.go(1)
    assert run.path.name != first


def test_a_lost_study_is_entered_again_from_the_journal(run: Run, tmp_path: Path) -> None:
    run.go(5)
    run.path.study.unlink()
    run.go(7)
    interrupted = run.trials()
    run.settings["runs_dir"] = str(tmp_path / "whole")
    run.go(7)
    assert run.trials() == interrupted


def test_a_lost_end_of_the_journal_is_entered_again_from_the_study(run: Run) -> None:
    run.go(3)
    expected = run.trials()
    lines = run.path.events.read_bytes().splitlines(keepends=True)
    cut = max(i for i, line in enumerate(lines) if b'"trial_started"' in line)
    run.path.events.write_bytes(b"".join(lines[:cut]))
    assert run.go(3) == "done"
    assert [(n, state, kl, refusals) for n, state, _, kl, refusals in run.trials()] == [
        (n, state, kl, refusals) for n, state, _, kl, refusals in expected
    ]
