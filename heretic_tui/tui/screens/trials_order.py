"""The part of Trials that says which trials are listed, and in which order."""

from __future__ import annotations

from textual import on
from textual.widgets import Input

from heretic_tui.tui.filters import filter_example, parse_filter, sort_keys
from heretic_tui.tui.keys import next_choice
from heretic_tui.tui.screens.trials_search import TrialSearch
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.quiet_input import QuietInput


class TrialOrder(TrialSearch):
    """The line of the filter, and what sorts the table.

    Attributes:
        sort, falling: the column that the table is sorted by, and whether downwards.
        filter_words: the filter that is in use.
        filter_problem: what is wrong with the one in its line; the one before is in use meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sort, self.falling = "trial", False
        self.filter_words = self.filter_problem = ""

    def filter_line(self) -> Input:
        """The line of the filter, which is not shown yet."""
        line = QuietInput(placeholder=filter_example(self.view.state.figures), id="filter", select_on_focus=False)
        line.display = False
        return line

    def paint_trials(self) -> None:
        raise NotImplementedError

    def fit_order(self) -> None:
        """Another run may have other figures: a filter, or an order, by others is dropped."""
        figures, box = self.view.state.figures, self.query_one("#filter", Input)
        box.placeholder = filter_example(figures)
        if self.sort not in sort_keys(figures):
            self.sort = "trial"
        try:
            parse_filter(self.filter_words, figures)
        except ValueError:
            box.value = self.filter_words = self.filter_problem = ""

    @on(LineTable.HeaderClicked, "#trial-table")
    def _header(self, message: LineTable.HeaderClicked) -> None:
        column = {"direction": "layer", "time": "seconds"}.get(message.column, message.column)
        if column in sort_keys(self.view.state.figures):
            self.falling = self.sort == column and not self.falling
            self.sort = column
            self.paint_trials()

    @on(Input.Changed, "#filter")
    def _filtering(self, event: Input.Changed) -> None:
        try:
            parse_filter(event.value, self.view.state.figures)
        except ValueError as error:
            event.input.add_class("-invalid")
            self.filter_problem = str(error)
        else:
            event.input.remove_class("-invalid")
            self.filter_words, self.filter_problem = event.value, ""
        self.paint_trials()

    @on(Input.Submitted, "#filter")
    def _filtered(self) -> None:
        if self.filter_problem:
            return
        self.query_one("#filter", Input).display = False
        self.query_one("#trial-table").focus()

    def action_filter(self) -> None:
        box = self.query_one("#filter", Input)
        box.display = True
        box.focus()

    def action_leave_filter(self) -> None:
        box = self.query_one("#filter", Input)
        if box.display or self.filter_words:
            box.value = self.filter_words = self.filter_problem = ""
            box.display = False
            self.paint_trials()
        self.query_one("#trial-table").focus()

    def action_sort(self) -> None:
        self.sort = next_choice(sort_keys(self.view.state.figures), self.sort)
        self.paint_trials()

    def action_reverse(self) -> None:
        self.falling = not self.falling
        self.paint_trials()
