"""What all screens share: the run that they read, how they ask the application for something, and when they paint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from textual.app import ComposeResult
from textual.message import Message
from textual.screen import ModalScreen, Screen, ScreenResultType

from heretic_tui.tui.messages import HandlerFailed, Say, ScreenShown, Severity
from heretic_tui.tui.run_view import EVERYTHING, RunView
from heretic_tui.tui.widgets.key_bar import KeyBar
from heretic_tui.tui.widgets.run_bar import RunBar

# For `paint`: everything may have changed.
ALL: frozenset[str] = frozenset({EVERYTHING})


class ShowsRun(Protocol):
    """What a screen reads of the application; all else it asks for by messages."""

    @property
    def view(self) -> RunView: ...


class RunScreen(Screen[ScreenResultType]):
    """A screen that reads the run in view, and that goes on when one of its handlers fails."""

    async def _on_message(self, message: Message) -> None:
        try:
            await super()._on_message(message)
        except Exception as error:  # noqa: BLE001 - the application logs it
            self.ask(HandlerFailed(error))

    @property
    def view(self) -> RunView:
        return cast(ShowsRun, self.app).view

    def ask(self, message: Message) -> None:
        """Ask the application for something."""
        self.app.post_message(message)

    def say(self, text: str, severity: Severity = "information") -> None:
        self.ask(Say(text, severity))

    def works(self, action: str) -> bool:
        """Whether a key of the screen would do more now than say why it cannot; others are left out of the line of
        keys. `enter` is asked for by that name."""
        return True

    def ticked(self) -> None:
        """Called at each tick while the screen is in view."""

    def careful(self, work: Callable[[], None]) -> Callable[[], None]:
        """For what a timer or a repaint calls: Textual takes the application down where such a call fails."""

        def call() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the application logs it
                self.ask(HandlerFailed(error))

        return call

    @property
    def is_ready(self) -> bool:
        """Whether the screen has its widgets: neither before it is mounted, nor while it is taken down. To be asked by
        whatever a timer calls."""
        return self.is_mounted and self.app.is_running and self.is_attached and not self._pruning


class Dialog(ModalScreen[ScreenResultType], RunScreen[ScreenResultType]):
    """A screen that lies over another and takes all keys."""


class ModeScreen(RunScreen[None]):
    """A screen of its own key. `paint` is called at the tick with the types of the events that came since the last
    time, and with ALL when the screen comes into view."""

    HELP_TEXT = ""
    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (140, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (34, "-tall")]

    def compose(self) -> ComposeResult:
        yield RunBar()
        yield from self.body()
        yield KeyBar()

    def body(self) -> ComposeResult:
        raise NotImplementedError

    def paint(self, kinds: frozenset[str]) -> None:
        raise NotImplementedError

    def paint_bar(self) -> None:
        view = self.view
        self.query_one(KeyBar).show()
        self.query_one(RunBar).show(view.state, view.glyphs, view.alive, view.note, elapsed=view.timed)

    def paint_all(self) -> None:
        """Paint the screen again if it is shown."""
        if self.is_ready and self.app.screen is self:
            self.paint_bar()
            self.paint(ALL)

    def on_screen_resume(self) -> None:
        self.ask(ScreenShown())
        self.call_after_refresh(self.careful(self.paint_all))

    def on_resize(self) -> None:
        self.call_after_refresh(self.careful(self.paint_all))


def touched(kinds: frozenset[str], *wanted: str) -> bool:
    """Whether any of the wanted types of events came, or everything is to be painted."""
    return EVERYTHING in kinds or not kinds.isdisjoint(wanted)
