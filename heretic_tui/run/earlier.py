"""How long the steps before a search took in earlier runs of the same model, from their journals."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.errors import HereticError
from heretic_tui.run.folder import RunFolder, find_runs
from heretic_tui.run.journal import read_events

# The latest runs are looked at; a machine changes, and so do models.
_MOST = 5


@dataclass(frozen=True)
class EarlierPhases:
    """Seconds of each phase, the median of `runs` earlier runs; a phase that none of them went through is missing."""

    seconds: Mapping[str, float] = field(default_factory=dict)
    runs: int = 0


def earlier_phases(runs_dir: Path, model: str, but: str) -> EarlierPhases:
    """What the runs in a folder tell. Journals may be long: to be called on a thread.

    Args:
        but: name of the run that is asked about, which is none of the earlier ones.
    """
    found: dict[str, list[float]] = defaultdict(list)
    with suppress(HereticError, OSError):
        runs = [run for run in find_runs(runs_dir) if run.name != but and run.events.is_file()]
        runs.sort(key=lambda run: run.events.stat().st_mtime, reverse=True)
        counted = 0
        for run in runs:
            if counted < _MOST and (seconds := _phases_of(run, model)):
                counted += 1
                for phase, each in seconds.items():
                    found[phase].append(each)
        return EarlierPhases({phase: statistics.median(each) for phase, each in found.items()}, counted)
    return EarlierPhases()


def _phases_of(run: RunFolder, model: str) -> dict[str, float]:
    """Seconds of the phases that a run went through before its first trial; none for a run of another model, or one
    that cannot be read."""
    found: dict[str, float] = {}
    with suppress(HereticError):
        for event in read_events(run.events):
            match event:
                case ev.RunOpened() if event.model != model:
                    return {}
                case ev.PhaseFinished() if not event.reused:
                    found[event.phase] = event.seconds
                case ev.TrialStarted():
                    break
    return found
