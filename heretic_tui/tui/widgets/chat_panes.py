"""A conversation in two panes side by side, one of them hidden unless two models answer."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Static

from heretic_tui.tui.conversation import Answer, Turn, name_of
from heretic_tui.tui.glyphs import safe_lines
from heretic_tui.tui.run_view import RunView
from heretic_tui.words import duration


class _AnswerText(Static):
    """One answer; painted again only when it has changed."""

    def __init__(self, answer: Answer, view: RunView) -> None:
        super().__init__(_answer_text(answer, view), markup=False, classes="chat-answer")
        self._painted = _looks(answer)

    def paint(self, answer: Answer, view: RunView) -> None:
        if self._painted != _looks(answer):
            self._painted = _looks(answer)
            self.update(_answer_text(answer, view))


class ChatPanes(Horizontal):
    """Each turn as what the user said, and below it what each model answered."""

    def __init__(self) -> None:
        super().__init__(id="chat-panes")
        self._answers: dict[int, _AnswerText] = {}

    def compose(self) -> ComposeResult:
        for side in (0, 1):
            yield VerticalScroll(id=f"chat-{side}", can_focus=False)

    def on_mount(self) -> None:
        for pane in self.query(VerticalScroll):
            pane.anchor()

    def show(self, view: RunView) -> None:
        """Show the whole conversation again."""
        self._answers.clear()
        for pane in self.query(VerticalScroll):
            pane.remove_children()
        for turn in view.conversations.turns:
            self.add_turn(turn, view)

    def show_both(self, both: bool) -> None:
        self.query_one("#chat-1").display = both

    def add_turn(self, turn: Turn, view: RunView) -> None:
        for side, answer in enumerate(turn.answers):
            pane = self.query_one(f"#chat-{side}")
            if change := view.conversations.change(turn, side):
                pane.mount(Static(f"-- {change} --", markup=False, classes="chat-divider"))
            pane.mount(Static(safe_lines(turn.user), markup=False, classes="chat-user"))
            self._answers[answer.id] = _AnswerText(answer, view)
            pane.mount(self._answers[answer.id])

    def paint_answers(self, view: RunView) -> None:
        """The answers of the last turn as they are now."""
        for turn in view.conversations.turns[-1:]:
            for answer in turn.answers:
                if answer.id in self._answers:
                    self._answers[answer.id].paint(answer, view)

    def scroll_both(self, lines: int) -> None:
        for pane in self.query(VerticalScroll):
            pane.scroll_relative(y=lines, animate=False)


def _looks(answer: Answer) -> tuple[int, str | None, bool]:
    """What the picture of an answer depends on; its text only grows."""
    return len(answer.text), answer.reason, answer.started


def _answer_text(answer: Answer, view: RunView) -> Text:
    text = Text()
    text.append(f"{name_of(answer.trial)}\n", "bold")
    text.append_text(safe_lines(answer.text))
    if answer.reason == "failed":
        text.append(f"\n[failed: {safe_lines(answer.error or '').plain}]", "bold red")
    elif answer.reason is not None:
        rate = f", {answer.tokens / answer.seconds:.0f} a second" if answer.seconds else ""
        figures = f" in {duration(answer.seconds)}{rate}" if view.timed else ""
        words = {"end": "", "length": "; cut at the length limit", "stopped": "; stopped"}[answer.reason]
        text.append(f"\n{answer.tokens} tokens{figures}{words}", "dim")
    elif not answer.started:
        text.append(view.glyphs.ellipsis, "dim")
    return text
