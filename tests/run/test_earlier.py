"""How long preparations and trials took in earlier runs of a model."""

from __future__ import annotations

import os
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.earlier import EarlierTimes, earlier_phases, earlier_times
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.run.record import RunRecord
from tests.support import fake_run

PARAMETERS = Parameters(None, {"attn.o_proj": Kernel(1.0, 2.0, 1.0, 2.0)})


def write_run(runs: Path, name: str, model: str, *events: ev.Event) -> None:
    run = RunFolder(runs / name)
    run.create()
    run.save_record(RunRecord(model=model))
    journal = Journal(run.events)
    opened = ev.RunOpened(**{**vars(fake_run.opened()), "model": model})
    for event in (opened, *events):
        journal.append(event)
    journal.close()


def ended(phase: str, seconds: float, reused: bool = False) -> ev.PhaseFinished:
    return ev.PhaseFinished(phase=phase, seconds=seconds, reused=reused)


def test_the_median_of_the_runs_of_this_model_but_not_of_what_was_reused_or_came_later(tmp_path: Path) -> None:
    for number, seconds in enumerate((10.0, 30.0, 20.0)):
        write_run(
            tmp_path, f"run-{number}", "acme/a", ended("load", seconds), ended("residuals", 1.0, reused=number > 0)
        )
    write_run(tmp_path, "other", "acme/b", ended("load", 500.0))
    exported = [
        ended("directions", 7.0),
        ended("layers", 50.0),
        ev.TrialStarted(number=0, parameters=None),
        ended("load", 90.0),
    ]
    write_run(tmp_path, "exported", "acme/a", *exported)
    write_run(tmp_path, "own", "acme/a", ended("load", 1000.0))
    found = earlier_phases(tmp_path, "acme/a", "own")
    assert (found.seconds, found.runs) == ({"load": 20.0, "residuals": 1.0, "directions": 7.0}, 4)


def test_nothing_is_known_where_there_are_no_runs_or_they_are_damaged(tmp_path: Path) -> None:
    assert earlier_phases(tmp_path / "none", "acme/a", "own").runs == 0
    write_run(tmp_path, "damaged", "acme/a", ended("load", 3.0))
    (tmp_path / "damaged" / "events.jsonl").write_text("{}\nno JSON\n{}\n", encoding="utf-8")
    assert earlier_phases(tmp_path, "acme/a", "own").seconds == {}


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
    journal.append(ev.PhaseFinished(phase="layers", seconds=11.0))
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
    assert earlier_times(tmp_path, models) == EarlierTimes("moved", preparation=8.0, trial=2.0, trials=8, analysis=11.0)
    assert earlier_times(tmp_path, frozenset({"x"})) is None
