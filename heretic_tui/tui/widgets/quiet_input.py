"""A line to type in whose caret does not blink: two repaints a second are much on a slow link."""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.widgets import Input

from heretic_tui.words import plain


class QuietInput(Input):
    """Textual's Input, standing still until a key is pressed, and drawing no control character."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_blink = False

    @property
    def _value(self) -> Text:
        text = super()._value
        if text.plain.isprintable():
            return text
        # One for one, so that the cursor is where it seems to be.
        return Text("".join(c if plain(c) == c else "\N{REPLACEMENT CHARACTER}" for c in text.plain), end="")
