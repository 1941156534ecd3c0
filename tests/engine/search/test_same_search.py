"""The same seed asks for the same trials: whatever the batch, the clock, and what cut a run off."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heretic_tui import events as ev
from heretic_tui.control import Control
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.search.space import Space
from heretic_tui.engine.search.study import Search
from heretic_tui.engine.session.phases.baseline import trials_at_once
from heretic_tui.engine.session.session import Session
from heretic_tui.engine.session.trial_bench import TrialBench
from heretic_tui.engine.session.trials import Trials
from heretic_tui.errors import UsageError
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work

TRIALS = 14
AT_ONCE = 3


def settings(model: Path, sets: list[str], runs_dir: Path, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        flag[2:].replace("-", "_"): value for flag, value in zip(sets[::2], sets[1::2], strict=True)
    }
    given |= {"model": str(model), "runs_dir": str(runs_dir), "seed": 1, "n_startup_trials": 3}
    return given | {"n_trials": TRIALS, "trials_at_once": AT_ONCE, "response_prefix": "", **more}


def seed_of(state: RunState) -> int:
    assert state.opened is not None
    return state.opened.seed


def course(state: RunState) -> list[dict[str, Any]]:
    """What was asked for, what came of it, and what the sampler was told, trial by trial."""
    names = ("number", "parameters", "sampled", "state", "at_least", "estimate", "prompts")
    return [
        {**{name: getattr(trial, name) for name in names}, "refusals": trial.figures.get("refusals")}
        for _, trial in sorted(state.trials.items())
    ]


def assert_same(found: RunState, expected: RunState) -> None:
    for one, other in zip(course(found), course(expected), strict=True):
        assert one == other
    for number, trial in found.trials.items():
        # The last digits depend on what else was in the batch.
        assert trial.figures == pytest.approx(expected.trials[number].figures, abs=1e-6)


class Told:
    """A finished run, with its model still in memory, to be cut and gone on with many times."""

    def __init__(self, session: Session) -> None:
        assert session.workbench is not None
        self.bench = session.workbench
        self.folder = session.folder
        self.expected = RunState.replay(read_events(session.folder.events))
        self.told = self.study(session.folder)

    def search(self, folder: RunFolder) -> Search:
        model = self.bench.model
        return Search(folder.study, self.folder.name, 1, 3, Space(model.depth, model.anatomy.components))

    def study(self, folder: RunFolder) -> list[tuple[float, float] | None]:
        search = self.search(folder)
        return [search.told(number) for number in range(TRIALS)]

    def go_on(self, folder: RunFolder) -> tuple[RunState, list[ev.Event]]:
        """Resume in a folder; returns the state at the end, and what was told meanwhile."""
        state, said = RunState.replay(read_events(folder.events)), []
        if state.opened:
            state.fold(state.opened)

        def emit(event: ev.Event) -> None:
            state.fold(event)
            said.append(event)

        bench = replace(self.bench, run=replace(self.bench.run, folder=folder))
        trials = Trials(self.search(folder), TrialBench.here(bench), state, Control(), Work(emit))
        while trials.next(TRIALS, may_ask=True) is not None:
            pass
        return state, said


@pytest.fixture(scope="module")
def told(tiny_folder: Path, sets: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    runs_dir = tmp_path_factory.mktemp("told")
    session = Session(check_inputs(load_settings(settings(tiny_folder, sets, runs_dir))), Control())
    assert session.run() == "done"
    yield Told(session)
    session.close()


@pytest.fixture
def copy(told: Told, tmp_path: Path) -> RunFolder:
    """A copy of what trials need of that run."""
    folder = RunFolder(tmp_path / "copy")
    shutil.copytree(told.folder.path, folder.path, ignore=shutil.ignore_patterns("*.safetensors", "lock"))
    return folder


def test_batches_and_the_clock_change_nothing_and_neither_does_what_interrupts(
    told: Told, tiny_folder: Path, sets: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {trial.state for trial in told.expected.trials.values()} == {"complete", "dominated"}
    # Found by measuring: a batch, and what a step costs, so that as much as possible is guessed.
    monkeypatch.setattr(
        "heretic_tui.engine.session.phases.batch_size.choose_batch_size", lambda *_: (7, {1: 1.0, 1000: 1.0})
    )
    whole = Session(check_inputs(load_settings(settings(tiny_folder, sets, tmp_path / "a", batch_size=0))), Control())
    whole.run()
    whole.close()
    assert_same(whole.state, told.expected)
    # Stopped and aborted by turns, with another batch every time.
    for cut, end in enumerate([1, 4, 5, 9]):
        control = Control()
        given = settings(tiny_folder, sets, tmp_path / "b", batch_size=cut + 1)
        session = Session(check_inputs(load_settings(given)), control)

        def listen(
            event: ev.Event, session: Session = session, control: Control = control, end: int = end, cut: int = cut
        ) -> None:
            if isinstance(event, ev.TrialFinished) and session.state.finished == end:
                (control.abort if cut % 2 else control.stop_after_trial)()

        session.listeners.append(listen)
        assert session.run() == "interrupted"
        session.close()
    session = Session(
        check_inputs(load_settings(settings(tiny_folder, sets, tmp_path / "b", batch_size=30))), Control()
    )
    session.run()
    session.close()
    assert_same(session.state, told.expected)


def test_how_many_trials_are_in_hand_hangs_on_nothing_measured(told: Told, copy: RunFolder) -> None:
    found = set()
    settings = told.bench.run.settings.model_copy(update={"trials_at_once": 0})
    run, before = replace(told.bench.run, folder=copy, settings=settings), told.bench.model.batch_size
    copy.record.unlink()
    try:
        for size in (1, 5, 500):
            told.bench.model.batch_size = size
            found.add(trials_at_once(run, together=True))
    finally:
        told.bench.model.batch_size = before
    assert len(found) == 1


def test_events_cut_anywhere_come_back_from_the_study(told: Told, copy: RunFolder) -> None:
    lines = told.folder.events.read_bytes().splitlines(keepends=True)
    first = next(i for i, line in enumerate(lines) if b'"trial_started"' in line)
    for cut in range(first, len(lines)):
        copy.events.write_bytes(b"".join(lines[:cut]))
        shutil.copy(told.folder.study, copy.study)
        state, said = told.go_on(copy)
        assert not [event for event in said if isinstance(event, ev.Measured)], "nothing is measured again"
        assert_same(state, told.expected)
        for number, trial in state.trials.items():
            assert trial.figures == told.expected.trials[number].figures
            assert trial.stages == told.expected.trials[number].stages


def test_a_study_cut_anywhere_is_made_whole_from_the_events(told: Told, copy: RunFolder) -> None:
    data = told.folder.study.read_bytes()
    lines = data.splitlines(keepends=True)
    for cut in range(len(lines)):
        # Every other time within a line.
        copy.study.write_bytes(b"".join(lines[:cut]) + (lines[cut][: len(lines[cut]) // 2] if cut % 2 else b""))
        state, said = told.go_on(copy)
        assert not said
        assert_same(state, told.expected)
        assert told.study(copy) == told.told


def test_both_cut_at_once_and_lines_lost_in_the_middle(told: Told, copy: RunFolder) -> None:
    events = told.folder.events.read_bytes().splitlines(keepends=True)
    study = told.folder.study.read_bytes().splitlines(keepends=True)
    first = next(i for i, line in enumerate(events) if b'"trial_started"' in line)
    for step in range(1, 8):
        lost = range(first, len(events), step + 2) if step % 2 else range(len(events) - 4 * step, len(events))
        copy.events.write_bytes(b"".join(line for i, line in enumerate(events) if i not in lost))
        copy.study.write_bytes(b"".join(study[: len(study) * step // 8]))
        state, _ = told.go_on(copy)
        assert_same(state, told.expected)
        assert told.study(copy) == told.told


def test_a_study_of_other_parameters_is_not_paired_with_the_figures(told: Told, copy: RunFolder) -> None:
    copy.study.unlink()
    other = Search(copy.study, told.folder.name, 2, 3, Space(4, told.bench.model.anatomy.components))
    for number in range(6):
        other.ask(number)
        if number < 5:
            figures = {"kl_divergence": 0.1, "refusals": 2}
            other.tell(number, (0.1, 2), {"state": "complete", "figures": figures, "prompts": 6})
    state, said = told.go_on(copy)
    assert not said
    assert_same(state, told.expected)
    assert told.study(copy) == told.told


def test_a_study_of_an_older_version_gives_what_it_and_the_responses_hold(told: Told, copy: RunFolder) -> None:
    dominated = {n for n, trial in told.expected.trials.items() if trial.state == "dominated"}
    lines = []
    for line in map(json.loads, told.folder.study.read_text(encoding="utf-8").splitlines()):
        if (kept := line.get("user_attr", {}).get("ended")) is None:
            lines.append(line)
        elif kept["state"] == "dominated":
            lines.append({**line, "user_attr": {"refusals are estimated": True}})
    copy.study.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    events = told.folder.events.read_bytes().splitlines(keepends=True)
    cut = next(i for i, line in enumerate(events) if b'"trial_started"' in line)
    copy.events.write_bytes(b"".join(events[:cut]))
    state, _ = told.go_on(copy)
    assert dominated
    for number, trial in state.trials.items():
        expected = told.expected.trials[number]
        # Of broken responses older versions knew nothing.
        least = {key: value for key, value in expected.at_least.items() if key != "broken"}
        assert (trial.state, trial.at_least, trial.estimate) == (expected.state, least, expected.estimate)
        assert trial.figures.get("refusals") == expected.figures.get("refusals")
        assert trial.prompts == expected.prompts


def test_a_seed_that_was_changed_in_the_folder_is_refused(tiny_folder: Path, sets: list[str], tmp_path: Path) -> None:
    given = settings(tiny_folder, sets, tmp_path / "runs", n_trials=1)

    def go() -> Session:
        session = Session(check_inputs(load_settings(given)), Control())
        try:
            session.run()
        finally:
            session.close()
        return session

    folder = go().folder
    folder.save_record(replace(folder.read_record(), seed=9))
    with pytest.raises(UsageError, match=r"is 1 by --seed, 9 by run\.json, 1 by events\.jsonl"):
        go()
    assert RunState.replay(read_events(folder.events)).finished == 1
    folder.save_record(replace(folder.read_record(), seed=None))
    assert seed_of(go().state) == 1
    # A seed that was drawn is in two places.
    del given["seed"]
    drawn = go()
    seed = seed_of(drawn.state)
    drawn.folder.save_record(replace(drawn.folder.read_record(), seed=seed + 1))
    with pytest.raises(UsageError, match=f"is {seed + 1} by run.json, {seed} by events.jsonl"):
        go()
    drawn.folder.record.unlink()
    assert seed_of(go().state) == seed
