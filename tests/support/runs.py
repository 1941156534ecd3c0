"""Run folders with a story of a test's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.run.record import RunRecord
from heretic_tui.settings.record import to_record
from heretic_tui.settings.sources import load_settings

DONE: list[ev.Event] = [ev.PhaseStarted(phase="ready"), ev.RunEnded(outcome="done")]


def make_run(path: Path, events: Iterable[ev.Event]) -> RunFolder:
    """A run whose model is called like its folder, with these events in its journal."""
    run = RunFolder(path)
    run.create()
    model = f"acme/{path.name}"
    settings = to_record(load_settings({"model": model}, environment=False))
    run.save_record(RunRecord(run=path.name, model=model, settings=settings, identity={"model": model}, seed=1))
    append(run, events)
    return run


def append(run: RunFolder, events: Iterable[ev.Event]) -> None:
    """Add events to the journal of a run."""
    journal = Journal(run.events)
    for event in events:
        journal.append(event)
    journal.close()
