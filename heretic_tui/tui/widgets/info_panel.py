"""What is known of the thing under a cursor: some of it at once, the rest when a thread has found it out."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.text import Text

from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.text_panel import TextPanel

# Seconds until the user has stopped typing, or walking through a list; before that nothing is looked for.
PAUSE = 0.2


class InfoPanel(TextPanel):
    """A panel of text, the last of which is shown."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        # What a thread was asked for that has found something is shown while this is still what the panel shows.
        self._wanted: Text | None = None

    def show(self, text: Text) -> None:
        self._wanted = text
        super().show(text)

    def show_and_find(self, text: Text, find: Callable[[], Text]) -> None:
        """Show a text, and then what `find` makes, called on a thread, unless something else was shown since."""
        self.show(text)

        def run() -> None:
            time.sleep(PAUSE)
            if self._wanted is text:
                self.app.call_from_thread(found, find())

        def found(result: Text) -> None:
            if self._wanted is text and self.is_attached:
                self.show(result)

        on_thread(self, run, "info", exclusive=False)
