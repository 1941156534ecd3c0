"""The analysis of the layers in a session: never before the first trial, made at the end, made when it is asked for,
and giving way to what people ask for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heretic_tui import events as ev
from heretic_tui.commands import Analyse, Chat, Command, MoreTrials
from heretic_tui.control import Control
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.session.session import Session
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState
from heretic_tui.settings.sources import load_settings

Listener = Callable[[Session, ev.Event], None]


class Runs:
    """Sessions on one run folder, one after the other."""

    def __init__(self, model: Path, flags: list[str], runs_dir: Path) -> None:
        pairs = zip(flags[::2], flags[1::2], strict=True)
        self.settings: dict[str, Any] = {name[2:].replace("-", "_"): value for name, value in pairs}
        self.settings |= {"model": str(model), "runs_dir": str(runs_dir), "seed": 1, "n_startup_trials": 3}
        self.events: list[ev.Event] = []

    def go(self, n_trials: int, listener: Listener = lambda session, event: None, stay: bool = False) -> str:
        self.events, self.control = [], Control()
        session = Session(check_inputs(load_settings({**self.settings, "n_trials": n_trials})), self.control)
        session.listeners += [self.events.append, lambda event: listener(session, event)]
        self.folder: RunFolder = session.folder
        try:
            return session.run(stay=stay)
        finally:
            session.close()

    def of(self, kind: type[ev.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def order(self, *kinds: type[ev.Event]) -> list[str]:
        return [event.type for event in self.events if isinstance(event, kinds)]

    @property
    def state(self) -> RunState:
        return RunState.replay(read_events(self.folder.events))


@pytest.fixture
def runs(tiny_folder: Path, sets: list[str], tmp_path: Path) -> Runs:
    return Runs(tiny_folder, sets, tmp_path / "runs")


def test_what_it_took_beside_its_plan_is_told_when_the_search_is_done(runs: Runs) -> None:
    assert runs.go(2) == "done"
    assert runs.order(ev.TrialFinished, ev.RunTook, ev.RunEnded) == ["trial_finished"] * 2 + ["run_took", "run_ended"]
    rows = {row.name: row for row in runs.of(ev.RunTook)[0].rows}
    assert rows["memory"].planned
    assert rows["run folder"].planned
    assert rows["run folder"].was
    assert runs.go(2) == "done"
    assert not runs.of(ev.RunTook), "nothing was measured"
    assert list(runs.state.took) == list(rows.values())


def chat(number: int) -> Chat:
    return Chat(number, None, (("user", "Hello"),), "")


def test_no_trial_waits_for_the_analysis_which_comes_when_the_search_is_done(runs: Runs) -> None:
    assert runs.go(3) == "done"
    kinds = (ev.TrialFinished, ev.LayersAnalysed, ev.AnalysisEnded, ev.RunEnded)
    assert runs.order(*kinds) == ["trial_finished"] * 3 + ["layers_analysed", "analysis_ended", "run_ended"]
    assert runs.of(ev.AnalysisEnded)[0].error is None
    assert runs.folder.geometry.is_file()
    assert runs.go(3) == "done"
    assert not runs.of(ev.LayersAnalysed)
    assert runs.state.analysis


def test_a_search_that_was_stopped_is_not_analysed_and_the_session_that_ends_it_does_it(runs: Runs) -> None:
    def stop(session: Session, event: ev.Event) -> None:
        if isinstance(event, ev.TrialStarted):
            runs.control.stop_after_trial()

    assert runs.go(6, stop) == "interrupted"
    assert runs.of(ev.PhaseStarted)[-1].phase != "layers"
    assert not runs.folder.geometry.exists()
    assert runs.go(6) == "done"
    assert runs.folder.geometry.is_file()


def test_a_run_whose_search_ended_but_whose_analysis_was_not_made_makes_it(runs: Runs) -> None:
    def abort(session: Session, event: ev.Event) -> None:
        if isinstance(event, ev.PhaseStarted) and event.phase == "layers":
            runs.control.abort()

    # All trials are there: that the analysis was cancelled makes the run no less done.
    assert runs.go(2, abort) == "done"
    assert [event.error for event in runs.of(ev.AnalysisEnded)] == ["cancelled"]
    assert not runs.folder.geometry.exists()
    assert runs.go(2) == "done"
    assert not runs.of(ev.TrialStarted)
    assert runs.order(ev.LayersAnalysed)
    assert runs.folder.geometry.is_file()


def test_an_analysis_that_is_lost_or_damaged_is_made_again(runs: Runs) -> None:
    runs.go(1)
    runs.folder.geometry.write_text("{")
    assert runs.go(1) == "done"
    assert [event for event in runs.of(ev.Notice) if "geometry.json" in event.text and event.level == "warning"]
    assert runs.order(ev.LayersAnalysed)


def test_an_analysis_that_fails_costs_no_run(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("heretic_tui.engine.session.phases.layers.geometry_of", fail)
    assert runs.go(1) == "done"
    assert [event.error for event in runs.of(ev.AnalysisEnded)] == ["no such thing"]
    assert not runs.folder.geometry.exists()


def test_it_is_made_between_trials_when_it_is_asked_for(runs: Runs) -> None:
    runs.settings["trials_at_once"] = 1

    def ask(session: Session, event: ev.Event) -> None:
        # Before anything is ready: still no trial waits for it.
        if isinstance(event, ev.RunOpened):
            runs.control.send(Analyse())

    assert runs.go(3, ask) == "done"
    order = runs.order(ev.TrialFinished, ev.LayersAnalysed)
    assert order == ["trial_finished", "layers_analysed", "trial_finished", "trial_finished"]
    phases = [event.phase for event in runs.of(ev.PhaseStarted)]
    assert phases[-4:] == ["search", "layers", "search", "ready"]


def test_a_pause_before_the_first_trial_does_not_let_it_in(runs: Runs) -> None:
    def hold(session: Session, event: ev.Event) -> None:
        match event:
            case ev.TrialStarted() if not session.state.finished and not runs.control.paused:
                runs.control.pause()
                runs.control.send(Analyse())
            case ev.StateChanged(state="paused"):
                threading.Timer(0, runs.control.resume).start()

    assert runs.go(2, hold) == "done"
    assert runs.order(ev.TrialFinished, ev.LayersAnalysed)[0] == "trial_finished"
    # Asked for twice, made once.
    assert [event.error for event in runs.of(ev.AnalysisEnded)] == [None, None]
    assert [event.phase for event in runs.of(ev.PhaseStarted)].count("layers") == 1


def test_a_waiting_session_analyses_by_itself_and_gives_way_to_more_trials(runs: Runs) -> None:
    def more(session: Session, event: ev.Event) -> None:
        match event:
            case ev.PhaseStarted(phase="layers") if session.state.finished == 2:
                runs.control.send(MoreTrials(3))
            case ev.LayersAnalysed():
                runs.control.close()

    assert runs.go(2, more, stay=True) == "done"
    order = runs.order(ev.TrialFinished, ev.AnalysisEnded, ev.LayersAnalysed)
    assert order == ["trial_finished"] * 2 + ["analysis_ended", "trial_finished", "layers_analysed", "analysis_ended"]
    assert [event.error is None for event in runs.of(ev.AnalysisEnded)] == [False, True]


def test_models_answer_while_the_layers_are_analysed(runs: Runs) -> None:
    def ask(session: Session, event: ev.Event) -> None:
        match event:
            case ev.PhaseStarted(phase="layers"):
                runs.control.send(chat(1))
            case ev.AnalysisEnded():
                runs.control.close()

    runs.go(1, ask, stay=True)
    assert runs.order(ev.ChatEnded, ev.LayersAnalysed) == ["chat_ended", "layers_analysed"]
    assert runs.of(ev.ChatEnded)[0].reason in ("end", "length")


def test_what_was_asked_for_is_cancelled_alone_and_gives_way_to_nothing(runs: Runs) -> None:
    asked = Analyse()
    commands: list[Command] = [MoreTrials(2)]

    def cancel(session: Session, event: ev.Event) -> None:
        match event:
            case ev.TrialFinished() if session.state.finished == 1:
                runs.control.send(asked)
            case ev.PhaseStarted(phase="layers") if commands:
                runs.control.send(commands.pop())
                runs.control.cancel(asked)
            case ev.TrialFinished() if session.state.finished == 2:
                runs.control.send(Analyse())
            case ev.LayersAnalysed():
                runs.control.close()

    assert runs.go(1, cancel, stay=True) == "done"
    assert [event.error for event in runs.of(ev.AnalysisEnded)] == ["cancelled", None]


def test_whoever_quits_does_not_wait_for_it(runs: Runs) -> None:
    def leave(session: Session, event: ev.Event) -> None:
        if isinstance(event, ev.PhaseStarted) and event.phase == "layers":
            runs.control.close()

    assert runs.go(1, leave, stay=True) == "done"
    assert not runs.of(ev.LayersAnalysed)
    assert not runs.folder.geometry.exists()
