"""Small dialogs: confirm, ask for a line, choose, show text. Escape is always the harmless answer, and no key that is
pressed in one reaches the screen beneath."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from heretic_tui.tui.glyphs import safe_lines
from heretic_tui.tui.keys import scroll_bindings
from heretic_tui.tui.screens.base import RunScreen
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.tui.widgets.quiet_input import QuietInput


class ChoiceDialog(RunScreen, ModalScreen[str | None]):
    """One of several answers; each has a key of its own. The first is where the cursor stands.

    Args:
        answers: (key, answer that is returned, words).
    """

    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel", show=False)]

    def __init__(self, title: str, text: str, answers: Sequence[tuple[str, str, str]]) -> None:
        super().__init__()
        self._title, self._text, self._answers = title, text, answers

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(self._title, style="bold"), markup=False, classes="dialog-title")
            with VerticalScroll(classes="dialog-text", can_focus=False):
                yield Static(safe_lines(self._text), markup=False)
            table = LineTable([Column("answer", "", 0)], id="choices", enter="choose", header=False)
            table.set_rows([Row(answer, (f"[{key}] {words}",)) for key, answer, words in self._answers])
            table.styles.height = len(self._answers)
            yield table

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()

    def on_key(self, event: events.Key) -> None:
        for key, answer, _ in self._answers:
            if event.character == key:
                # It would go on to the application, which looks for it on the screen that is in view by then.
                event.stop()
                self._answer(answer)
                return

    def on_line_table_selected(self, message: LineTable.Selected) -> None:
        self._answer(str(message.key))

    def _answer(self, answer: str) -> None:
        # A second click may come before the dialog has gone.
        if self.is_current:
            self.dismiss(answer)


class LineDialog(RunScreen, ModalScreen[str | None]):
    """A line of text, checked as it is typed."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel", show=False)]

    def __init__(
        self, title: str, value: str = "", hint: str = "", check: Callable[[str], str | None] = lambda text: None
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint, self._check = title, value, hint, check

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog small"):
            yield Static(Text(self._title, style="bold"), markup=False, classes="dialog-title")
            yield QuietInput(self._value, id="answer")
            yield Static(safe_lines(self._hint), markup=False, id="problem")

    def on_input_changed(self, event: Input.Changed) -> None:
        problem = self._check(event.value)
        self.query_one("#problem", Static).update(safe_lines(problem or self._hint, "bold red" if problem else ""))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if self._check(event.value) is None and self.is_current:
            self.dismiss(event.value)


class TextDialog(RunScreen, ModalScreen[None]):
    """Text to read, such as help."""

    BINDINGS = [
        Binding("escape,q,enter,question_mark,f1", "dismiss(None)", "Close", show=False),
        *scroll_bindings(1, 10),
    ]

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog large"):
            yield Static(Text(self._title, style="bold"), markup=False, classes="dialog-title")
            with VerticalScroll():
                yield Static(self._text, markup=False)

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


class TooSmall(RunScreen, ModalScreen[None]):
    """Stands while the terminal is smaller than 60x16."""

    BINDINGS = [Binding("q", "app.quit", "Quit", show=False)]

    def on_screen_resume(self) -> None:
        # The terminal may have grown while another mode was in view.
        self.app.call_later(self.heretic.fit)

    def compose(self) -> ComposeResult:
        yield Static("This terminal is too small.\n\n60 columns by 16 lines are needed.", markup=False)
