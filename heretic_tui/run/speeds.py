"""How fast this machine computes with models, as short probes found: kept, so that a plan is made of it before a run,
and the run knows its plan."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from heretic_tui.records import Misfit, as_json, read
from heretic_tui.run.batch_sizes import by_rows
from heretic_tui.run.known_facts import KnownFacts

_SPEEDS = KnownFacts("speeds.json", 200)


@dataclass(frozen=True)
class Speed:
    """What a probe of a model's network measured, with random weights.

    Attributes:
        reading: tokens a second, of prompts that are read.
        step_seconds: of a decoding step, by the number of rows.
        loading: bytes a second that its weight files were read with; None where they are not on this disk.
        layers, own: how many it has, and how many of them had weights of their own.
        seconds: that the probe took.
        device, dtype: that it was measured with.
    """

    reading: float
    step_seconds: Mapping[str, float]
    loading: float | None
    layers: int
    own: int
    seconds: float
    device: str
    dtype: str

    @property
    def steps(self) -> dict[int, float]:
        """Seconds of a decoding step by the number of rows, as numbers."""
        return by_rows(self.step_seconds)


def speed_about(folder: Path, dtype: str, gpus: Sequence[str]) -> dict[str, object] | None:
    """What a speed depends on, as plain JSON; None where there is no configuration.

    Args:
        folder: of the model.
        dtype: the first entry of the setting `dtypes`.
        gpus: their names.
    """
    try:
        config = hashlib.sha256((folder / "config.json").read_bytes()).hexdigest()
    except OSError:
        return None
    return {"config": config, "dtype": dtype, "machine": platform.node(), "gpus": list(gpus)}


def remember_speed(about: Mapping[str, object], found: Speed) -> None:
    """
    Args:
        about: as `speed_about` gives it.
    """
    _SPEEDS.remember(about, as_json(found))


def recall_speed(about: Mapping[str, object]) -> Speed | None:
    """What was found before; None where nothing was, or what is noted cannot be."""
    try:
        found = read(Speed, _SPEEDS.recall(about))
    except Misfit:
        return None
    steps = found.step_seconds
    numbers = [found.reading, *steps.values(), *([found.loading] if found.loading is not None else [])]
    whole = all(rows.isascii() and rows.isdigit() and 0 < len(rows) < 10 and int(rows) for rows in steps)
    sane = steps and all(math.isfinite(each) and each > 0 for each in numbers)
    return found if whole and sane else None
