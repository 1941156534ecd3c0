"""The steps of an export, told as they begin and end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from heretic_tui.events import ExportStep
from heretic_tui.work import Work


@dataclass
class Step:
    """A step that is being taken; `said` is what came of it, in a few words."""

    said: str = ""


class Steps:
    """Tells the steps of the export of one trial.

    Args:
        work: is told of them.
    """

    def __init__(self, trial: int, work: Work) -> None:
        self._trial, self._work = trial, work

    @contextmanager
    def taken(self, name: str) -> Iterator[Step]:
        """Within the block a step (events.EXPORT_STEPS) is taken. One that fails has no end."""
        step, start = Step(), time.perf_counter()
        self._work.tell(ExportStep(trial=self._trial, step=name))
        yield step
        seconds = round(time.perf_counter() - start, 3)
        self._work.tell(ExportStep(trial=self._trial, step=name, seconds=seconds, said=step.said))
