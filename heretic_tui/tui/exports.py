"""The exports of one run: those that were asked for and wait, the one in hand with its steps, and those that ended.

Knows no Textual: folded from the run's events, and read by screens."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from heretic_tui import events as ev
from heretic_tui.commands import Export
from heretic_tui.records import Misfit, read
from heretic_tui.run.exports import ExportFigures, ExportRecord

T = TypeVar("T")

# Of earlier ones; they all lie on the disk.
_MOST = 50


@dataclass(eq=False)
class ExportJob:
    """One export.

    Attributes:
        command: by which it was asked for from here; None where another terminal, or an earlier session, did.
        begun: when its turn came, in seconds since 1970; None while it waits.
        steps: by name (events.EXPORT_STEPS), those that began or ended, in order.
        progress: how far the step in hand is, as far as it tells.
        end: what came of it; None before.
        cancelled: whether it was asked to end.
    """

    trial: int
    out: str
    command: Export | None = None
    begun: float | None = None
    steps: dict[str, ev.ExportStep] = field(default_factory=dict)
    progress: ev.Progress | None = None
    end: ev.ExportFinished | None = None
    cancelled: bool = False

    @property
    def waits(self) -> bool:
        return self.begun is None and self.end is None

    @property
    def in_hand(self) -> bool:
        return self.begun is not None and self.end is None

    @property
    def failed(self) -> bool:
        return self.end is not None and self.end.error is not None

    @property
    def step(self) -> str | None:
        """The step in hand."""
        return next((name for name, step in self.steps.items() if step.seconds is None), None)

    @property
    def measured(self) -> ExportFigures | None:
        """What was measured of its files; None where they are not there, or an older version wrote them."""
        return self._read(ExportFigures)

    @property
    def record(self) -> ExportRecord | None:
        """The record of its files; None as above."""
        return self._read(ExportRecord)

    def _read(self, kind: type[T]) -> T | None:
        if self.end is None or self.end.result is None:
            return None
        try:
            return read(kind, self.end.result)
        except Misfit:
            return None


class Exports:
    """All exports of a run, the oldest first.

    Attributes:
        changes: grows with every change.
    """

    def __init__(self) -> None:
        self.jobs: list[ExportJob] = []
        self.changes = 0

    @property
    def in_hand(self) -> ExportJob | None:
        return next((job for job in self.jobs if job.in_hand), None)

    @property
    def open(self) -> list[ExportJob]:
        """Those that have not ended: the one in hand, and those that wait."""
        return [job for job in self.jobs if job.end is None]

    @property
    def latest(self) -> ExportJob | None:
        """The one to show: in hand, or else the last that ended in this session, or the first that waits."""
        ended = [job for job in self.jobs if job.end is not None and not job.end.past]
        return self.in_hand or (ended[-1] if ended else next(iter(self.open), None))

    def ask(self, command: Export) -> ExportJob:
        """An export is asked for."""
        job = ExportJob(command.trial, command.out, command)
        self.jobs.append(job)
        self.changes += 1
        return job

    def fold(self, event: ev.Event) -> None:
        match event:
            case ev.RunOpened():
                self.drop()
            case ev.ExportStarted():
                job = self._waiting(event) or self._of_another(event)
                job.begun = event.time
            case ev.ExportStep():
                if in_hand := self.in_hand:
                    in_hand.steps[event.step] = event
                    in_hand.progress = None
            case ev.Progress():
                if (in_hand := self.in_hand) is None:
                    return
                in_hand.progress = event
            case ev.ExportFinished():
                job = self.in_hand or self._of_another(event)
                job.end, job.progress = event, None
                ended = [job for job in self.jobs if job.end is not None]
                for old in ended[:-_MOST]:
                    self.jobs.remove(old)
            case _:
                return
        self.changes += 1

    def drop(self) -> None:
        """The engine is gone: what has not ended never will."""
        self.jobs = [job for job in self.jobs if job.end is not None]
        self.changes += 1

    def _waiting(self, event: ev.ExportStarted) -> ExportJob | None:
        same = (job for job in self.jobs if job.waits and (job.trial, job.out) == (event.trial, event.out))
        return next(same, None)

    def _of_another(self, event: ev.ExportStarted | ev.ExportFinished) -> ExportJob:
        job = ExportJob(event.trial, event.out)
        # Before those that wait.
        place = next((n for n, other in enumerate(self.jobs) if other.waits), len(self.jobs))
        self.jobs.insert(place, job)
        return job


def default_folder(runs_folder: Path, trial: int, form: str) -> Path:
    """Where an export goes if nothing else is said.

    Args:
        form: its name.
    """
    return runs_folder / "exports" / f"trial-{trial}-{form}"
