"""What earlier runs of the same model tell: how long they took on this machine, from their journals, which is what a
new one will take, as far as anybody knows; and which of them has found what another piece of work needs."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.errors import HereticError
from heretic_tui.run.folder import RunFolder, latest_first
from heretic_tui.run.journal import read_events
from heretic_tui.run.trial_record import KNOWN_STATES

# The latest runs are looked at; a machine changes, and so do models.
_MOST = 5
# A search of fewer trials says little: the first ones wait for what later ones find done.
_ENOUGH = 5
# Phases that stand before no trial. (Older versions analysed the layers before the search.)
_AFTER = ("search", "layers", "ready")


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
    others = (run for run in _latest_first(runs_dir) if run.name != but)
    known = list(itertools.islice(filter(None, (_phases_of(run, model) for run in others)), _MOST))
    found: dict[str, list[float]] = defaultdict(list)
    for seconds in known:
        for phase, each in seconds.items():
            found[phase].append(each)
    return EarlierPhases({phase: statistics.median(each) for phase, each in found.items()}, len(known))


def _phases_of(run: RunFolder, model: str) -> dict[str, float]:
    """Seconds of the phases that a run went through before its first trial; none for a run of another model, or one
    that cannot be read."""
    found: dict[str, float] = {}
    with suppress(HereticError):
        for event in read_events(run.events):
            match event:
                case ev.RunOpened() if event.model != model:
                    return {}
                case ev.PhaseFinished() if not event.reused and event.phase not in _AFTER:
                    found[event.phase] = event.seconds
                case ev.TrialStarted():
                    break
    return found


@dataclass(frozen=True)
class EarlierTimes:
    """In seconds.

    Attributes:
        run: the run's name.
        preparation: all phases before the search, as long as they took when they were first gone through.
        trial: the mean from the end of one trial to that of the next, cut short, screened or not; with the decoding of
            those that were screened first.
        trials: how many they were.
        screening: the setting of that run.
        analysis: that of the layers, when the search is done; 0 where the run has none.
        workers, worker_gpus: how many workers it began with, 0 for one process alone, and how many GPUs each had.
    """

    run: str
    preparation: float
    trial: float
    trials: int
    screening: str = "off"
    analysis: float = 0.0
    workers: int = 0
    worker_gpus: float = 1.0


def earlier_times(runs_dir: Path, models: frozenset[str]) -> EarlierTimes | None:
    """Those of the latest run of a model that says something; None where there is none.

    Args:
        models: what the model is called in run.json: as it was typed, and by its absolute path.
    """
    for run in _latest_first(runs_dir):
        # A run that is damaged is no other's to tell.
        with suppress(HereticError):
            record = run.read_record()
            if record.model in models and (times := times_of(run)):
                each = (record.settings or {}).get("worker_gpus")
                return replace(times, workers=record.workers, worker_gpus=each if isinstance(each, float) else 1.0)
    return None


def times_of(run: RunFolder) -> EarlierTimes | None:
    """Those of one run; None where it has too few trials to tell."""
    phases: dict[str, float] = {}
    # Several trials are in hand at a time: what one takes is the time from the end of one to the end of the next.
    search, since, analysis = 0.0, None, 0.0
    known: set[int] = set()
    screening = "off"
    for event in read_events(run.events):
        match event:
            case ev.PhaseFinished(phase="layers") if not event.reused:
                analysis = event.seconds
                # What was analysed between two trials is no time of either.
                since = None
            case ev.PhaseFinished() if event.phase not in _AFTER and not event.reused:
                phases.setdefault(event.phase, event.seconds)
            case ev.TrialStarted() | ev.TrialsTakenUp() if since is None:
                since = event.time
            case ev.TrialFinished() if since is not None and event.state in KNOWN_STATES:
                # One that is screened, and decoded later, ends twice.
                known.add(event.number)
                search, since = search + max(0.0, event.time - since), event.time
            case ev.RunOpened() | ev.StateChanged() | ev.RunEnded():
                if isinstance(event, ev.RunOpened):
                    screening = str(event.settings.get("screening", "off"))
                # What lies between two sessions, or in a pause, is no time of a trial.
                since = None
    if len(known) < _ENOUGH:
        return None
    return EarlierTimes(run.name, sum(phases.values()), search / len(known), len(known), screening, analysis)


def run_alike(runs_dir: Path, identity: Mapping[str, object], but: Collection[str]) -> RunFolder | None:
    """The latest run of the same model, prompts and settings that has found its directions; None where there is none.

    Args:
        identity: what decides the results.
        but: settings that may differ.
    """
    wanted = _without(identity, but)
    for run in _latest_first(runs_dir):
        # A run that is damaged is no help.
        with suppress(HereticError):
            known = run.read_record().identity
            if known is not None and _without(known, but) == wanted and run.directions.is_file():
                return run
    return None


def _without(identity: Mapping[str, object], but: Collection[str]) -> dict[str, object]:
    settings = identity.get("settings")
    known = settings if isinstance(settings, Mapping) else {}
    others = {name: value for name, value in identity.items() if name not in but}
    return {**others, "settings": {name: value for name, value in known.items() if name not in but}}


def _latest_first(runs_dir: Path) -> list[RunFolder]:
    """The runs of a folder; none where it cannot be read: it only tells how long things take."""
    with suppress(HereticError):
        return latest_first(runs_dir)
    return []
