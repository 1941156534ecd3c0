"""An application that goes on when something of its screens fails: a run may be at work in its process. What the user
was told last stands in the line of messages."""

from __future__ import annotations

import logging
import time
from typing import Any

from textual import events
from textual.message import Message

from heretic_tui.errors import one_line
from heretic_tui.tui.glyphs import safe_lines
from heretic_tui.tui.messages import Severity, Told
from heretic_tui.tui.screens.base import RunScreen
from heretic_tui.tui.type_ahead import TypeAhead

log = logging.getLogger(__name__)


class EnduringApp(TypeAhead):
    """Tells what failed, and goes on.

    Args:
        strict: whether the failure of a handler ends the application; for tests.

    Attributes:
        told: what the user was told last.
    """

    def __init__(self, *arguments: Any, strict: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.told: Told | None = None
        self._strict = strict
        self._last_failure = ""
        # The failure that ends the application: without its widgets no screen can be shown.
        self._fatal: Exception | None = None

    def say(self, text: str, severity: Severity = "information") -> None:
        """Tell the user something in the line of messages."""
        self.told = Told(safe_lines(text).plain, severity, time.time())
        screen = self.screen if self.is_running and self.screen_stack else None
        if isinstance(screen, RunScreen) and screen.is_ready:
            screen.paint_lines()

    async def _on_message(self, message: Message) -> None:
        """A handler that fails must not end the screen."""
        try:
            await super()._on_message(message)
        except Exception as error:
            if isinstance(message, events.Compose | events.Mount):
                self._fatal = error
                raise
            self.handler_failed(error)

    def _handle_exception(self, error: Exception) -> None:
        """What fails in a timer, a callback or a widget must not end the screen either."""
        if self._strict or error is self._fatal or not self.is_running:
            super()._handle_exception(error)
        else:
            self.handler_failed(error)

    def handler_failed(self, error: Exception) -> None:
        """Something of the screen failed: said once, and in the log with its place in the code."""
        if self._strict:
            raise error
        said = one_line(error)
        if said != self._last_failure:
            self._last_failure = said
            log.error("the screen failed", exc_info=error)
            self.say(f"This did not work ({said}). The run goes on; the log has more: 6, then f.", "error")
