"""Trials: the live table, the scatter beside it, and the selected trial in detail."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.widgets import Static

from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import KNOWN_STATES, MEASURED_STATES
from heretic_tui.tui.keys import typed_number
from heretic_tui.tui.messages import CopyText
from heretic_tui.tui.run_view import ANNOTATED, REVIEWED
from heretic_tui.tui.screens.base import touched
from heretic_tui.tui.screens.dialogs import LineDialog
from heretic_tui.tui.screens.review_asking import can_review
from heretic_tui.tui.screens.trials_listing import Listing, Wanted
from heretic_tui.tui.screens.trials_order import TrialOrder
from heretic_tui.tui.screens.trials_table import (
    ORIGINAL,
    Seen,
    column_problems,
    heading,
    row_text,
    rows_above,
    trial_columns,
)
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import Column, LineTable
from heretic_tui.tui.widgets.pareto_plot import ParetoPlot
from heretic_tui.tui.widgets.preparing import Preparing, is_preparing
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import done_of, plain

# Events that change the count of the trials, or the text in their place.
_COUNTS = ("baseline_measured", "phase_started", "target_changed", "run_failed", "run_ended")


class TrialsScreen(TrialOrder):
    """Table, scatter and detail; on a narrow terminal one at a time."""

    SCOPE = "trials"
    PANES = ("trials-pane", "front-pane", "detail-pane", "progress-pane", "answers-pane")
    HELP_TEXT = """
Each line is a trial: an edit, and what it did. Refused: harmful prompts that the edited model still refuses. KL: how
far its answers to harmless prompts moved from the original's. Both are to be small; trials that no other beats are on
the front (their figures are green). Of a grey trial the figure with a sign before it is an estimate, which decides its
place in the table and the scatter: a trial that was cut short was certain to be beaten, and one that was screened was
not decoded at all, since cheap figures say that it is probably beaten. d decodes a screened trial. The front never
rests on an estimate. The first line is the original model. Table and scatter share one cursor; tab goes from one to
the other.

Filter words: kl<0.2 refusals<=5 layer>10 seconds<9 front marked tag:mild note:style overruled per-layer
method:leace complete dominated decoded screened failed. All must be true, and only what is certain counts:
refusals<=5 leaves estimates out.

Columns are set in the file of the interface (heretic-tui config --interface): under columns, trials = a list of mark,
trial, front, the figures by name, direction, method, strength, time, tags, note, state, peak; of what reviews found,
CHECK.FIGURE such as held_out.refused or sampling.refused (heretic-tui show --json tells all).

O sets up a second round: a search on top of the selected trial, which is taken as given. In a second round its start,
that trial, stands below the original model, and in the scatter with a sign of its own. The front holds the best of this
round's trials, whatever the start is: those of it that are better than the start in neither figure have a hollow sign.

