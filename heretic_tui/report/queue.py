"""The queue as text."""

from __future__ import annotations

from heretic_tui.run.queue import Entry, Queue, clock_words, limit_words
from heretic_tui.words import counted


def queue_lines(queue: Queue, worker: int | None, now: float) -> list[str]:
    """A line for each entry, and the limits beneath.

    Args:
        worker: pid of the process that works it off; None where none does.
        now: seconds since 1970.
    """
    if not queue.entries:
        return ["no runs in the queue (`heretic-tui queue add MODEL` adds one)", *_limits(queue, now)]
    width = max(len(entry.model) for entry in queue.entries)
    lines = [f"{'n':>3}  {'model':{width}}  {'trials':>6}  state"]
    for number, entry in enumerate(queue.entries, 1):
        trials = "-" if entry.trials is None else str(entry.trials)
        lines.append(f"{number:>3}  {entry.model:{width}}  {trials:>6}  {entry_state(queue, entry, worker)}")
    by = "nobody works it off: `heretic-tui queue run` does" if worker is None else f"process {worker} works it off"
    return [*lines, "", f"{counted(len(queue.waiting), 'run')} in the queue; {by}", *_limits(queue, now)]


def entry_state(queue: Queue, entry: Entry, worker: int | None) -> str:
    """What an entry does, in words."""
    if entry.problem:
        return f"failed: {entry.problem}"
    place = queue.place(entry.id)
    if entry.begun is not None:
        return "begun" if worker is not None and place == 1 else f"queued #{place}, begun and interrupted"
    return f"queued #{place}"


def _limits(queue: Queue, now: float) -> list[str]:
    limits = []
    if queue.stop_at is not None:
        limits.append(f"no run starts after {clock_words(queue.stop_at, now)}")
    if queue.keep_free:
        limits.append(f"no run starts where less than {limit_words(queue)} are free")
    return limits
