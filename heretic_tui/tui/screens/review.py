"""Review: what reviews found of the original model and of trials, side by side, and whether they differ by more than
chance."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.binding import Binding

from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.messages import ExportTrial
from heretic_tui.tui.screens.base import SubScreen
from heretic_tui.tui.screens.review_asking import can_review, review_key
from heretic_tui.tui.screens.review_base import ABOUT, ReviewBase
from heretic_tui.tui.screens.review_text import course_text, nothing_yet
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.words import counted


class ReviewScreen(ReviewBase, SubScreen):
    """The review of a run's trials.

    Attributes:
        went_to: the trial that the screen was left for; None where it was not.
    """

    SCOPE = "review"
    HELP_TEXT = f"""{ABOUT}
b compares with the chosen column instead, such as one trial with another.

What is found is kept in the run folder as soon as it is there; a review that was cancelled goes on with it.
"""
    TABLE_KEYS = ("reference", "answers", "review", "copy")
    FIGURE_KEYS = ("answers", "go_to_trial", "export")
    ENTER = "show trial"
    BINDINGS = [
        Binding("enter", "go_to_trial", "Show trial", tooltip="go to the chosen trial"),
        Binding("R", "review", "Review", tooltip="ask for a review, or cancel the one in hand"),
        Binding("e", "export", "Export", tooltip="export the chosen trial"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.went_to: int | None = None
        self._folder: RunFolder | None = None

    def on_mount(self) -> None:
        self._folder = self.view.folder
        self.view.reviews.look_again()

    def front(self) -> Sequence[int]:
        return [trial.number for trial in self.view.state.front()]

    def first_column(self) -> int:
        """That of the selected trial, else that of the first one."""
        number = self.view.selected_trial
        known = number is not None and number in self.subjects
        return self.subjects.index(number) if known else super().first_column()

    # Painting

    def ticked(self) -> None:
        view = self.view
        if view.folder is not self._folder:
            # Another run is in view.
            self.dismiss(None)
            return
        super().ticked()

    def now(self) -> tuple[object, ...]:
        reviews, state = self.view.reviews, self.view.state
        course = reviews.course
        steps = [(step.done, step.problem) for step in course.steps] if course else None
        return *super().now(), steps, reviews.asked is None, state.ends, self.view.can_ask

    def table_title(self) -> str:
        trials = len(self.subjects) - (None in self.subjects)
        return f"Review of {counted(trials, 'trial')}" if trials else "Review"

    def before_the_figure(self) -> Text:
        view, text = self.view, Text()
        if (course := view.reviews.course) and view.alive:
            seconds = course.seconds_left(time.time()) if view.timed else None
            text.append_text(course_text(course, seconds, self.looks, view.glyphs, view.reviews.asked is not None))
        elif view.reviews.asked:
            text.append(
                "The review is asked for; it begins as soon as the engine is free. R cancels.\n", self.looks.busy
            )
        return text.append("\n") if text else text

    def without_figure(self) -> tuple[str, Text]:
        return "What a review is", nothing_yet(self.view.can_ask)

    @on(LineTable.Selected, "#review-table")
    def _selected(self) -> None:
        self.action_go_to_trial()

    # Actions

    def works(self, action: str) -> bool:
        match action:
            case "go_to_trial" | "export" | "enter":
                return self.subject is not None
            case "review":
                return can_review(self.view)
        return super().works(action)

    def action_go_to_trial(self) -> None:
        if self.subject is None:
            self.say("This column is the original model: left and right choose a trial.")
            return
        self.went_to = self.subject
        self.dismiss(None)

    def action_review(self) -> None:
        review_key(self)

    def action_export(self) -> None:
        trial = self.view.state.trials.get(-1 if self.subject is None else self.subject)
        if trial is None or trial.state != "complete":
            self.say("Only a trial that was measured in full can be exported.")
        else:
            self.ask(ExportTrial(trial.number))
