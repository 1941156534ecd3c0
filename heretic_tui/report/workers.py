"""What the workers of a run are together, in a few words."""

from __future__ import annotations

from collections.abc import Iterable

from heretic_tui.events import AT_WORK, WorkerChanged


def totals(workers: Iterable[WorkerChanged]) -> str:
    """2 of 3 workers measure, 1,840 tokens/s."""
    workers = list(workers)
    measuring = sum(worker.state in AT_WORK and bool(worker.in_hand) for worker in workers)
    said = f"{measuring} of {len(workers)} measure"
    tokens = sum(worker.tokens_per_second for worker in workers)
    return f"{said}, {tokens:,.0f} tokens/s" if tokens else said
