"""Small dialogs: confirm, ask for a line, choose, show text. Escape is always the harmless answer, and no key that is
pressed in one reaches the screen below it."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Input, Static

from heretic_tui.tui.glyphs import safe_lines
from heretic_tui.tui.keys import scroll_bindings, typed_number
from heretic_tui.tui.questions import Question
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.tui.widgets.quiet_input import QuietInput


class ChoiceDialog(Dialog[str | None]):
    """A question; each answer has a key of its own. Returns the answer, None where the dialog was left."""

    SCOPE = "dialog"
    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel", show=False)]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question

    def body(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(self.question.title, style="bold"), markup=False, classes="dialog-title")
            with VerticalScroll(classes="dialog-text", can_focus=False):
                yield Static(safe_lines(self.question.text), markup=False)
            table = LineTable([Column("answer", "", 0)], id="choices", enter="choose", header=False)
            table.set_rows([Row(answer, (f"[{key}] {words}",)) for key, answer, words in self.question.answers])
            table.styles.height = len(self.question.answers)
            yield table

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()

    def on_key(self, event: events.Key) -> None:
        for key, answer, _ in self.question.answers:
            if event.character == key:
                # It would go on to the application, which looks for it on the screen that is in view by then.
                event.stop()
                self.answer(answer)
                return

    def on_line_table_selected(self, message: LineTable.Selected) -> None:
        self.answer(str(message.key))

    def answer(self, answer: str) -> None:
        """Close with an answer."""
        # A second click may come before the dialog is closed.
        if self.is_current:
            self.dismiss(answer)


class LineDialog(Dialog[str | None]):
    """A line of text, checked as it is typed."""

    SCOPE = "dialog"
    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel", show=False)]

    def __init__(
        self, title: str, value: str = "", hint: str = "", check: Callable[[str], str | None] = lambda text: None
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint, self._check = title, value, hint, check

    def body(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(self._title, style="bold"), markup=False, classes="dialog-title")
            yield QuietInput(self._value, id="answer")
            yield Static(safe_lines(self._hint), markup=False, id="problem")

    def on_input_changed(self, event: Input.Changed) -> None:
        problem = self._check(event.value)
        style = f"bold {self.looks.bad}" if problem else ""
        self.query_one("#problem", Static).update(safe_lines(problem or self._hint, style))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if self._check(event.value) is None and self.is_current:
            self.dismiss(event.value)


def more_trials_dialog(finished: int, planned: int) -> LineDialog:
    """Asks for the number of trials of a run, in all.

    Args:
        finished: trials that are done: as many it has at least.
        planned: trials that it was to have so far.
    """
    least, now = max(1, finished), max(planned, finished)

    def check(text: str) -> str | None:
        number = typed_number(text)
        return None if number is not None and number >= least else f"a whole number, at least {least}"

    suggestion = str(now + 50 if finished >= planned else now)
    title = f"Total number of trials ({finished} done)"
    return LineDialog(title, suggestion, "the search runs until there are this many", check)


class TextDialog(Dialog[None]):
    """Text to read, such as help."""

    SCOPE = "dialog"
    BINDINGS = [
        Binding("escape,q,enter,question_mark,f1", "dismiss(None)", "Close", show=False),
        *scroll_bindings(1, 10),
    ]

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title, self.text = title, text

    def body(self) -> ComposeResult:
        with Vertical(classes="dialog large"):
            yield Static(Text(self._title, style="bold"), markup=False, classes="dialog-title")
            with VerticalScroll():
                yield Static(self.text, markup=False)

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
