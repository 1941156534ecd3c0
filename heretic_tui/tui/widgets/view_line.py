"""The views of a screen in one line, the one that is shown in brackets; a click shows another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text
from textual import events
from textual.message import Message

from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.painted_line import PaintedLine

# Cells between a view and the next.
_APART = 2


class ViewLine(PaintedLine):
    """Painted by the screen."""

    @dataclass
    class Chosen(Message):
        """A click on a view."""

        view: str

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self._places: list[tuple[int, int, str]] = []

    def show(self, views: Sequence[tuple[str, str, str]], here: str, more: str, look: Looks) -> None:
        """Show the views, as (name, key, title), and behind them a few words where there is room for them. The keys are
        left out where they do not fit."""
        width = self.size.width
        keyed = sum(len(title) + len(key) + 1 + _APART for _, key, title in views) + 2 <= width
        text = Text(" ", no_wrap=True, overflow="crop")
        self._places = []
        for name, key, title in views:
            start = text.cell_len
            if name == here:
                text.append(f"[{title}]", f"bold {look.link}")
            else:
                if keyed and key:
                    text.append(f"{key} ", f"bold {look.ink}")
                text.append(title, look.dim)
            self._places.append((start, text.cell_len, name))
            text.append(" " * (_APART if keyed else 1))
        if text.cell_len + len(more) < width:
            text.append(" " * (width - 1 - text.cell_len - len(more)))
            text.append(more, look.dim)
        self.put(text)

    def on_click(self, event: events.Click) -> None:
        for start, end, name in self._places:
            if start <= event.x < end:
                self.post_message(self.Chosen(name))
