"""Home: all runs and the queue, the one under the cursor, this machine, and first steps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from heretic_tui.calls import Calls
from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.errors import HereticError
from heretic_tui.machine import Machine, disk_free
from heretic_tui.run.queue import Queue, QueueFile
from heretic_tui.run.shelf import Glance, Shelf
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.sources import load_settings
from heretic_tui.tui.messages import AttachRun, ShowRun, StartRun
from heretic_tui.tui.run_view import EVERYTHING
from heretic_tui.tui.screens.home_delete import HomeDeleting
from heretic_tui.tui.screens.home_machine import machine_words
from heretic_tui.tui.screens.home_text import (
    COLUMNS,
    FIRST_STEPS,
    WIDE,
    Key,
    columns_of,
    entry_row,
    entry_words,
    fits,
    run_row,
    run_words,
    short_model,
)
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.quiet_input import QuietInput
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import counted, plain

# Of the keys that stand in the frame around the runs.
_KEYS = ("enter", "attach", "resume", "new", "queue", "delete")
# Seconds between two looks at the runs.
_LOOK = 1.0


class HomeScreen(HomeDeleting):
    """Runs, the selected run, this machine, first steps; on a narrow terminal one at a time."""

    SCOPE = "home"
    IDLE = "Choose a run, or set one up."
    PANES = ("home-runs", "home-run", "home-machine", "home-first")
    HELP_TEXT = """
All runs of the runs folder, those at work first, and beneath them the queue: runs that start one after another. Enter
opens a run to look at; a run that is at work in this terminal goes on meanwhile. R goes on with a run that was
stopped. a attaches to one that is at work in another process, and controls it.

The queue is worked off by this screen when the run in it has ended and nobody uses it, or without a screen by
`heretic-tui queue run`. Q has all that can be done with it: add the run under the cursor, start it, a time after which
no run starts, disk space that is to stay free. J and K move a run of the queue, D takes it out.

