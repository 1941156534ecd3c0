"""What a trial is measured by. A further metric is one more class that follows the protocol below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from heretic_tui.engine.model import ChatModel
from heretic_tui.runtime.rundir import RunFolder

Progress = Callable[[int, int], None]


class Metric(Protocol):
    """Measured once on the base model, then on every trial; smaller is better.

    `name` is the stage's name in events. `save` and `restore` keep in the run folder what a trial is compared with, so
    that a resumed run need not measure the base model again.
    """

    name: str

    def measure_base(self, model: ChatModel, progress: Progress) -> None: ...

    def measure(self, model: ChatModel, progress: Progress) -> float: ...

    def save(self, folder: RunFolder) -> None: ...

    def restore(self, folder: RunFolder) -> bool:
        """Whether the folder held what `save` had written."""
        ...
