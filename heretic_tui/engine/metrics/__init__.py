"""What a trial is measured by. A further metric is one more class that follows the protocol below, fed by the pool that
measures trials (engine/pool.py)."""

from __future__ import annotations

from typing import Protocol

from heretic_tui.runtime.rundir import RunFolder


class Metric(Protocol):
    """Measured once on the base model, then on every trial; smaller is better.

    `name` is what events call it. `save` and `restore` keep in the run folder what a trial is compared with, so that a
    resumed run need not measure the base model again.
    """

    name: str

    def save(self, folder: RunFolder) -> None: ...

    def restore(self, folder: RunFolder) -> bool:
        """Whether the folder held what `save` had written.

        Raises:
            UsageError: when it holds something else.
        """
        ...
