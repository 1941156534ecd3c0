"""Review: what reviews found of the original model and of trials, side by side, and whether they differ by more than
chance."""

from __future__ import annotations

import time
from dataclasses import replace

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.widgets import Static

from heretic_tui.run.folder import RunFolder
from heretic_tui.run.review_records import Subject
from heretic_tui.tui.comparison import HELD_OUT
from heretic_tui.tui.messages import CopyText, ExportTrial
from heretic_tui.tui.screens.base import ALL, SubScreen
from heretic_tui.tui.screens.compare import CompareScreen
from heretic_tui.tui.screens.review_asking import can_review, review_key
from heretic_tui.tui.screens.review_table import Drawn, Line, ordered, table_of, title_of
from heretic_tui.tui.screens.review_text import course_text, figure_title, legend, nothing_yet, panel_text
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import counted, of_trial


class ReviewScreen(SubScreen):
    """A table of figures and subjects; below it the figure under the cursor in words.

    Attributes:
        went_to: the trial that the screen was left for; None where it was not.
    """

    SCOPE = "review"
    HELP_TEXT = """
Each line is a figure of a check, each column the original model or a trial; behind each value stands the interval in
which it lies with a probability of 95 %, by chance in the choice of prompts. Up and down go from figure to figure, left
and right from column to column.

Every column is compared with the one that has the dot, the original model at first: a sign says whether a figure is
within chance of it, or lower or higher by more than chance. Counts are compared by McNemar's exact test, means by a
bootstrap of the differences, both over the same prompts. b compares with the chosen column instead, such as one trial
with another.

What is found is kept in the run folder as soon as it is there; a review that was cancelled goes on with it.
"""
    PANES = ("review-pane", "figure-pane")
    AUTO_FOCUS = "#review-table"
    BINDINGS = [
        Binding("enter", "go_to_trial", "Show trial", tooltip="go to the chosen trial"),
        Binding("left,h", "across(-1)", "Column before", show=False, tooltip="choose the column before"),
        Binding("right,l", "across(1)", "Next column", show=False, tooltip="choose the next column"),
        Binding("b", "reference", "Compare with this", tooltip="compare all columns with the chosen one"),
        Binding(
            "r", "answers", "Answers", tooltip="show the held-out answers of the chosen column, to overrule verdicts"
        ),
        Binding("R", "review", "Review", tooltip="ask for a review, or cancel the one in hand"),
        Binding("e", "export", "Export", tooltip="export the chosen trial"),
        Binding("y", "copy", "Copy table", show=False, tooltip="copy the table"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.went_to: int | None = None
        self._reference: Subject = None
        self._subjects: list[Subject] = []
        self._column = 0
        # Whether the user has chosen a column.
        self._moved_across = False
        self._folder: RunFolder | None = None
        self._drawn: Drawn | None = None
        self._version: object = None
        self._legend = ""

    def body(self) -> ComposeResult:
        with Container(id="review-body"):
            with Frame("Review", id="review-pane", keys=("reference", "answers", "review", "copy")):
                yield LineTable([], id="review-table", enter="show trial")
                yield Static("", markup=False, id="review-words")
            yield Frame("Figure", TextPanel(id="figure"), id="figure-pane", keys=("answers", "go_to_trial", "export"))

    def on_mount(self) -> None:
        self._folder = self.view.folder
        self.view.reviews.look_again()

    def _first_column(self) -> int:
        """That of the selected trial, else that of the first one."""
        subjects = self._ordered()
        number = self.view.selected_trial
        return (
            subjects.index(number) if number is not None and number in subjects else min(1, max(0, len(subjects) - 1))
        )

    def _ordered(self) -> list[Subject]:
        return ordered(self.view.reviews.found, [trial.number for trial in self.view.state.front()])

    @property
    def _subject(self) -> Subject:
        """That of the chosen column."""
        return self._subjects[self._column] if self._column < len(self._subjects) else None

    @property
    def _line(self) -> Line | None:
        """The line under the cursor."""
        key = self.query_one("#review-table", LineTable).cursor
        return (str(key[0]), str(key[1])) if isinstance(key, tuple) else None

    # Painting

    def ticked(self) -> None:
        view = self.view
        if view.folder is not self._folder:
            # Another run is in view.
            self.dismiss(None)
            return
        if self._version != self._now():
            self.paint(ALL)

    def _now(self) -> object:
        """What is drawn follows from this."""
        reviews, state = self.view.reviews, self.view.state
        course = reviews.course
        steps = [(step.done, step.problem) for step in course.steps] if course else None
        return reviews.changes, steps, reviews.asked is None, state.ends, self.view.corrected, self.view.can_ask

    def paint(self, kinds: frozenset[str]) -> None:
        self._version = self._now()
        chosen = self._subject
        self._subjects = self._ordered()
        self._column = self._place_of(chosen) if self._moved_across else self._first_column()
        if self._reference not in self._subjects:
            self._reference = None
        self._paint_table()
        self._paint_panel()

    def _place_of(self, subject: Subject) -> int:
        places = self._subjects
        return places.index(subject) if subject in places else min(self._column, max(0, len(places) - 1))

    def _paint_table(self) -> None:
        view, table = self.view, self.query_one("#review-table", LineTable)
        # The scroll bar's cell is kept free.
        width = table.size.width - 1
        drawn = Drawn(view.reviews.found, self._subjects, self._reference, self._column, view.glyphs, width)
        self._drawn = drawn
        found = table_of(drawn)
        table.set_empty("Nothing has been reviewed yet.")
        table.set_columns(found.columns)
        table.set_rows(found.rows)
        trials = len(self._subjects) - (None in self._subjects)
        more = f"   {len(found.seen)} of {len(self._subjects)} columns" if len(found.seen) < len(self._subjects) else ""
        title = f"Review of {counted(trials, 'trial')}{more}" if trials else "Review"
        self.query_one("#review-pane", Frame).retitle(title)
        words = legend(drawn) if self._subjects else ""
        if words != self._legend:
            # Only where another column is compared with.
            self.query_one("#review-words", Static).update(words)
            self._legend = words

    def _paint_panel(self) -> None:
        view, panel, frame = self.view, self.query_one("#figure", TextPanel), self.query_one("#figure-pane", Frame)
        text, title, line = Text(), "Figure", self._line
        if (course := view.reviews.course) and view.alive:
            seconds = course.seconds_left(time.time()) if view.timed else None
            text.append_text(course_text(course, seconds, self.looks, view.glyphs, view.reviews.asked is not None))
        elif view.reviews.asked:
            text.append(
                "The review is asked for; it begins as soon as the engine is free. R cancels.\n", self.looks.busy
            )
        if text:
            text.append("\n")
        if line is None or self._drawn is None:
            title = "What a review is"
            text.append_text(nothing_yet(view.can_ask))
        else:
            title = f"{title_of(view.reviews.found, line[0])}: {figure_title(line, self._subject, self._drawn)}"
            width = panel.scrollable_content_region.width - (not panel.show_vertical_scrollbar)
            text.append_text(panel_text(line, self._subject, self._drawn, self.looks, width))
        frame.retitle(title)
        frame.show_keys()
        panel.show(text)

    @on(LineTable.Highlighted, "#review-table")
    def _moved(self) -> None:
        self.query_one("#figure", TextPanel).scroll_home(animate=False)
        self._paint_panel()

    @on(LineTable.Selected, "#review-table")
    def _selected(self) -> None:
        self.action_go_to_trial()

    @on(LineTable.HeaderClicked, "#review-table")
    def _header(self, message: LineTable.HeaderClicked) -> None:
        if message.column.isdecimal():
            self._choose(int(message.column))

    @on(TextPanel.Resized)
    def _resized(self) -> None:
        self.call_after_refresh(self.careful(self.paint_all))

    # Actions

    def works(self, action: str) -> bool:
        match action:
            case "go_to_trial" | "export":
                return self._subject is not None
            case "reference":
                return bool(self._subjects) and self._subject != self._reference
            case "answers" | "copy":
                return bool(self._subjects)
            case "review":
                return can_review(self.view)
        return True

    def action_across(self, by: int) -> None:
        self._choose(max(0, min(len(self._subjects) - 1, self._column + by)))

    def _choose(self, column: int) -> None:
        if column != self._column and 0 <= column < len(self._subjects):
            self._column, self._moved_across = column, True
            self._paint_table()
            self._paint_panel()
            self.refresh_bindings()

    def action_reference(self) -> None:
        if not self._subjects:
            self.say("Nothing has been reviewed yet.")
            return
        self._reference = self._subject
        self._paint_table()
        self._paint_panel()
        self.say(f"All columns are compared with {of_trial(self._reference)} now.")

    def action_go_to_trial(self) -> None:
        if self._subject is None:
            self.say("This column is the original model: left and right choose a trial.")
            return
        self.went_to = self._subject
        self.dismiss(None)

    def action_answers(self) -> None:
        trials = [subject for subject in self._subjects if subject is not None]
        whose = self._subject if self._subject is not None else next(iter(trials), None)
        if not self._subjects:
            self.say("Nothing has been reviewed yet.")
            return
        self.app.push_screen(CompareScreen(whose, self._reference if self._reference != whose else None, HELD_OUT))

    def action_review(self) -> None:
        review_key(self)

    def action_export(self) -> None:
        trial = self.view.state.trials.get(-1 if self._subject is None else self._subject)
        if trial is None or trial.state != "complete":
            self.say("Only a trial that was measured in full can be exported.")
        else:
            self.ask(ExportTrial(trial.number))

    def action_copy(self) -> None:
        if self._drawn is None or not self._subjects:
            self.say("Nothing has been reviewed yet.")
            return
        whole = table_of(replace(self._drawn, width=10_000))
        lines = ["\t".join(["", *(self._drawn.review.name(subject) for subject in self._subjects)])]
        lines += ["\t".join(cell.strip() for cell in row.cells) for row in whole.rows]
        self.ask(CopyText("\n".join(lines), "table of the review"))
