"""Workers: who measures the trials of a run, where, and how each is doing."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import ComposeResult

from heretic_tui import events as ev
from heretic_tui.tui.glyphs import ASCII, Glyphs, ours_in_ascii
from heretic_tui.tui.screens.base import ModeScreen, touched
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.words import counted, duration, plain, size_words

_COLUMNS = (
    Column("worker", "worker", 10),
    Column("state", "state", 9),
    Column("in_hand", "trials", 9),
    Column("done", "done", 5, right=True),
    Column("rate", "tokens/s", 8, right=True),
    Column("memory", "memory", 15, right=True),
    Column("device", "device", 7),
    Column("where", "host", 0),
)
_KINDS = {"measuring": "good", "waits": "dim", "loading": "busy", "paused": "busy", "ended": "dim"}


class WorkersScreen(ModeScreen):
    """A line for each worker; the title says what they are together."""

    SCOPE = "workers"
    PANES = ("workers-pane",)
    HELP_TEXT = (
        "The processes that measure trials, each with a model of its own: the trials that each has in hand, how many "
        "it has done, the tokens that go through its model in a second, its memory, and where it runs. One that is "
        "lost is started again, and its trials go to others; after three times in a row it is left out, for the reason "
        "at the end of its line."
    )

    def body(self) -> ComposeResult:
        with Frame("Workers", id="workers-pane"):
            yield LineTable(_COLUMNS, id="workers", empty="This run's trials are measured by one process.", spill=True)

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()

    def paint(self, kinds: frozenset[str]) -> None:
        if not touched(kinds, ev.WorkerChanged.type, ev.RunOpened.type, ev.TrialFinished.type):
            return
        state = self.view.state
        workers = list(state.workers.values())
        self.query_one(LineTable).set_rows([row_of(worker, self.view.glyphs) for worker in workers])
        left = state.seconds_left() if self.view.timed and self.view.alive and state.phase == "search" else None
        self.query_one("#workers-pane", Frame).retitle(title_of(workers, left))


def row_of(worker: ev.WorkerChanged, glyphs: Glyphs) -> Row:
    """How a worker is, as a line of the table."""
    numbers = ",".join(map(str, worker.in_hand))
    memory = f"{size_words(worker.used)} of {size_words(worker.total)}" if worker.total else "-"
    where = plain(worker.host) or "-"
    if worker.reason:
        where = f"{where}: {plain(worker.reason)}"
    where = ours_in_ascii(where) if glyphs is ASCII else where
    rate = f"{worker.tokens_per_second:,.0f}" if worker.tokens_per_second else "-"
    cells = (
        plain(worker.worker), plain(worker.state), numbers or "-", f"{worker.done:,}", rate, memory,
        plain(worker.device) or "-", where,
    )  # fmt: skip
    return Row(worker.worker, cells, kinds=((1, _KINDS.get(worker.state, "bad")),))


def title_of(workers: Iterable[ev.WorkerChanged], left: float | None) -> str:
    """What they are together: how many measure, what they have done, tokens a second, and the rest of the search."""
    workers = list(workers)
    if not workers:
        return "Workers"
    measuring = sum(bool(worker.in_hand) for worker in workers)
    parts = [
        f"{measuring} of {len(workers)} measure",
        f"{counted(sum(worker.done for worker in workers), 'trial')} done",
        f"{sum(worker.tokens_per_second for worker in workers):,.0f} tokens/s",
    ]
    if left is not None:
        parts.append(f"{duration(left)} left")
    return f"Workers: {', '.join(parts)}"
