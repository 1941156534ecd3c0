"""Screening: what is decoded, what is told of the rest, and that the course of a search is the same after a kill."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heretic_tui import events as ev
from heretic_tui.commands import TakeUp
from heretic_tui.control import Control
from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.search.space import Space
from heretic_tui.engine.search.study import Search
from heretic_tui.engine.session.screener import CALIBRATING
from heretic_tui.engine.session.session import Session
from heretic_tui.engine.session.trial_bench import TrialBench
from heretic_tui.engine.session.trials import Trials
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal, read_events
from heretic_tui.run.results import read_responses
from heretic_tui.run.state import RunState
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work

TRIALS, STARTUP = 44, 20
# Of each evaluation set. A look is at a quarter of them, and at twelve at least.
PROMPTS = 52


def session_of(runs_dir: Path, control: Control, **given: Any) -> Session:
    settings: dict[str, Any] = {"screening": "safe", "seed": 3, "n_trials": TRIALS, "n_startup_trials": STARTUP}
    settings |= {f"{kind}_evaluation_prompts": {"split": f"[:{PROMPTS}]"} for kind in ("good", "bad")}
    settings |= {"runs_dir": str(runs_dir), "layer_test_prompts": 0, "keep_residuals": False, **given}
    return Session(check_inputs(load_settings(settings, base=settings_of_the_demo(), environment=False)), control)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A search of the demo model that nothing interrupted, with its model still in memory."""
    session = session_of(tmp_path_factory.mktemp("whole"), Control())
    assert session.run() == "done"
    yield session
    session.close()


def course(state: RunState) -> list[Any]:
    return [
        (n, t.parameters, t.state, t.figures.get("refusals"), t.at_least, t.estimate, t.error, t.looked_at)
        for n, t in sorted(state.trials.items())
    ]


def assert_same(found: RunState, expected: RunState) -> None:
    for one, other in zip(course(found), course(expected), strict=True):
        assert one == other
    for number, trial in found.trials.items():
        for key, value in trial.figures.items():
            # A sum of a hundred chances, each rounded.
            within = 2e-3 if key == "expected_refusals" else 1e-5
            assert value == pytest.approx(expected.trials[number].figures[key], abs=within)


def trials_on(whole: Session, folder: RunFolder, state: RunState, said: list[ev.Event], looks: int = 1) -> Trials:
    assert whole.workbench
    bench = replace(whole.workbench, run=replace(whole.workbench.run, folder=folder))
    space = Space(bench.model.depth, bench.model.anatomy.components)

    def emit(event: ev.Event) -> None:
        state.fold(event)
        said.append(event)

    study = Search(folder.study, whole.folder.name, 3, STARTUP, space)
    return Trials(study, replace(TrialBench.here(bench), looks_at_once=looks), state, Control(), Work(emit))


def copy_of(whole: Session, to: Path) -> RunFolder:
    shutil.copytree(whole.folder.path, to, ignore=shutil.ignore_patterns("*.safetensors", "lock"))
    return RunFolder(to)


def test_the_front_is_decoded_and_nothing_that_could_be_on_it_is_left(whole: Session, tmp_path: Path) -> None:
    state = whole.state
    states = {name: [t for t in state.trials.values() if t.state == name] for name in ("complete", "screened")}
    assert len(states["complete"]) >= CALIBRATING
    assert len(states["screened"]) > TRIALS // 4
    assert all(trial.number >= CALIBRATING for trial in states["screened"])
    assert all({"refusals"} <= trial.estimate.keys() for trial in states["screened"])
    assert all(trial.error["refusals"] > 0 for trial in states["screened"])
    for trial in state.front():
        assert trial.state == "complete"
        assert len(read_responses(whole.folder, trial.number)) == PROMPTS
    folder = copy_of(whole, tmp_path / "copy")
    assert trials_on(whole, folder, state, []).undecided(TRIALS) == 0


def test_what_was_decoded_after_all_has_the_figures_of_any_measurement(whole: Session) -> None:
    bench, state = whole.workbench, whole.state
    assert bench
    taken = [t for t in state.trials.values() if t.state == "complete" and t.looked_at]
    assert taken
    for trial in taken[:3]:
        measured = bench.measure(trial.parameters).figures
        assert measured["refusals"] == trial.figures["refusals"]
        assert measured["kl_divergence"] == pytest.approx(trial.figures["kl_divergence"], abs=1e-6)


