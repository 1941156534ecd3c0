"""A conversation in up to three columns, turn beside turn: a turn begins in the same line of every column, and the
columns scroll together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message

from heretic_tui.tui.conversation import MOST_COLUMNS, Answer, Turn, Who
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.text_panel import TextPanel

# Lines that a step of the wheel scrolls.
_WHEEL = 3
# A turn in the column of a model.
TurnText = Callable[[Turn, Who], Text]


class ChatColumn(TextPanel):
    """The text of one column. It does not scroll by itself: all columns do together."""

    @dataclass
    class Scroll(Message):
        """A person scrolls by so many lines."""

        lines: int

    def action_scroll(self, lines: int) -> None:
        self.post_message(self.Scroll(lines))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._by_wheel(event, _WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._by_wheel(event, -_WHEEL)

    def _by_wheel(self, event: events.MouseEvent, lines: int) -> None:
        event.stop()
        event.prevent_default()
        self.post_message(self.Scroll(lines))


class ChatColumns(Horizontal):
    """Frames with ids chat-0 to chat-2; those without a model are hidden."""

    def __init__(self) -> None:
        super().__init__(id="chat-columns", classes="column")
        # Lines of each turn, by turn, model and width: those of turns that are over stay as they are.
        self._known: dict[tuple[int, Who, int], tuple[object, list[Text]]] = {}

    def compose(self) -> ComposeResult:
        for place in range(MOST_COLUMNS):
            yield Frame(
                "", ChatColumn(id=f"chat-text-{place}"), id=f"chat-{place}", keys=("copy_answer", "activate", "swap")
            )

    def show(
        self, turns: Sequence[Turn], columns: Sequence[Who], titles: Sequence[Text], text: TurnText, empty: Text
    ) -> None:
        """Show the turns in which any of the columns' models was asked.

        Args:
            text: makes a turn's text in a column; it is asked again when an answer has changed.
            empty: what the first column says where there is no turn.
        """
        self._arrange(columns, titles)
        # On a narrow terminal one column is in view; the others have no width.
        shown = [
            (who, panel)
            for who, panel in (
                (who, self.query_one(f"#chat-text-{place}", ChatColumn)) for place, who in enumerate(columns)
            )
            if panel.scrollable_content_region.width > 0
        ]
        at_end = all(panel.scroll_offset.y >= panel.max_scroll_y for _, panel in shown)
        lines: list[list[Text]] = [[] for _ in shown]
        for turn in turns:
            if not any(turn.of(who) for who in columns):
                continue
            cells = [self._lines(turn, who, panel.scrollable_content_region.width, text) for who, panel in shown]
            height = max(map(len, cells), default=0) + 1
            for column, cell in zip(lines, cells, strict=True):
                column += [*cell, *[Text("")] * (height - len(cell))]
        for (_, panel), column in zip(shown, lines, strict=True):
            panel.show_lines(column)
        if shown and not lines[0]:
            shown[0][1].show(empty)
        if at_end:
            self.to_end()

    def to_end(self) -> None:
        for panel in self.query(ChatColumn):
            panel.scroll_end(animate=False, immediate=True)

    def scroll_all(self, lines: int) -> None:
        for panel in self.query(ChatColumn):
            panel.scroll_relative(y=lines, animate=False)

    def on_chat_column_scroll(self, message: ChatColumn.Scroll) -> None:
        self.scroll_all(message.lines)

    def _arrange(self, columns: Sequence[Who], titles: Sequence[Text]) -> None:
        for place in range(MOST_COLUMNS):
            frame = self.query_one(f"#chat-{place}", Frame)
            frame.set_class(place >= len(columns), "-unused")
            if place < len(columns):
                frame.retitle(titles[place])
                frame.set_class(columns[place].trial is None, "-original")

    def _lines(self, turn: Turn, who: Who, width: int, text: TurnText) -> list[Text]:
        answer, key = turn.of(who), (id(turn), who, width)
        looks = _looks(answer, turn)
        known = self._known.get(key)
        if known is None or known[0] != looks:
            if len(self._known) > 3000:
                self._known.clear()
            wrapped = list(text(turn, who).wrap(self.app.console, max(1, width)))
            known = self._known[key] = looks, wrapped
        return known[1]

    def forget(self) -> None:
        """Make all texts anew: the theme has changed, or another conversation is shown."""
        self._known.clear()


def _looks(answer: Answer | None, turn: Turn) -> object:
    """What the picture of a turn depends on; a text only grows. An answer that waits shows for whom."""
    if answer is None:
        return None
    waiting = tuple(other.reason for other in turn.answers) if answer.reason is None else ()
    return id(answer), len(answer.text), answer.reason, answer.started, waiting