R asks for a review of finalists: whether the figures of the search hold on other prompts, for sampled answers, and so
on; V shows what was found. A sign behind a count of refusals, and another in the scatter, say of which trials of the
front the selected one is within chance: their verdicts on the same prompts differ by no more (McNemar's exact test).
"""
    BINDINGS = [
        Binding("enter", "responses", "Responses", tooltip="what the original model and the trial answered", show=True),
        Binding("c", "chat", "Chat", tooltip="chat with the selected trial"),
        Binding(
            "C", "compare", "Compare", tooltip="compare the selected trial with the one marked last, or the original"
        ),
        Binding("x", "tweak", "Tweak", show=False, tooltip="turn the edit of the selected trial by its knobs"),
        Binding("e", "export", "Export", tooltip="write the selected trial as a model or an adapter"),
        Binding("O", "on_top", "On top", show=False, tooltip="set up a second round, on top of the selected trial"),
        Binding("d", "decode", "Decode", tooltip="decode the responses of a screened trial"),
        Binding(
            "R",
            "review",
            "Review",
            show=False,
            tooltip="ask for a review of finalists, or cancel it",
        ),
        Binding("V", "reviewed", "Reviewed", show=False, tooltip="show what reviews found"),
        Binding("m", "mark", "Mark", show=False, tooltip="mark the selected trial, or take the mark away"),
        Binding("t", "annotate", "Tag, note", show=False, tooltip="tags and a note on the selected trial"),
        Binding("u", "undo", "Undo", show=False, tooltip="take back the last mark, tag or note"),
        Binding("slash", "filter", "Filter", key_display="/", tooltip="show only trials that fit some words"),
        Binding("s", "sort", "Sort", tooltip="sort the table by the next column"),
        Binding("r", "reverse", "Reverse", show=False, tooltip="reverse the order of the table"),
        Binding("z", "zoom", "Zoom", show=False, tooltip="zoom the scatter: all, the front, around the selected trial"),
        Binding("o", "logarithmic", "Log KL", show=False, tooltip="log scale for KL in the scatter, on and off"),
        Binding("n", "next_front(1)", "Next on front", show=False, tooltip="select the next trial on the front"),
        Binding("N", "next_front(-1)", "Previous on front", show=False, tooltip="select the one before on the front"),
        Binding("number_sign", "go_to", "Go to trial", show=False, tooltip="select a trial by its number"),
        Binding("y", "copy", "Copy edit", show=False, tooltip="copy the edit as JSON, as `score --edit` reads it"),
        Binding("Y", "copy_line", "Copy line", show=False, tooltip="copy the line of the selected trial"),
        Binding("escape", "leave_filter", "Clear filter", show=False, tooltip="show all trials again"),
    ]

    def __init__(self) -> None:
        super().__init__()
        # The filter that the lines were listed by last.
        self._listed_by = ""
        self._said, self._said_lines = Text(), 0
        self._listing = Listing()
        self._columns: list[Column] = []
        # Whether the columns are those of a run with broken responses.
        self._broken = False
        self._columns_told = False
        # Which pane stands where there is no room for all.
        self._turn = 0
        # Trials of which reviews found something since they were painted.
        self._reviewed_anew: set[int] = set()
        # The run that what follows belongs to.
        self._of: RunState | None = None

    def body(self) -> ComposeResult:
        self._columns = self._wanted_columns()
        keys = ("responses", "chat", "decode", "compare", "tweak", "export", "mark", "annotate", "copy")
        yield Preparing(id="preparing")
        # A grid: which pane stands where follows from the width, and is in the stylesheet.
        with Container(id="trials-body"):
            with Frame("Trials", id="trials-pane", keys=("sort", "filter", "review", "mark", "annotate", "next_front")):
                yield LineTable(self._columns, id="trial-table", enter="responses")
                yield self.filter_line()
                yield Static("", markup=False, id="filter-words")
            yield Frame("Front", ParetoPlot(id="pareto"), id="front-pane", keys=("zoom", "logarithmic", "next_front"))
            yield Frame("Answers", TextPanel(id="answers"), id="answers-pane", keys=("responses",))
            yield Frame("Progress of the search", TextPanel(id="progress"), id="progress-pane", keys=("stop", "more"))
            yield Frame("Trial", TextPanel(id="detail"), id="detail-pane", keys=keys)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "next_pane":
            return bool(self._turns) and not self.has_class("-preparing")
        return super().check_action(action, parameters)

    @property
    def _turns(self) -> tuple[int, ...]:
        """What `v` turns through where a pane has no room: the front, the progress, the answers (heretic.tcss)."""
        if self.has_class("-narrow"):
            return tuple(range(len(self.PANES)))
        if self.has_class("-normal") or (self.has_class("-wide") and self.has_class("-short")):
            return (0, 1, 2)
        if self.has_class("-huge"):
            return (0, 1) if self.has_class("-short") else ()
        return (0, 2)

    def action_next_pane(self) -> None:
        if self.has_class("-narrow"):
            super().action_next_pane()
            return
        turns, now = self._turns, self._turn
        self._turn = turns[(turns.index(now) + 1) % len(turns)] if now in turns else turns[1]
        for turn in (1, 2):
            self.set_class(self._turn == turn, f"-turn-{turn}")
        self.call_after_refresh(self.careful(self.paint_all))

    def on_mount(self) -> None:
        self.query_one("#trial-table").focus()

    # Painting

    def show_changes(self) -> None:
        self.paint_trials()
        self.paint_detail()

    def show_alike(self) -> None:
        self.paint_trials()
        self.paint_detail()

    def ticked(self) -> None:
        self._paint_preparing()

    def _paint_preparing(self) -> None:
        """The steps in place of the panes, before the first trial."""
        preparing = is_preparing(self.view)
        if preparing != self.has_class("-preparing"):
            self.set_class(preparing, "-preparing")
            self.query_one("#steps" if preparing else "#trial-table").focus()
            # Panes that come into view have a size when they have been laid out.
            self.call_after_refresh(self.careful(self.paint_all))
        if preparing:
            self.query_one(Preparing).show(self.view)

    def paint(self, kinds: frozenset[str]) -> None:
        self._paint_preparing()
        if touched(kinds, "run_opened"):
            self._take_run()
        if touched(kinds, REVIEWED):
            self._take_review()
        if touched(
            kinds, "trial_started", "trials_taken_up", "trial_finished", "run_opened", ANNOTATED, REVIEWED, *_COUNTS
        ):
            self.paint_trials()
            # Another trial's end can take the selected one off the front.
            self.paint_detail()
            self.paint_progress()
            if touched(kinds, "trial_finished") and self.known_answers() is None:
                self.look_up_answers()
            self.look_up_alike()
        elif touched(kinds, "progress", "measured"):
            self._paint_running()

    def _take_run(self) -> None:
        """Another run may have other figures: columns are made for them, a filter by others is dropped."""
        if self._of is not self.view.state:
            self._of = self.view.state
            self.forget_undo()
            self.forget_search()
        self.forget_answers()
        self._take_columns()
        self.fit_order()
        self.look_as_before()

    def _wanted_columns(self) -> list[Column]:
        """The columns of the settings of the interface; what is wrong with them is told once."""
        figures, wanted = self.view.state.figures, self.interface.columns.get("trials", [])
        if not self._columns_told and self.view.state.opened:
            self._columns_told = True
            for problem in column_problems(figures, wanted):
                self.say(problem, "warning")
        state = self.view.state
        return trial_columns(figures, wanted, self.view.reviews.found, state.has_broken, state.several_methods)

    def _take_columns(self) -> None:
        """The columns that there are by now."""
        columns, self._broken = self._wanted_columns(), self.view.state.has_broken
        if columns != self._columns:
            self._columns = columns
            self.query_one("#trial-table", LineTable).set_columns(columns)

    def _take_review(self) -> None:
        """Reviews found something: their columns come, and the lines of the trials that they found it of are others."""
        self._take_columns()
        self._reviewed_anew = {subject for subject in self.view.reviews.found.subjects if subject is not None}

    def paint_trials(self) -> None:
        state, listing = self.view.state, self._listing
        if state.has_broken != self._broken:
            self._take_columns()
        listing.update(state, self.view.annotations, self._wanted(), self._reviewed_anew)
        self._reviewed_anew = set()
        table = self.query_one("#trial-table", LineTable)
        rows = [listing.rows[number] for number in listing.numbers]
        shown = len(rows)
        table.set_empty(self._nothing())
        above = rows_above(state, self._columns, self.view.glyphs, self.view.reviews.found)
        above = above if rows and not self.filter_words else []
        first = table.cursor is None
        # The last line of a filter is not the latest trial.
        follow = self.sort == "trial" and not self.falling and self.filter_words == self._listed_by
        self._listed_by = self.filter_words
        table.set_rows([*above, *rows], follow=follow, above=len(above))
        if first and self.view.selected_trial is not None:
            table.go_to(self.view.selected_trial)
        self._paint_title()
        self._paint_words(shown)
        plot = self.query_one(ParetoPlot)
        plot.cursor = self.view.selected_trial if plot.cursor is None else plot.cursor
        plot.show(self.scene(listing.points))

    def _paint_running(self) -> None:
        """What has been measured and judged of the trials in hand: their lines alone."""
        table, wanted = self.query_one("#trial-table", LineTable), self._wanted()
        for trial in self.view.state.in_hand:
            table.set_row(self._listing.row(trial, wanted))
        plot = self.query_one(ParetoPlot)
        plot.show(replace(plot.scene, running=self.running_values()))
        if self.view.trial in self.view.state.in_hand:
            self.paint_detail()

    def _paint_title(self) -> None:
        state, g, look = self.view.state, self.view.glyphs, self.looks
        front, in_vain = len(self._listing.front), len(self._listing.in_vain)
        title = Text("Trials")
        if state.trials:
            title.append(f"  {len(state.trials)}")
        if front:
            title.append(f" {g.dot} ").append(f"{g.front}{front - in_vain}", look.good)
            title.append(f" {g.in_vain}{in_vain}" if in_vain else "").append(" on the front")
        if marks := [number for number in self.view.annotations.marks if number in state.trials]:
            title.append(f" {g.dot} ").append(f"{g.marked}{len(marks)}", look.focus)
        self.query_one("#trials-pane", Frame).retitle(title)
        self.paint_front_title()

    def _nothing(self) -> str:
        """The text in place of the trials while there are none to show."""
        state = self.view.state
        if state.trials:
            return "No trial fits the filter; esc takes it away."
        if self.view.host is None:
            return "No run is open: 1 sets one up."
        if not self.view.alive:
            return "This run ended before its first trial."
        return "No trials yet."

    def _paint_words(self, shown: int) -> None:
        """Counts, as the line above has them, and what is listed in which order; or what is wrong with the filter."""
        if self.filter_problem:
            self._say(Text(plain(self.filter_problem), f"bold {self.looks.bad}"))
            return
        state, alive, g = self.view.state, self.view.alive, self.view.glyphs
        words = [done_of(state.finished, state.n_trials)] if state.n_trials else []
        if state.screens:
            words.append(f"{state.decoded} decoded")
        if begun := len(self._listing.begun):
            words.append(f"{begun} {'running' if alive else 'stopped'}")
        given = sum(bool(state.trials[number].origin) for number in self._listing.by_hand)
        if given:
            words.append(f"{given} given to the search")
        if by_hand := len(self._listing.by_hand) - given:
            words.append(f"{by_hand} by hand")
        if self.filter_words:
            words.append(f"{shown} shown by {self.filter_words}")
        names = {f.word: heading(f) for f in state.figures} | {"layer": "direction", "seconds": "time"}
        words.append(f"sorted by {names.get(self.sort, self.sort)} {g.falling if self.falling else g.rising}")
        self._say(Text(plain(", ".join(words))))

    def _say(self, text: Text) -> None:
        """Under the table, in as many lines as it takes: a new layout of the screen only where they become more or
        fewer."""
        line = self.query_one("#filter-words", Static)
        lines = len(text.wrap(self.app.console, line.size.width)) if line.size.width else 1
        if text != self._said or text.spans != self._said.spans or lines != self._said_lines:
            line.update(text, layout=lines != self._said_lines)
            self._said, self._said_lines = text, lines

    def _seen(self) -> Seen:
        view, model = self.view, self.view.state.model
        layers = model.layers if model else 0
        return Seen(
            view.state.figures, view.annotations, view.glyphs, layers, view.alive, view.timed, view.state.start,
            view.reviews.found, self.alike_numbers,
        )  # fmt: skip

    def _wanted(self) -> Wanted:
        return Wanted(self.filter_words, self.sort, self.falling, tuple(self._columns), self._seen())

    def _select(self, number: int) -> None:
        self.on_original = False
        self.view.selected_trial = number
        self.query_one(ParetoPlot).put_cursor(number)
        self.selected_anew()

    # Messages

    @on(LineTable.Highlighted, "#trial-table")
    def _highlighted(self, message: LineTable.Highlighted) -> None:
        if message.key == ORIGINAL:
            self.on_original = True
            self.selected_anew()
        elif message.key is not None:
            self._select(int(str(message.key)))

    @on(LineTable.Selected, "#trial-table")
    def _selected(self) -> None:
        self.action_responses()

    def on_pareto_plot_highlighted(self, message: ParetoPlot.Highlighted) -> None:
        self.go_to_trial(message.number)

    def go_to_trial(self, number: int) -> None:
        table = self.query_one("#trial-table", LineTable)
        if not table.go_to(number):
            self._select(number)

    # Actions

    def works(self, action: str) -> bool:
        trial = self.trial
        match action:
            case "review":
                return can_review(self.view)
            case "export":
                return trial is not None and trial.state == "complete" and self.view.can_ask
            case "enter" | "responses" | "compare":
                measured = trial is not None and trial.state in MEASURED_STATES
                return measured or (self.on_original and action != "compare")
            case "chat":
                return trial is not None and trial.state in KNOWN_STATES
            case "decode":
                return trial is not None and trial.state == "screened" and not trial.runs and self.view.can_ask
            case "tweak":
                return trial is not None and trial.parameters is not None and self.view.can_ask
            case "mark" | "annotate" | "copy":
                return trial is not None
            case "filter" | "sort":
                return bool(self.view.state.trials) and not self.query_one("#filter").has_focus
        return True

    def action_next_front(self, by: int) -> None:
        numbers = [t.number for t in self.view.state.front()]
        if numbers:
            here = None if self.on_original else self.view.selected_trial
            place = numbers.index(here) + by if here in numbers else 0
            self.go_to_trial(numbers[place % len(numbers)])

    def action_go_to(self) -> None:
        def check(text: str) -> str | None:
            known = typed_number(text) in self.view.state.trials
            return None if known else f"a number from 0 to {max(self.view.state.trials, default=0)}"

        def answered(text: str | None) -> None:
            if text is not None:
                self.go_to_trial(int(text))

        if self.view.state.trials:
            self.app.push_screen(LineDialog("Go to trial", "", "", check), answered)

    def action_copy_line(self) -> None:
        if trial := self.trial:
            row = self._listing.row(trial, self._wanted())
            self.ask(CopyText(row_text(row), f"line of trial {trial.number}"))
