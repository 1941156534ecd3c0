"""Workers: who measures the trials of a run, where, and how each is doing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Static

from heretic_tui import events as ev
from heretic_tui.report.workers import totals
from heretic_tui.run.state import RunState
from heretic_tui.tui.glyphs import ASCII, Glyphs, ours_in_ascii
from heretic_tui.tui.messages import CopyText
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
    Column("memory", "memory", 16, right=True),
    Column("load", "load", 4, right=True),
    Column("heat", "temp", 4, right=True),
    Column("device", "device", 6),
    Column("where", "host", 0),
)
# Below 100 columns these give way to hosts, and to why a worker is lost.
_NARROW = tuple(column for column in _COLUMNS if column.key not in ("memory", "device"))
_NONE = (
    "Trials of this run are measured by one process (workers = 0). To measure on several GPUs or machines, start it "
    "again with --workers auto (one for each GPU) or --workers 2, or set workers on Setup."
)
_LATER = "Workers are started when the original model has been measured, and end with the search."
_KINDS = {"measuring": "good", "waits": "dim", "loading": "busy", "paused": "busy", "ended": "dim"}


class WorkersScreen(ModeScreen):
    """A line for each worker; the title says what they are together."""

    SCOPE = "workers"
    PANES = ("workers-pane",)
    HELP_TEXT = (
        "The processes that measure trials, each with a model of its own: the trials that each has in hand, how many "
        "it has done, the tokens that go through its model in a second, its memory, the load and the temperature of "
        "its GPU (of processors the load), and where it runs. One that is lost is started again, and its trials go to "
        "others; after three times in a row it is left out, for the reason at the end of its line. A pause, the end of "
        "the search and what is asked on Chat reach them as they reach one process."
    )

    BINDINGS = [Binding("y", "copy_workers", "Copy", tooltip="copy the table: who measures, where, why one is lost")]

    def body(self) -> ComposeResult:
        with Frame("Workers", id="workers-pane", keys=("copy_workers",)):
            yield Static(id="workers-rest", markup=False)
            yield LineTable(_COLUMNS, id="workers", spill=True)

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()

    def paint(self, kinds: frozenset[str]) -> None:
        if not touched(kinds, ev.WorkerChanged.type, ev.RunOpened.type, ev.TrialFinished.type, ev.PhaseStarted.type):
            return
        state = self.view.state
        workers = list(state.workers.values())
        table = self.query_one(LineTable)
        table.set_columns(_NARROW if self.has_class("-narrow") else _COLUMNS)
        table.set_rows([row_of(worker, self.view.glyphs, table.columns) for worker in workers])
        pane = self.query_one("#workers-pane", Frame)
        pane.retitle(title_of(workers))
        pane.set_class(not workers, "-none")
        self.query_one("#workers-rest", Static).update(self._words(), layout=False)

    def action_copy_workers(self) -> None:
        workers = self.view.state.workers.values()
        rows = [row_of(worker, self.view.glyphs, _COLUMNS).cells for worker in workers]
        lines = ["\t".join(each) for each in [[column.title for column in _COLUMNS], *rows]]
        self.ask(CopyText("\n".join(lines), "workers"))

    def _words(self) -> str:
        """What they will take for the rest of the search, or why there are none."""
        state = self.view.state
        if not state.workers:
            if state.opened is None:
                return ""
            return _LATER if state.opened.settings.get("workers", "0") != "0" else _NONE
        return rest_words(state) if self.view.timed and self.view.alive and state.phase == "search" else ""


def row_of(worker: ev.WorkerChanged, glyphs: Glyphs, columns: Sequence[Column]) -> Row:
    """How a worker is, as a line of the table."""
    numbers = ",".join(map(str, worker.in_hand))
    memory = memory_words(worker.used, worker.total) if worker.total else "-"
    load = "-" if worker.load is None else f"{worker.load:.0f}%"
    heat = "-" if worker.temperature is None else f"{worker.temperature:.0f}"
    where = plain(worker.host) or "-"
    if worker.reason:
        where = f"{where}: {plain(worker.reason)}"
    where = ours_in_ascii(where) if glyphs is ASCII else where
    rate = f"{worker.tokens_per_second:,.0f}" if worker.tokens_per_second else "-"
    cells = {
        "worker": plain(worker.worker), "state": plain(worker.state), "in_hand": numbers or "-",
        "done": f"{worker.done:,}", "rate": rate, "memory": memory, "load": load, "heat": heat,
        "device": plain(worker.device) or "-", "where": where,
    }  # fmt: skip
    if worker.reason:
        # It takes the room of figures that there are none of.
        told = {"in_hand": f"{where} ({counted(worker.done, 'trial')} done)"}
        cells = {key: text if key in ("worker", "state") else told.get(key, "") for key, text in cells.items()}
    shown = tuple(cells[column.key] for column in columns)
    return Row(worker.worker, shown, kinds=((1, _KINDS.get(worker.state, "bad")),))


def memory_words(used: int, total: int) -> str:
    """17 of 80 GB, 0.738 of 25.3 GB."""
    most, unit = size_words(total).split(" ")
    # By the unit of all of it.
    return f"{used / total * float(most):.3g} of {most} {unit}"


def title_of(workers: Iterable[ev.WorkerChanged]) -> str:
    """What they are together: how many measure, and what they have done."""
    workers = list(workers)
    if not workers:
        return "Workers"
    return f"Workers: {', '.join(totals(workers))}, {counted(sum(worker.done for worker in workers), 'trial')} done"


def rest_words(state: RunState) -> str:
    """What they will take for the rest of the search."""
    able = counted(sum(worker.state in ev.AT_WORK for worker in state.workers.values()), "worker")
    rate, left, rest = state.trials_a_minute(), state.seconds_left(), state.n_trials - state.finished
    if rest <= 0:
        return f"{able}: all trials have been looked at; some are still decoded"
    if rate is None or left is None:
        return f"{able}: how long the remaining {counted(rest, 'trial')} take is known when some have ended"
    remaining = f"{duration(left)} for the remaining {counted(rest, 'trial')}"
    return f"{able}: {rate:.3g} trials a minute, {remaining}"
