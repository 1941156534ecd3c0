"""A line to type in whose caret does not blink: two repaints a second are much on a slow link."""

from __future__ import annotations

from typing import Any

from textual.widgets import Input


class QuietInput(Input):
    """Textual's Input, standing still until a key is pressed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_blink = False
