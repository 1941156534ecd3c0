"""All runs of a folder at a glance, for a list that is looked at again and again: what did not change is not read
again, and of a run at work only what it added."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.errors import HereticError
from heretic_tui.figures import in_tables
from heretic_tui.run.annotations import Annotations, read_annotations
from heretic_tui.run.corrections import correct
from heretic_tui.run.folder import RunFolder, find_runs
from heretic_tui.run.journal import Tail, read_events
from heretic_tui.run.overview import RunOverview, overview_of
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord

# Kinds that a glance needs nothing of; most lines of a journal are of these, and the longest ones.
_UNREAD = (
    ev.Progress, ev.Memory, ev.Measured, ev.TrialStarted, ev.DirectionsFound, ev.LayersAnalysed, ev.Coverage, ev.Notice,
)  # fmt: skip
# Seconds between two lists while many runs are read.
_SHOW_EVERY = 0.3


@dataclass(frozen=True, kw_only=True)
class Glance:
    """One run at a glance.

    Attributes:
        word: its state in a word: searching, preparing, ready, paused …, done, stopped, failed, damaged; "reading"
            where it has not been read yet.
        pid: the process at work on it (-1 where it is not known), None where none is.
        front: how many trials are on the front.
        fewest: the one of them with the fewest refusals.
        best_so_far: by number of the trial, the least that trials up to it have in what tables show first; None before
            the first that was measured in full.
        began, ended: when it was opened last, and when something happened in it last; seconds since 1970.
        seconds_left: of its search; None where that is not known.
        reason: why it failed.
    """

    overview: RunOverview
    word: str
    pid: int | None = None
    seed: int | None = None
    phase: str | None = None
    front: int = 0
    fewest: TrialRecord | None = None
    best_so_far: tuple[float | None, ...] = ()
    began: float | None = None
    ended: float = 0.0
    seconds_left: float | None = None
    reason: str | None = None

    @property
    def folder(self) -> RunFolder:
        return self.overview.folder

    @property
    def name(self) -> str:
        return self.overview.folder.name

    @property
    def annotations(self) -> Annotations:
        return self.overview.annotations

    @property
    def at_work(self) -> bool:
        return self.pid is not None

    @property
    def model(self) -> str:
        """The last part of the model's name or path."""
        return (self.overview.model or self.name).rstrip("/").rpartition("/")[2] or self.name


# What a run's files were when they were read.
_Stamp = tuple[object, ...]


class Shelf:
    """The runs of a folder. `look` takes a moment for those that are new, and may be called on any thread, by one at a
    time.

    Args:
        runs_dir: the folder.
    """

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self._known: dict[Path, tuple[_Stamp, Glance]] = {}
        self._live: dict[Path, tuple[Tail, RunState]] = {}
        self._busy = threading.Lock()

    def look(self, tell: Callable[[Sequence[Glance]], None]) -> None:
        """Tell the runs there are: those at work first, then what something happened in last. Told once at the end, and
        before it with those known so far where reading takes long."""
        with self._busy:
            try:
                folders = find_runs(self.runs_dir)
            except HereticError:
                folders = []
            found = {folder.path: (folder, self._stamp(folder)) for folder in folders}
            for gone in [path for path in self._known if path not in found]:
                del self._known[gone]
                self._live.pop(gone, None)
            glances = {
                path: self._known[path][1] if path in self._known else _unread(folder, stamp)
                for path, (folder, stamp) in found.items()
            }
            known = self._known
            changed = [path for path, (_, stamp) in found.items() if path not in known or known[path][0] != stamp]
            changed.sort(key=lambda path: glances[path].ended, reverse=True)
            shown = time.monotonic() if self._known else 0.0
            for path in changed:
                if time.monotonic() - shown > _SHOW_EVERY:
                    tell(_in_order(glances.values()))
                    shown = time.monotonic()
                folder, stamp = found[path]
                glances[path] = self._read(folder, stamp)
                self._known[path] = stamp, glances[path]
            tell(_in_order(glances.values()))

    def _stamp(self, folder: RunFolder) -> _Stamp:
        return _file(folder.events), _file(folder.annotations), _file(folder.record), folder.holder()

    def _read(self, folder: RunFolder, stamp: _Stamp) -> Glance:
        pid = stamp[-1] if isinstance(stamp[-1], int) else None
        try:
            state = self._state(folder, pid is not None)
            record = folder.read_record()
        except HereticError as error:
            damaged = RunOverview(folder=folder, state="damaged", problem=str(error))
            return Glance(overview=damaged, word="damaged", pid=pid, ended=_changed(folder), reason=str(error))
        annotations = read_annotations(folder)
        correct(state, folder, annotations)
        opened = state.opened
        return Glance(
            overview=overview_of(folder, state, record.model, annotations, pid),
            word=state_word(state, pid is not None),
            pid=pid,
            seed=opened.seed if opened else record.seed,
            phase=state.phase,
            front=len(state.front()),
            fewest=state.fewest(),
            best_so_far=best_so_far(state),
            began=opened.time if opened else record.created,
            ended=state.ended or _changed(folder),
            seconds_left=state.seconds_left() if pid is not None and state.phase == "search" else None,
            reason=state.reason,
        )

    def _state(self, folder: RunFolder, live: bool) -> RunState:
        """The state of a run; of one at work it is kept, and what was added is folded in."""
        if not live:
            self._live.pop(folder.path, None)
            return RunState.replay(read_events(folder.events, _UNREAD))
        tail, state = self._live.setdefault(folder.path, (Tail(folder.events), RunState()))
        while events := tail.take():
            for event in events:
                state.fold(event)
        return state


def state_word(state: RunState, alive: bool) -> str:
    """The state of a run in a word: what it does, or how it ended."""
    word = state.word(alive)
    if word == "running":
        return "searching" if state.phase == "search" else "preparing"
    return {"interrupted": "stopped", "starting": "preparing", "idle": "stopped"}.get(word, word)


def best_so_far(state: RunState) -> tuple[float | None, ...]:
    """By number of the trial, the least that those up to it have in what tables show first."""
    first = in_tables(state.figures[:2])[0].key
    best: float | None = None
    found: list[float | None] = []
    for _, trial in sorted(state.trials.items()):
        if trial.state == "complete" and first in trial.figures:
            figure = trial.figures[first]
            best = figure if best is None else min(best, figure)
        found.append(best)
    return tuple(found)


def _in_order(glances: Iterable[Glance]) -> list[Glance]:
    return sorted(glances, key=lambda glance: (not glance.at_work, -glance.ended, glance.name))


def _unread(folder: RunFolder, stamp: _Stamp) -> Glance:
    pid = stamp[-1] if isinstance(stamp[-1], int) else None
    return Glance(overview=RunOverview(folder=folder, state="reading"), word="reading", pid=pid, ended=_changed(folder))


def _changed(folder: RunFolder) -> float:
    found = _file(folder.events) or _file(folder.record)
    return found[1] / 1e9 if found else 0.0


def _file(path: Path) -> tuple[int, int] | None:
    """Size and time of a file; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
