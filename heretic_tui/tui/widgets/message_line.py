"""The line above the keys: what the user was told last, and when. It takes the place of toasts, which lie over what
one looks at."""

from __future__ import annotations

import time

from rich.text import Text
from textual.widgets import Static

from heretic_tui.tui.messages import Told
from heretic_tui.tui.themes import Looks, looks

# A long message takes as many lines as this, and no more.
_MOST_LINES = 3


class MessageLine(Static):
    """Painted when something is said; a layout only where it takes more or fewer lines than before."""

    def __init__(self) -> None:
        super().__init__("", markup=False, id="message-line")
        self._lines = 1
        # What is shown now, how wide, and in which colours.
        self._shown: tuple[Told | None, int, Looks] | None = None

    def show(self, told: Told | None, timed: bool = True) -> None:
        """
        Args:
            timed: false while nothing may move in a snapshot.
        """
        width, look = self.size.width, looks(self)
        if not width or self._shown == (told, width, look):
            return
        self._shown = told, width, look
        if told is None:
            self.update("", layout=self._lines != 1)
            self._lines = 1
            return
        text = Text(" ")
        if timed:
            text.append(time.strftime("%H:%M  ", time.localtime(told.time)), look.dim)
        style = {"error": f"bold {look.bad}", "warning": look.busy}.get(told.severity, look.ink)
        text.append(told.text, style)
        wrapped = text.wrap(self.app.console, width)
        lines = min(_MOST_LINES, len(wrapped))
        self.update(Text("\n").join(wrapped[:lines]), layout=lines != self._lines)
        self._lines = lines
