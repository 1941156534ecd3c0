"""How long a run will take, by an earlier one of the same model."""

from __future__ import annotations

import os
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.run.record import RunRecord
from heretic_tui.run.timing import EarlierTimes, earlier_times

PARAMETERS = Parameters(None, {"attn.o_proj": Kernel(1.0, 2.0, 1.0, 2.0)})


def make(runs: Path, name: str, model: str, seconds: list[float], at: int) -> RunFolder:
    """A run of two sessions; `seconds` from the end of each trial of both to the next."""
    folder = RunFolder(runs / name)
    folder.create()
    folder.save_record(RunRecord(model=model))
    journal = Journal(folder.events)
    journal.append(ev.PhaseFinished(phase="load", seconds=3.0))
    journal.append(ev.PhaseFinished(phase="directions", seconds=5.0))
    journal.append(ev.PhaseFinished(phase="load", seconds=30.0))
    journal.append(ev.PhaseFinished(phase="directions", seconds=0.1, reused=True))
    now = 100.0
    for number, each in enumerate(seconds):
        if number % 4 == 0:
            # A session begins, long after the last one, with two trials in hand.
            journal.append(ev.RunEnded(outcome="interrupted", time=now))
            now += 5_000
            journal.append(ev.TrialStarted(number=number, parameters=PARAMETERS, time=now))
            journal.append(ev.TrialStarted(number=number + 1, parameters=PARAMETERS, time=now))
        now += each
        figures = {"kl_divergence": 0.1, "refusals": 5}
        journal.append(ev.TrialFinished(number=number, state="complete", figures=figures, seconds=40.0, time=now))
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
