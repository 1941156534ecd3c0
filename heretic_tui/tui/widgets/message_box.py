"""The lines in which a message is written: enter sends them, and what is pasted keeps its lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from textual import _ansi_sequences, events
from textual.binding import Binding
from textual.keys import Keys
from textual.message import Message
from textual.widgets import TextArea

# Terminals without the kitty protocol send alt+enter as escape and return. Textual reads that as enter alone, which
# would send a message that is half written; ctrl+j is a new line here as well.
cast("dict[str, object]", _ansi_sequences.ANSI_SEQUENCES_KEYS).setdefault("\x1b\r", (Keys.ControlJ,))


class MessageBox(TextArea):
    """Textual's TextArea, with enter for sending and a caret that does not blink."""

    BINDINGS = [
        # Before the area takes it for a line's end.
        Binding("enter", "submit", "Send", priority=True),
        Binding("alt+enter,ctrl+j,shift+enter", "new_line", "New line", show=False, key_display="alt+enter"),
    ]

    @dataclass
    class Submitted(Message):
        """Enter was pressed."""

        box: MessageBox

    def __init__(self, placeholder: str, **options: Any) -> None:
        super().__init__(placeholder=placeholder, compact=True, highlight_cursor_line=False, **options)
        self.cursor_blink = False

    def action_submit(self) -> None:
        self.post_message(self.Submitted(self))

    def action_new_line(self) -> None:
        self._write("\n")

    def on_paste(self, event: events.Paste) -> None:
        # Terminals send a line's end as the enter key does.
        event.prevent_default()
        event.stop()
        self._write(event.text.replace("\r\n", "\n").replace("\r", "\n"))

    def set_text(self, text: str) -> None:
        """Other text, with the caret at its end."""
        self.text = text
        self.move_cursor(self.document.end)

    def _write(self, text: str) -> None:
        self.move_cursor(self.replace(text, *self.selection).end_location)