Filter words: parts of the model, the state, a tag or a note; `marked`. All must fit.
"""
    BINDINGS = [
        Binding("a", "attach", "Attach", tooltip="control a run that another process is at work on"),
        Binding("R", "resume", "Resume", tooltip="go on with the run under the cursor"),
        Binding("N", "new", "New run", tooltip="choose a model and prompts"),
        Binding("Q", "queue", "Queue", tooltip="runs that start one after another"),
        Binding("D", "delete", "Delete", tooltip="delete the run, or take it out of the queue"),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("d", "demo", "Demo", show=False, tooltip="run the whole job on the small model that comes along"),
        Binding("J", "move_entry(1)", "Start later", show=False, tooltip="move a run of the queue down"),
        Binding("K", "move_entry(-1)", "Start earlier", show=False, tooltip="move a run of the queue up"),
        Binding("escape", "leave_filter", "Clear filter", show=False),
    ]

    def __init__(self, form: SettingsForm, calls: Calls, machine: Machine | None = None) -> None:
        super().__init__(form)
        self._calls = calls
        self._machine = machine or Machine()
        self._shelf: Shelf | None = None
        self._queue_problem = ""
        self._free: int | None = None
        # How often the thread has found something, and how much of that is shown.
        self._changes = self._shown_changes = 0
        self._looking, self._looked = False, 0.0
        self._filter = ""

    def body(self) -> ComposeResult:
        table = LineTable(COLUMNS, id="run-table", enter="open", empty="Looking for runs")
        with Horizontal(id="home-body"):
            with Vertical(id="home-left", classes="column"):
                with Frame("Runs", id="home-runs"):
                    yield table
                    yield QuietInput(placeholder="qwen done marked", id="run-filter", select_on_focus=False)
                with Frame("This machine", id="home-machine"):
                    yield TextPanel(id="machine")
            with Vertical(id="home-right", classes="column"):
                with Frame("Run", id="home-run"):
                    yield TextPanel(id="run-text")
                with Frame("First time here?", id="home-first", keys=("demo", "new", "help")):
                    yield TextPanel(id="first-text")

    def on_mount(self) -> None:
        self.query_one("#run-filter", Input).display = False
        self.query_one("#run-table").focus()
        if self.view.timed:
            self._machine.start()

    def on_unmount(self) -> None:
        self._machine.stop()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self._looked = 0.0
        self._look()

    # Looking

    def ticked(self) -> None:
        if not self._looking and time.monotonic() - self._looked >= _LOOK:
            self._look()
        if self._changes != self._shown_changes:
            self._shown_changes = self._changes
            self.show_changes()
        elif (glance := self.glance) and glance.at_work:
            self._paint_run()
        self._paint_machine()

    def _look(self) -> None:
        """Look which runs there are, on a thread; they are shown at the tick."""
        if self._looking:
            return
        self._looking = True
        on_thread(self, partial(self._look_at, self.runs_dir), "look", exclusive=False)

    def _look_at(self, runs_dir: Path) -> None:
        try:
            if self._shelf is None or self._shelf.runs_dir != runs_dir:
                self._shelf = Shelf(runs_dir)
            file = QueueFile(runs_dir)
            try:
                queue, problem = file.read(), ""
            except HereticError as error:
                queue, problem = Queue(), str(error)
            self.queue, self._queue_problem, self.worker = queue, problem, file.worker()
            self._free = disk_free(runs_dir)
            self._shelf.look(self._take)
        finally:
            self._looked = time.monotonic()
            self._looking = False

    def _take(self, glances: Sequence[Glance]) -> None:
        # On the thread: the tick shows it.
        self.found = glances
        self._changes += 1

    def look_soon(self) -> None:
        self._looked = 0.0

    # Painting

    def show_changes(self) -> None:
        self._paint_runs()
        self._paint_run()

    def paint(self, kinds: frozenset[str]) -> None:
        if EVERYTHING in kinds:
            self.show_changes()
            self._paint_machine()
            self._paint_first()

    def _paint_runs(self) -> None:
        glyphs, now, timed = self.view.glyphs, time.time(), self.view.timed
        several = {model for model, count in Counter(g.model for g in self.found).items() if count > 1}
        shown = [glance for glance in self.found if fits(self._filter, glance)]
        rows = [run_row(glance, glyphs, now, several, timed) for glance in shown]
        at_work = next((glance.model for glance in self.found if glance.at_work), "")
        after = f"after {short_model(at_work)}" if at_work else "" if self.worker else "Q starts it"
        rows += [entry_row(self.queue, entry, self.worker, glyphs, after) for entry in self.queue.entries]
        table = self.query_one("#run-table", LineTable)
        table.set_columns(columns_of(shown, wide=table.size.width >= WIDE))
        table.set_empty(self._nothing())
        table.set_rows(rows)
        self._retitle(len(shown))
        self._show_keys()

    def _retitle(self, shown: int) -> None:
        at_work = sum(glance.at_work for glance in self.found)
        parts = [counted(len(self.found), "run")] if self.found else []
        if self._filter:
            parts = [f"{shown} of {counted(len(self.found), 'run')} by filter {self._filter}"]
        if at_work:
            parts.append(f"{at_work} at work")
        if waiting := len(self.queue.waiting):
            parts.append(f"{waiting} queued")
        self.query_one("#home-runs", Frame).retitle(f"Runs ({', '.join(parts)})" if parts else "Runs")

    def _nothing(self) -> str:
        if self._queue_problem:
            return self._queue_problem
        if not self._changes:
            return "Looking for runs"
        return (
            "No run fits the filter; esc clears it." if self._filter else "No runs yet. d runs the demo, N sets one up."
        )

    def _paint_run(self) -> None:
        frame, panel = self.query_one("#home-run", Frame), self.query_one("#run-text", TextPanel)
        now, look, glyphs = time.time(), self.looks, self.view.glyphs
        if glance := self.glance:
            frame.retitle(plain(glance.model))
            if glance.word == "damaged":
                panel.show(Text(plain(glance.overview.problem or ""), look.bad))
                return
            width = panel.scrollable_content_region.width
            panel.show(run_words(glance, look, glyphs, width, now, self.view.timed))
        elif entry := self.entry:
            frame.retitle(f"Queue: {short_model(entry.model)}")
            panel.show(entry_words(self.queue, entry, self.worker, self.command(entry), look, now))
        else:
            frame.retitle("Run")
            panel.show(Text("No run is selected.", look.dim))

    def _paint_machine(self) -> None:
        machine, panel = self._machine, self.query_one("#machine", TextPanel)
        width = panel.scrollable_content_region.width
        if width <= 0:
            return
        sample = machine.latest
        frame = self.query_one("#home-machine", Frame)
        frame.retitle(f"This machine: {plain(sample.host)}" if sample and sample.host else "This machine")
        now, free = time.monotonic(), self._free
        looks, glyphs = self.looks, self.view.glyphs
        panel.show(machine_words(sample, machine.history, free, self._calls, looks, glyphs, width, now))

    def _paint_first(self) -> None:
        look, text = self.looks, Text()
        for key, words in FIRST_STEPS:
            text.append(f"{key:<3}", f"bold {look.focus}")
            text.append(f"{words}\n", look.ink)
        text.append("\nNothing leaves this machine unless you upload an export.", look.dim)
        self.query_one("#first-text", TextPanel).show(text)

    # Runs

    def works(self, action: str) -> bool:
        glance = self.glance if self.is_ready else None
        match action:
            case "attach":
                return glance is not None and glance.at_work
            case "resume":
                problem = self.entry.problem if self.is_ready and self.entry else None
                return problem is not None or (glance is not None and not glance.at_work and glance.word != "damaged")
            case "enter" | "delete":
                return self.key != Key()
            case "filter":
                return bool(self.found)
        return True

    @on(LineTable.Highlighted, "#run-table")
    def _highlighted(self) -> None:
        self._paint_run()
        self._show_keys()

    def _show_keys(self) -> None:
        """In the lower border, the keys that do something with what is under the cursor."""
        shown = ("select" if action == "enter" else action for action in _KEYS if self.works(action))
        self.query_one("#home-runs", Frame).set_keys(shown)

    @on(LineTable.Selected, "#run-table")
    def open_run(self) -> None:
        if glance := self.glance:
            self.ask(ShowRun(glance.folder))
        elif self.entry:
            self.action_queue()

    def action_attach(self) -> None:
        glance = self.glance
        if glance is None:
            self.say("Put the cursor on a run that is at work first.")
        elif not glance.at_work:
            self.say(f"Nothing is at work on {glance.name}: R goes on with it, enter opens it.")
        else:
            self.ask(AttachRun(glance.folder))

    def action_resume(self) -> None:
        if entry := self.entry:
            if entry.problem:
                self.change_queue(lambda file: file.retry(entry.id))
            return
        if (settings := self.resumed()) is not None:
            self.ask(StartRun(settings))

    async def action_new(self) -> None:
        await self.app.run_action("app.mode('setup')")

    def action_demo(self) -> None:
        given = {"runs_dir": self.form.settings.runs_dir}
        self.ask(StartRun(load_settings(given, base=settings_of_the_demo(), environment=False)))

    # Filter

    def action_filter(self) -> None:
        box = self.query_one("#run-filter", Input)
        box.display = True
        box.focus()

    def action_leave_filter(self) -> None:
        box = self.query_one("#run-filter", Input)
        box.value = self._filter = ""
        box.display = False
        self._paint_runs()
        self.query_one("#run-table").focus()

    @on(Input.Changed, "#run-filter")
    def _filtering(self, event: Input.Changed) -> None:
        self._filter = event.value.strip()
        self.show_changes()

    @on(Input.Submitted, "#run-filter")
    def _filtered(self) -> None:
        self.query_one("#run-filter", Input).display = False
        self.query_one("#run-table").focus()
