"""What all five screens share: the run bar above, the keys below, and when they paint."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from textual.app import ComposeResult
from textual.message import Message
from textual.screen import Screen

from heretic_tui.tui.widgets.key_bar import KeyBar
from heretic_tui.tui.widgets.run_bar import RunBar

if TYPE_CHECKING:
    from heretic_tui.tui.app import HereticApp

# Every kind of event: paint everything.
ALL: frozenset[str] = frozenset({"*"})


class RunScreen:
    """A screen that knows which application it is of, and that outlives what one of its handlers fails of."""

    async def _on_message(self, message: Message) -> None:
        pump: Any = super()
        try:
            await pump._on_message(message)
        except Exception as error:
            self.heretic.fell(error)

    def works(self, action: str) -> bool:
        """Whether a key of the screen would do more now than say why it cannot; others are left out of the line of
        keys. `enter` is asked for by that name."""
        return True

    def careful(self, work: Callable[[], None]) -> Callable[[], None]:
        """For what a timer or a repaint calls: Textual takes the application down where such a call fails."""

        def call() -> None:
            try:
                work()
            except Exception as error:
                self.heretic.fell(error)

        return call

    @property
    def heretic(self) -> HereticApp:
        return cast("HereticApp", cast("Screen[None]", self).app)

    @property
    def is_ready(self) -> bool:
        """Whether the screen has its widgets: neither before it is mounted, nor while it is taken down. To be asked by
        whatever a timer calls."""
        node: Any = self
        return node.is_mounted and node.app.is_running and node.is_attached and not node._pruning


class ModeScreen(RunScreen, Screen[None]):
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
        app = self.heretic
        self.query_one(KeyBar).show()
        self.query_one(RunBar).show(app.state, app.glyphs, app.alive, app.note, elapsed=not app.frozen)

    def on_screen_resume(self) -> None:
        self.app.call_later(self.heretic.fit)
        self.call_after_refresh(self.careful(self._paint_all))

    def on_resize(self) -> None:
        self.call_after_refresh(self.careful(self._paint_all))

    def _paint_all(self) -> None:
        if self.is_ready and self.app.screen is self:
            self.paint_bar()
            self.paint(ALL)


def touched(kinds: frozenset[str], *wanted: str) -> bool:
    """Whether any of the wanted types of events came, or everything is to be painted."""
    return kinds is ALL or "*" in kinds or not kinds.isdisjoint(wanted)
