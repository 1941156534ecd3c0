"""Trials: the live table, the scatter beside it, and the selected trial in detail."""

from __future__ import annotations

import json

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Static

from heretic_tui.events import PHASES
from heretic_tui.run.state import FINISHED, MEASURED_STATES, TrialRecord
from heretic_tui.tui.filters import filter_example, ordered, parse_filter, sort_keys
from heretic_tui.tui.glyphs import Glyphs
from heretic_tui.tui.keys import next_choice, typed_number
from heretic_tui.tui.messages import ChatWith, CopyText
from heretic_tui.tui.screens.base import ModeScreen, touched
from heretic_tui.tui.screens.dialogs import LineDialog
from heretic_tui.tui.screens.export import ExportScreen
from heretic_tui.tui.screens.responses import ResponsesScreen
from heretic_tui.tui.screens.trials_text import trial_columns, trial_detail, trial_row
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import LineTable, Row
from heretic_tui.tui.widgets.pareto_plot import ParetoPlot
from heretic_tui.tui.widgets.quiet_input import QuietInput
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import done_of, plain

# Events that change the count of the trials, or the text in their place.
_COUNTS = ("baseline_measured", "phase_started", "target_changed", "run_failed", "run_ended")


class TrialsScreen(ModeScreen):
    """Table, scatter and detail; on a narrow terminal one at a time."""

    SCOPE = "trials"
    PANES = ("trials-pane", "front-pane", "detail-pane")
    HELP_TEXT = """
Each line is a trial: an edit, and what it did. Refusals: bad evaluation prompts that the edited model still refuses.
KL: how far its answers to good prompts moved from the original's. Both are to be small; trials that no other beats
are on the front. A dominated trial was certain to be beaten and was measured no further: ≈ marks the estimate of its
refusals, which decides its place in the table and the scatter. The two share one cursor; tab goes from one to the
other.

Filter words: kl<0.2 refusals<=5 layer>10 seconds<9 front per-layer complete dominated failed. All must be true, and of
a dominated trial's refusals only what is certain counts.
"""
    BINDINGS = [
        Binding("e", "export", "Export", tooltip="write the selected trial as a model or an adapter"),
        Binding("enter", "responses", "Responses", tooltip="what base model and trial answered", show=True),
        Binding("slash", "filter", "Filter", key_display="/"),
        Binding("s", "sort", "Sort", tooltip="sort by the next column"),
        Binding("r", "reverse", "Reverse", show=False, tooltip="turn the order around"),
        Binding("o", "logarithmic", "Log KL", show=False, tooltip="logarithmic KL axis on and off"),
        Binding("number_sign", "go_to", "Go to trial", show=False),
        Binding("c", "chat", "Chat with trial", show=False),
        Binding("y", "copy", "Copy edit", show=False, tooltip="copy the edit as JSON, as `score --edit` reads it"),
        Binding("Y", "copy_line", "Copy line", show=False),
        Binding("n", "next_front(1)", "Next on front", show=False),
        Binding("N", "next_front(-1)", "Previous on front", show=False),
        Binding("escape", "leave_filter", "Clear filter", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._sort, self._reverse = "trial", False
        self._filter = ""
        # What is wrong with the filter in its line; the one before is in use meanwhile.
        self._filter_problem = ""
        self._said, self._said_lines = Text(), 0
        # Lines of trials that have ended; they change only when they come to the front, or leave it.
        self._rows: dict[tuple[int, bool], Row] = {}

    def body(self) -> ComposeResult:
        with Horizontal(id="trials-body"):
            with Frame("Trials", id="trials-pane", keys=("sort", "filter", "next_front")):
                yield LineTable(trial_columns(self.view.state.figures), id="trial-table", enter="responses")
                example = filter_example(self.view.state.figures)
                yield QuietInput(placeholder=example, id="filter", select_on_focus=False)
                yield Static("", markup=False, id="filter-words")
            with Vertical(id="trials-right", classes="column"):
                with Frame("Front", id="front-pane", keys=("logarithmic",)):
                    yield ParetoPlot(id="pareto")
                with Frame("Trial", id="detail-pane", keys=("responses", "chat", "export", "copy")):
                    yield TextPanel(id="detail")

    def on_mount(self) -> None:
        self.query_one("#filter", Input).display = False
        self.query_one("#trial-table").focus()

    # Painting

    def paint(self, kinds: frozenset[str]) -> None:
        if touched(kinds, "run_opened"):
            self._rows.clear()
            self._take_figures()
        if touched(kinds, "trial_started", "trial_finished", "run_opened", "measured", *_COUNTS):
            self._paint_trials()
            # Another trial's end can take the selected one off the front.
            self._paint_detail()

    def _take_figures(self) -> None:
        """Another run may have other figures: columns are made for them, a filter by others is dropped."""
        figures, box = self.view.state.figures, self.query_one("#filter", Input)
        self.query_one("#trial-table", LineTable).set_columns(trial_columns(figures))
        box.placeholder = filter_example(figures)
        if self._sort not in sort_keys(figures):
            self._sort = "trial"
        try:
            parse_filter(self._filter, figures)
        except ValueError:
            box.value = self._filter = self._filter_problem = ""

    def _front(self) -> set[int]:
        return {trial.number for trial in self.view.state.front()}

    def _paint_trials(self) -> None:
        state, glyphs = self.view.state, self.view.glyphs
        front = self._front()
        test = parse_filter(self._filter, state.figures)
        trials = [t for t in state.trials.values() if test(t, t.number in front)]
        table = self.query_one("#trial-table", LineTable)
        alive = self.view.alive
        listed = ordered(trials, self._sort, state.figures, self._reverse)
        rows = [self._row(t, t.number in front, glyphs, alive) for t in listed]
        table.set_empty(self._nothing())
        table.set_rows(rows, follow=self._sort == "trial" and not self._reverse)
        self._paint_words(len(trials))
        plot = self.query_one(ParetoPlot)
        plot.cursor = self.view.selected_trial if plot.cursor is None else plot.cursor
        prompts = state.base.prompts if state.base else 0
        running, objectives = state.running if alive else None, (state.figures[0], state.figures[1])
        plot.show(list(state.trials.values()), objectives, front, running, prompts, glyphs)

    def _nothing(self) -> str:
        """The text in place of the trials while there are none to show."""
        state = self.view.state
        if state.trials:
            return "No trial fits the filter; esc takes it away."
        if self.view.host is None:
            return "No run is open: 1 sets one up."
        if not self.view.alive:
            return "This run ended before its first trial."
        steps = PHASES[: PHASES.index("search") + 1]
        if state.phase in steps[:-1]:
            return f"No trials yet. Preparing: step {steps.index(state.phase) + 1} of {len(steps)}, {state.phase}"
        return "No trials yet."

    def _paint_words(self, shown: int) -> None:
        """Counts, as the bar above has them, and what is listed in which order; or what is wrong with the filter."""
        if self._filter_problem:
            self._say(Text(plain(self._filter_problem), "bold red"))
            return
        state, alive = self.view.state, self.view.alive
        words = [done_of(state.finished, state.n_trials)] if state.n_trials else []
        if begun := len(state.trials) - state.finished:
            words.append(f"{begun} {'running' if alive else 'stopped'}")
        if self._filter:
            words.append(f"{shown} shown by {self._filter}")
        words.append(f"sorted by {self._sort}{', reversed' if self._reverse else ''}")
        self._say(Text(plain(", ".join(words))))

    def _say(self, text: Text) -> None:
        """Under the table, in as many lines as it takes: a new layout of the screen only where they become more or
        fewer."""
        line = self.query_one("#filter-words", Static)
        lines = len(text.wrap(self.app.console, line.size.width)) if line.size.width else 1
        if text != self._said or text.spans != self._said.spans or lines != self._said_lines:
            line.update(text, layout=lines != self._said_lines)
            self._said, self._said_lines = text, lines

    def _row(self, trial: TrialRecord, front: bool, glyphs: Glyphs, alive: bool) -> Row:
        known = self._rows.get((trial.number, front))
        if known is None:
            figures, timed = self.view.state.figures, self.view.timed
            known = trial_row(trial, figures, front, alive, glyphs, timed)
            if trial.state in FINISHED:
                self._rows[trial.number, front] = known
        return known

    def _paint_detail(self) -> None:
        view, trial = self.view, self.view.trial
        text = Text("No trial is selected.")
        if trial:
            text = trial_detail(trial, trial.number in self._front(), view.state, view.glyphs, view.timed)
        self.query_one("#detail", TextPanel).show(text)

    def _select(self, number: int) -> None:
        self.view.selected_trial = number
        self.query_one(ParetoPlot).put_cursor(number)
        self._paint_detail()

    # Messages

    @on(LineTable.Highlighted, "#trial-table")
    def _highlighted(self, message: LineTable.Highlighted) -> None:
        if message.key is not None:
            self._select(int(str(message.key)))

    @on(LineTable.Selected, "#trial-table")
    def _selected(self) -> None:
        self.action_responses()

    @on(LineTable.HeaderClicked, "#trial-table")
    def _header(self, message: LineTable.HeaderClicked) -> None:
        if message.column in sort_keys(self.view.state.figures):
            self._reverse = self._sort == message.column and not self._reverse
            self._sort = message.column
            self._paint_trials()

    def on_pareto_plot_highlighted(self, message: ParetoPlot.Highlighted) -> None:
        table = self.query_one("#trial-table", LineTable)
        if not table.go_to(message.number):
            self._select(message.number)

    @on(Input.Changed, "#filter")
    def _filtering(self, event: Input.Changed) -> None:
        try:
            parse_filter(event.value, self.view.state.figures)
        except ValueError as error:
            event.input.add_class("-invalid")
            self._filter_problem = str(error)
        else:
            event.input.remove_class("-invalid")
            self._filter, self._filter_problem = event.value, ""
        self._paint_trials()

    @on(Input.Submitted, "#filter")
    def _filtered(self) -> None:
        if self._filter_problem:
            return
        self.query_one("#filter", Input).display = False
        self.query_one("#trial-table").focus()

    # Actions

    def works(self, action: str) -> bool:
        trial = self.view.trial
        match action:
            case "export":
                return trial is not None and trial.state == "complete" and self.view.can_ask
            case "enter" | "responses":
                return trial is not None and trial.state in MEASURED_STATES
            case "filter" | "sort":
                return bool(self.view.state.trials) and not self.query_one("#filter").has_focus
        return True

    def action_filter(self) -> None:
        box = self.query_one("#filter", Input)
        box.display = True
        box.focus()

    def action_leave_filter(self) -> None:
        box = self.query_one("#filter", Input)
        if box.display or self._filter:
            box.value = self._filter = self._filter_problem = ""
            box.display = False
            self._paint_trials()
        self.query_one("#trial-table").focus()

    def action_sort(self) -> None:
        self._sort = next_choice(sort_keys(self.view.state.figures), self._sort)
        self._paint_trials()

    def action_reverse(self) -> None:
        self._reverse = not self._reverse
        self._paint_trials()

    def action_logarithmic(self) -> None:
        self.query_one(ParetoPlot).toggle_logarithmic()

    def action_next_front(self, by: int) -> None:
        numbers = [t.number for t in self.view.state.front()]
        if numbers:
            here = self.view.selected_trial
            place = numbers.index(here) + by if here in numbers else 0
            self.on_pareto_plot_highlighted(ParetoPlot.Highlighted(numbers[place % len(numbers)]))

    def action_go_to(self) -> None:
        def check(text: str) -> str | None:
            known = typed_number(text) in self.view.state.trials
            return None if known else f"a number from 0 to {max(self.view.state.trials, default=0)}"

        def answered(text: str | None) -> None:
            if text is not None:
                self.on_pareto_plot_highlighted(ParetoPlot.Highlighted(int(text)))

        if self.view.state.trials:
            self.app.push_screen(LineDialog("Go to trial", "", "", check), answered)

    def action_responses(self) -> None:
        trial = self.view.trial
        if trial is None or trial.state not in MEASURED_STATES or self.view.folder is None:
            self.say("Responses are there when a trial has been measured.")
            return
        self.app.push_screen(ResponsesScreen(trial.number))

    def action_export(self) -> None:
        trial = self.view.trial
        if trial is None or trial.state != "complete":
            self.say("Only a complete trial can be exported.")
        elif self.view.folder is not None:
            self.app.push_screen(ExportScreen(trial.number))

    def action_chat(self) -> None:
        trial = self.view.trial
        if trial is None or trial.state not in MEASURED_STATES:
            self.say("A trial can chat when it has been measured; 4 opens the chat.")
        else:
            self.ask(ChatWith(trial.number))

    def action_copy(self) -> None:
        if (trial := self.view.trial) and trial.parameters:
            self.ask(CopyText(json.dumps(trial.parameters.to_json(), indent=1), f"edit of trial {trial.number}"))

    def action_copy_line(self) -> None:
        if trial := self.view.trial:
            row = self._row(trial, trial.number in self._front(), self.view.glyphs, self.view.alive)
            self.ask(CopyText("\t".join(cell.strip() for cell in row.cells), f"line of trial {trial.number}"))
