"""The table of a review, and a figure in words: what the screens of reviews share, of a run's trials or of two models
without a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.widgets import Static

from heretic_tui.run.review_records import Subject
from heretic_tui.run.reviews import Review
from heretic_tui.tui.comparison import HELD_OUT
from heretic_tui.tui.messages import CopyText
from heretic_tui.tui.screens.base import ALL, PanedScreen
from heretic_tui.tui.screens.compare import CompareScreen
from heretic_tui.tui.screens.review_table import Drawn, Line, ordered, table_of
from heretic_tui.tui.screens.review_text import figure_title, legend, panel_text
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.text_panel import TextPanel

ABOUT = """
Each line is a figure of a check, each column a model; behind each value stands the interval in which it lies with a
probability of 95 %, by chance in the choice of prompts. Up and down go from figure to figure, left and right from
column to column.

Every column is compared with the one that has the dot, the original model at first: a sign says whether a figure is
within chance of it, or lower or higher by more than chance. Counts are compared by McNemar's exact test, means by a
test of random signs, both over the same prompts.
"""


class ReviewBase(PanedScreen[None]):
    """A table of figures and subjects; below it the figure under the cursor in words.

    Attributes:
        TABLE_KEYS, FIGURE_KEYS: actions whose keys stand in the borders of the two.
        ENTER: what enter does on a figure; empty where nothing.
    """

    SCOPE = "review"
    PANES = ("review-pane", "figure-pane")
    AUTO_FOCUS = "#review-table"
    TABLE_KEYS: ClassVar[Sequence[str]] = ("reference", "answers", "copy")
    FIGURE_KEYS: ClassVar[Sequence[str]] = ("answers",)
    ENTER: ClassVar[str] = ""
    BINDINGS = [
        Binding("left,h", "across(-1)", "Column before", show=False, tooltip="choose the column before"),
        Binding("right,l", "across(1)", "Next column", show=False, tooltip="choose the next column"),
        Binding("b", "reference", "Compare with this", tooltip="compare all columns with the chosen one"),
        Binding(
            "r", "answers", "Answers", tooltip="show the held-out answers of the chosen column, to overrule verdicts"
        ),
        Binding("y", "copy", "Copy table", show=False, tooltip="copy the table"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.subjects: list[Subject] = []
        self.reference: Subject = None
        self._column = 0
        # Whether the user has chosen a column.
        self._moved_across = False
        self._drawn: Drawn | None = None
        self._legend = ""
        self._version: object = None

    def body(self) -> ComposeResult:
        with Container(id="review-body"):
            with Frame("Review", id="review-pane", keys=self.TABLE_KEYS):
                yield LineTable([], id="review-table", enter=self.ENTER)
                yield Static("", markup=False, id="review-words")
            yield Frame("Figure", TextPanel(id="figure"), id="figure-pane", keys=self.FIGURE_KEYS)

    @property
    def found(self) -> Review:
        """What is shown."""
        return self.view.reviews.found

    def front(self) -> Sequence[int]:
        """Trials in the order in which their columns come first."""
        return ()

    def first_column(self) -> int:
        """The place of the column that is chosen at first."""
        return min(1, max(0, len(self.subjects) - 1))

    def before_the_figure(self) -> Text:
        """What stands above the figure in words."""
        return Text()

    def without_figure(self) -> tuple[str, Text]:
        """Title and text of the panel where no figure is under the cursor."""
        raise NotImplementedError

    @property
    def subject(self) -> Subject:
        """That of the chosen column."""
        return self.subjects[self._column] if self._column < len(self.subjects) else None

    @property
    def _line(self) -> Line | None:
        """The line under the cursor."""
        key = self.query_one("#review-table", LineTable).cursor
        return (str(key[0]), str(key[1])) if isinstance(key, tuple) else None

    # Painting

    def ticked(self) -> None:
        if self._version != self.now():
            self.paint(ALL)

    def now(self) -> tuple[object, ...]:
        """What is drawn follows from this."""
        return self.view.reviews.changes, self.view.corrected

    def paint(self, kinds: frozenset[str]) -> None:
        self._version = self.now()
        chosen, before = self.subject, self.subjects
        self.subjects = ordered(self.found, self.front())
        self._column = self._place_of(chosen) if self._moved_across else self.first_column()
        if self.reference not in self.subjects:
            self.reference = None
        self._paint_table()
        self._paint_panel()
        if before != self.subjects:
            # Other keys lead anywhere now.
            self.refresh_bindings()

    def _place_of(self, subject: Subject) -> int:
        places = self.subjects
        return places.index(subject) if subject in places else min(self._column, max(0, len(places) - 1))

    def table_title(self) -> str:
        """That of the table."""
        raise NotImplementedError

    def _paint_table(self) -> None:
        table = self.query_one("#review-table", LineTable)
        # The scroll bar's cell is kept free.
        width = table.size.width - 1
        drawn = Drawn(self.found, self.subjects, self.reference, self._column, self.view.glyphs, width)
        self._drawn = drawn
        shown = table_of(drawn)
        table.set_empty("Nothing has been reviewed yet.")
        table.set_columns(shown.columns)
        table.set_rows(shown.rows)
        all_columns = len(self.subjects)
        more = f"   {len(shown.seen)} of {all_columns} columns" if len(shown.seen) < all_columns else ""
        self.query_one("#review-pane", Frame).retitle(f"{self.table_title()}{more}")
        words = legend(drawn) if self.subjects else ""
        if words != self._legend:
            # Only where another column is compared with.
            self.query_one("#review-words", Static).update(words)
            self._legend = words

    def _paint_panel(self) -> None:
        panel, frame, line = self.query_one("#figure", TextPanel), self.query_one("#figure-pane", Frame), self._line
        text = self.before_the_figure()
        if line is None or self._drawn is None:
            title, words = self.without_figure()
        else:
            title = f"{self.found.title(line[0])}: {figure_title(line, self.subject, self._drawn)}"
            width = panel.scrollable_content_region.width - (not panel.show_vertical_scrollbar)
            words = panel_text(line, self.subject, self._drawn, self.looks, width)
        frame.retitle(title)
        frame.show_keys()
        panel.show(text.append_text(words))

    @on(LineTable.Highlighted, "#review-table")
    def _moved(self) -> None:
        self.query_one("#figure", TextPanel).scroll_home(animate=False)
        self._paint_panel()

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
            case "reference":
                return bool(self.subjects) and self.subject != self.reference
            case "answers" | "copy":
                return bool(self.subjects)
        return True

    def action_across(self, by: int) -> None:
        self._choose(max(0, min(len(self.subjects) - 1, self._column + by)))

    def _choose(self, column: int) -> None:
        if column != self._column and 0 <= column < len(self.subjects):
            self._column, self._moved_across = column, True
            self._paint_table()
            self._paint_panel()
            self.refresh_bindings()

    def action_reference(self) -> None:
        if not self.subjects:
            self.say("Nothing has been reviewed yet.")
            return
        self.reference = self.subject
        self._paint_table()
        self._paint_panel()
        self.refresh_bindings()
        self.say(f"All columns are compared with {self.found.called(self.reference)} now.")

    def action_answers(self) -> None:
        edited = [subject for subject in self.subjects if subject is not None]
        whose = self.subject if self.subject is not None else next(iter(edited), None)
        if not self.subjects:
            self.say("Nothing has been reviewed yet.")
            return
        self.app.push_screen(CompareScreen(whose, self.reference if self.reference != whose else None, HELD_OUT))

    def action_copy(self) -> None:
        if self._drawn is None or not self.subjects:
            self.say("Nothing has been reviewed yet.")
            return
        whole = table_of(replace(self._drawn, width=10_000))
        lines = ["\t".join(["", *(self.found.name(subject) for subject in self.subjects)])]
        lines += ["\t".join(cell.strip() for cell in row.cells) for row in whole.rows]
        self.ask(CopyText("\n".join(lines), "table of the review"))
