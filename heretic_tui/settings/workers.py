"""The workers that the settings ask for: how many, and what they lack here."""

from __future__ import annotations

import importlib.util

from heretic_tui.errors import UsageError
from heretic_tui.settings.schema import Settings
from heretic_tui.words import counted


def lacking_for_workers(settings: Settings) -> str | None:
    """Why no worker can be started here; None where none is wanted, or nothing stands against it."""
    if settings.workers == "0" or importlib.util.find_spec("ray"):
        return None
    return "workers need Ray: pip install 'heretic-tui[cluster]', or leave --workers out"


def worker_count(settings: Settings, gpus: float) -> int:
    """How many workers there are to be; 0: this process measures.

    Args:
        gpus: that there are.

    Raises:
        UsageError: where this machine has not the GPUs for them. (A cluster may grow, and without any GPU the
            processors compute.)
    """
    if settings.workers == "auto":
        return int(gpus // settings.worker_gpus)
    count, each = int(settings.workers), settings.worker_gpus
    if gpus and settings.ray_address is None and each * count > gpus:
        raise UsageError(
            f"{counted(count, 'worker')} of {each:g} GPUs each need {each * count:g}, and there are {gpus:g}: ask for "
            "fewer (--workers), or let them share (--worker-gpus)"
        )
    return count
