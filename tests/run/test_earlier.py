"""How long preparations took earlier."""

from __future__ import annotations

from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.run.earlier import earlier_phases
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.run.record import RunRecord
from tests.support import fake_run


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
    exported = [ended("layers", 7.0), ev.TrialStarted(number=0, parameters=None), ended("load", 90.0)]
    write_run(tmp_path, "exported", "acme/a", *exported)
    write_run(tmp_path, "own", "acme/a", ended("load", 1000.0))
    found = earlier_phases(tmp_path, "acme/a", "own")
    assert (found.seconds, found.runs) == ({"load": 20.0, "residuals": 1.0, "layers": 7.0}, 4)


def test_nothing_is_known_where_there_are_no_runs_or_they_are_damaged(tmp_path: Path) -> None:
    assert earlier_phases(tmp_path / "none", "acme/a", "own").runs == 0
    write_run(tmp_path, "damaged", "acme/a", ended("load", 3.0))
    (tmp_path / "damaged" / "events.jsonl").write_text("{}\nno JSON\n{}\n", encoding="utf-8")
    assert earlier_phases(tmp_path, "acme/a", "own").seconds == {}
