"""A run in a few figures."""

from __future__ import annotations

import os
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.report.runs import counted_trials
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import Journal
from heretic_tui.run.overview import overview
from heretic_tui.run.record import RunRecord
from tests.support import fake_run


def test_a_run_that_waits_is_not_listed_as_running(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.save_record(RunRecord(model="acme/guarded-8b"))
    journal = Journal(folder.events)
    for event in (*fake_run.story(trials=3, n_trials=2, running=False), ev.PhaseStarted(phase="ready")):
        journal.append(event)
    folder.lock()
    found = overview(folder)
    assert found.state == f"ready ({os.getpid()})"
    assert counted_trials(found) == "3/3", "as many as are done, where fewer are planned now"
    journal.append(ev.StateChanged(state="paused"))
    assert overview(folder).state == f"paused ({os.getpid()})"
    folder.unlock()
    assert overview(folder).state == "stopped"
    journal.close()
