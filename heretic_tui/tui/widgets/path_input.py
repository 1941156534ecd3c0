"""A line for a path: tab completes what was typed, and goes on to the next widget where nothing completes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from textual.binding import Binding

from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.quiet_input import QuietInput


class PathInput(QuietInput):
    """A QuietInput that completes.

    Args:
        complete: what begins with a text that was typed, in order; called on a thread.
    """

    BINDINGS = [Binding("tab", "complete", "Complete", show=False, tooltip="complete the path, or go on")]

    def __init__(self, *arguments: Any, complete: Callable[[str], list[str]], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._complete = complete

    def action_complete(self) -> None:
        typed = self.value

        def look() -> None:
            found = self._complete(typed)
            self.app.call_from_thread(self._completed, typed, found)

        on_thread(self, look, "complete")

    def _completed(self, typed: str, found: list[str]) -> None:
        if self.value != typed or not self.has_focus:
            return
        # Character by character: a part of a name is completed too.
        common = os.path.commonprefix(found)  # noqa: RUF071
        if len(common) > len(typed):
            self.value = common
            self.cursor_position = len(common)
        else:
            self.screen.focus_next()