def test_stopped_and_aborted_by_turns_a_search_goes_the_same_way(whole: Session, tmp_path: Path) -> None:
    ends = random.Random(5).sample(range(2, TRIALS), 4)
    for cut, end in enumerate([*sorted(ends), TRIALS]):
        control = Control()
        session = session_of(tmp_path / "runs", control, batch_size=(7, 30, 100)[cut % 3])
        told = 0

        leave = control.abort if cut % 2 else control.stop_after_trial

        def listen(
            event: ev.Event, session: Session = session, leave: Callable[[], object] = leave, end: int = end
        ) -> None:
            nonlocal told
            told += isinstance(event, ev.TrialFinished)
            if session.state.finished >= end and isinstance(event, ev.TrialFinished | ev.TrialsTakenUp) and told > 1:
                leave()

        session.listeners.append(listen)
        assert session.run() == "interrupted"
        session.close()
    session = session_of(tmp_path / "runs", Control())
    assert session.run() == "done"
    session.close()
    assert_same(session.state, whole.state)


def test_events_cut_anywhere_lead_to_the_same_trials(whole: Session, tmp_path: Path) -> None:
    lines = whole.folder.events.read_bytes().splitlines(keepends=True)
    taken = [i for i, line in enumerate(lines) if b'"trials_taken_up"' in line]
    # In the midst of rounds, and anywhere.
    cuts = [taken[0] + 1, taken[0] + 2, taken[-1] + 1, *random.Random(2).sample(range(taken[0], len(lines)), 4)]
    for number, cut in enumerate(cuts):
        folder = copy_of(whole, tmp_path / str(number))
        folder.events.write_bytes(b"".join(lines[:cut]))
        state = RunState.replay(read_events(folder.events))
        assert state.opened
        state.fold(state.opened)
        trials = trials_on(whole, folder, state, [])
        while trials.next(TRIALS, may_ask=True) is not None:
            pass
        assert_same(state, whole.state)


def test_a_search_that_is_to_have_fewer_trials_than_it_has_decides_its_front(whole: Session, tmp_path: Path) -> None:
    lines = whole.folder.events.read_bytes().splitlines(keepends=True)
    # Its trials have all been looked at, and none was decoded at the end yet.
    last = max(i for i, line in enumerate(lines) if b'"trial_started"' in line)
    cut = next(i for i, line in enumerate(lines) if i > last and b'"trials_taken_up"' in line)
    folder = copy_of(whole, tmp_path / "copy")
    folder.events.write_bytes(b"".join(lines[:cut]))
    state = RunState.replay(read_events(folder.events))
    trials = trials_on(whole, folder, state, [])
    fewer = TRIALS - 15
    assert len(state.trials) == TRIALS
    while trials.next(fewer, may_ask=True) is not None:
        pass
    assert any(t.state == "screened" for t in state.trials.values())
    assert trials.undecided(fewer) == 0


def test_a_screened_trial_is_taken_up_by_hand(whole: Session, tmp_path: Path) -> None:
    folder = copy_of(whole, tmp_path / "copy")
    state = RunState.replay(read_events(folder.events))
    chosen = next(t.number for t in state.trials.values() if t.state == "screened")
    said: list[ev.Event] = []
    trials = trials_on(whole, folder, state, said)
    trials.take_up(TakeUp(chosen).trial)
    while trials.next(TRIALS, may_ask=True) is not None:
        pass
    assert state.trials[chosen].state in ("complete", "dominated")
    assert [type(event) for event in said if not isinstance(event, ev.Progress)][:1] == [ev.TrialsTakenUp]
    trials.take_up(chosen)
    assert not trials.in_hand


def test_with_several_that_are_looked_at_in_hand_a_search_goes_the_same_way_from_where_it_was_cut(
    whole: Session, tmp_path: Path
) -> None:
    count = 26
    most = 0

    def search(folder: RunFolder, lines: list[bytes]) -> RunState:
        nonlocal most
        folder.events.write_bytes(b"".join(lines))
        folder.study.unlink()
        state = RunState.replay(read_events(folder.events))
        assert state.opened
        state.fold(state.opened)
        said: list[ev.Event] = []
        trials = trials_on(whole, folder, state, said, looks=4)
        while trials.next(count, may_ask=True) is not None:
            most = max(most, sum(trial.runs and trial.number >= CALIBRATING for trial in state.trials.values()))
        journal = Journal(folder.events)
        for event in said:
            journal.append(event)
        journal.close()
        assert trials.undecided(count) == 0
        return state

    lines = whole.folder.events.read_bytes().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if b'"trial_started"' in line)
    folder = copy_of(whole, tmp_path / "copy")
    expected = search(folder, lines[:first])
    assert most == 3, "one has just ended, and the others are in hand"
    assert len(expected.trials) == count
    lines = folder.events.read_bytes().splitlines(keepends=True)
    looked = [i for i, line in enumerate(lines) if b'"screened"' in line]
    # Among those of the first round that were in hand together.
    assert_same(search(copy_of(whole, tmp_path / "again"), lines[: looked[5] + 1]), expected)
