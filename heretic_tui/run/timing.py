"""How long an earlier run of the same model took on this machine: what a new one will take, as far as anybody knows."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.errors import HereticError
from heretic_tui.run.folder import RunFolder, find_runs
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import MEASURED_STATES

# A search of fewer trials says little: the first ones wait for what later ones find done.
_ENOUGH = 5


@dataclass(frozen=True)
class EarlierTimes:
    """In seconds.

    Attributes:
        run: the run's name.
        preparation: all phases before the search, as long as they took when they were first gone through.
        trial: the mean from the end of one trial to that of the next, cut short or not.
        trials: how many they were.
    """

    run: str
    preparation: float
    trial: float
    trials: int


def earlier_times(runs_dir: Path, models: frozenset[str]) -> EarlierTimes | None:
    """Those of the latest run of a model that says something; None where there is none.

    Args:
        models: what the model is called in run.json: as it was typed, and by its absolute path.
    """
    found: list[tuple[float, RunFolder]] = []
    try:
        folders = find_runs(runs_dir)
    except HereticError:
        return None
    for folder in folders:
        # A run that is damaged is no other's to tell.
        with suppress(HereticError, OSError):
            if folder.read_record().model in models:
                found.append((folder.events.stat().st_mtime, folder))
    for _, folder in sorted(found, key=lambda each: each[0], reverse=True):
        with suppress(HereticError):
            if times := _times(folder):
                return times
    return None


def _times(folder: RunFolder) -> EarlierTimes | None:
    phases: dict[str, float] = {}
    # Several trials are in hand at a time: what one takes is the time from the end of one to the end of the next.
    search, trials, since = 0.0, 0, None
    for event in read_events(folder.events):
        match event:
            case ev.PhaseFinished() if event.phase != "search" and not event.reused:
                phases.setdefault(event.phase, event.seconds)
            case ev.TrialStarted() if since is None:
                since = event.time
            case ev.TrialFinished() if since is not None and event.state in MEASURED_STATES:
                search, trials, since = search + max(0.0, event.time - since), trials + 1, event.time
            case ev.RunOpened() | ev.StateChanged() | ev.RunEnded():
                # What lies between two sessions, or in a pause, is no time of a trial.
                since = None
    if trials < _ENOUGH:
        return None
    return EarlierTimes(folder.name, sum(phases.values()), search / trials, trials)
