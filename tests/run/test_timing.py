"""How long a run will take, by an earlier one of the same model."""

from __future__ import annotations

import os
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.run.record import RunRecord
from heretic_tui.run.timing import EarlierTimes, earlier_times


def make(runs: Path, name: str, model: str, seconds: list[float], at: int) -> RunFolder:
    folder = RunFolder(runs / name)
    folder.create()
    folder.save_record(RunRecord(model=model))
    journal = Journal(folder.events)
    journal.append(ev.PhaseFinished(phase="load", seconds=3.0))
    journal.append(ev.PhaseFinished(phase="directions", seconds=5.0))
    journal.append(ev.PhaseFinished(phase="load", seconds=30.0))
    journal.append(ev.PhaseFinished(phase="directions", seconds=0.1, reused=True))
    for number, each in enumerate(seconds):
        journal.append(ev.TrialFinished(number=number, state="dominated" if number % 2 else "complete", seconds=each))
    journal.append(ev.TrialFinished(number=99, state="failed", seconds=1000.0))
    journal.append(ev.PhaseFinished(phase="search", seconds=500.0))
    journal.close()
    os.utime(folder.events, (at, at))
    return folder


def test_the_latest_run_of_the_model_that_has_trials_enough_tells(tmp_path: Path) -> None:
    models = frozenset({"a/b", "/models/b"})
    assert earlier_times(tmp_path / "none", models) is None
    make(tmp_path, "old", "a/b", [1.0] * 8, at=1_000)
    make(tmp_path, "moved", "/models/b", [1.0, 3.0] * 4, at=2_000)
    make(tmp_path, "short", "a/b", [9.0], at=3_000)
    make(tmp_path, "other", "c/d", [9.0] * 8, at=4_000)
    damaged = make(tmp_path, "damaged", "a/b", [9.0] * 8, at=5_000)
    damaged.record.write_text("{", encoding="utf-8")
    assert earlier_times(tmp_path, models) == EarlierTimes("moved", preparation=8.0, trial=2.0, trials=8)
    assert earlier_times(tmp_path, frozenset({"x"})) is None
