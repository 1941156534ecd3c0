"""The batch sizes that were found for models on this machine: found once, they are only checked the next time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from heretic_tui.records import Misfit, as_json, read
from heretic_tui.run.known_facts import KnownFacts

_SIZES = KnownFacts("batch-sizes.json", 200)


@dataclass(frozen=True)
class FoundBatchSize:
    """Rows per batch, and what a decoding step took, in seconds, by the number of rows that were tried."""

    batch_size: int
    step_seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def seconds(self) -> dict[int, float]:
        """The latter by number."""
        return by_rows(self.step_seconds)


def by_rows(step_seconds: Mapping[str, float]) -> dict[int, float]:
    """Seconds of a decoding step by the number of rows, as numbers: keys of JSON are text."""
    return {int(rows): each for rows, each in step_seconds.items()}


def remember_batch_size(about: Mapping[str, object], found: FoundBatchSize) -> None:
    """
    Args:
        about: what it depends on, as plain JSON: the model's content, dtype, device, …
    """
    _SIZES.remember(about, as_json(found))


def recall_batch_size(about: Mapping[str, object]) -> FoundBatchSize | None:
    """What was found before; None where nothing was, or what is noted cannot be."""
    try:
        found = read(FoundBatchSize, _SIZES.recall(about))
    except Misfit:
        return None
    steps = found.step_seconds
    whole = all(rows.isascii() and rows.isdigit() and len(rows) < 10 for rows in steps)
    sane = found.batch_size > 0 and all(math.isfinite(each) and each > 0 for each in steps.values())
    return found if steps and whole and sane else None
