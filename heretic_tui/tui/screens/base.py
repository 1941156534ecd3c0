"""What all screens share: the lines at the top and the bottom, panes, the run that they read, how they ask the
application for something, and when they paint."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, Protocol, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.screen import ModalScreen, Screen, ScreenResultType
from textual.widget import Widget

from heretic_tui.settings.interface import Interface
from heretic_tui.tui.keys import named
from heretic_tui.tui.messages import HandlerFailed, Say, ScreenShown, Severity, Told
from heretic_tui.tui.modes import Mode
from heretic_tui.tui.run_view import EVERYTHING, RunView
from heretic_tui.tui.themes import Looks, looks
from heretic_tui.tui.widgets.key_bar import KeyBar
from heretic_tui.tui.widgets.message_line import MessageLine
from heretic_tui.tui.widgets.now_line import NowLine
from heretic_tui.tui.widgets.top_line import TopLine

# For `paint`: everything may have changed.
ALL: frozenset[str] = frozenset({EVERYTHING})


class ShowsRun(Protocol):
    """What a screen reads of the application; all else it asks for by messages."""

    @property
    def view(self) -> RunView: ...

    @property
    def modes(self) -> list[Mode]: ...

    @property
    def told(self) -> Told | None: ...

    @property
    def current_mode(self) -> str: ...

    @property
    def interface(self) -> Interface: ...


class RunScreen(Screen[ScreenResultType]):
    """A screen that reads the run in view, and that goes on when one of its handlers fails.

    Attributes:
        SCOPE: the first part of the names of its actions in a keymap.
        HELP_TEXT: what it is for, and what no key says.
        IDLE: what the second line says while no run is open.
    """

    SCOPE: ClassVar[str] = ""
    HELP_TEXT: ClassVar[str] = ""
    IDLE: ClassVar[str] = "No run is open: 0 lists the runs, 1 sets one up."

    def __init_subclass__(cls, **options: Any) -> None:
        if cls.SCOPE and "BINDINGS" in cls.__dict__:
            cls.BINDINGS = named(cls.SCOPE, cls.__dict__["BINDINGS"])
        super().__init_subclass__(**options)

    async def _on_message(self, message: Message) -> None:
        if isinstance(message, events.Resize) and message.size != self.app.size:
            # The terminal has been resized again since, which comes next. Textual's layout tells a screen of its own
            # new size once more: of two sizes that wait at a time each would bring the other back, for ever.
            return
        try:
            await super()._on_message(message)
        except Exception as error:  # noqa: BLE001 - the application logs it
            self.ask(HandlerFailed(error))

    def compose(self) -> ComposeResult:
        yield TopLine()
        yield NowLine()
        yield from self.body()
        yield MessageLine()

    def body(self) -> ComposeResult:
        """The widgets between the lines at the top and at the bottom."""
        raise NotImplementedError

    @property
    def view(self) -> RunView:
        return cast(ShowsRun, self.app).view

    @property
    def help_text(self) -> str:
        """`HELP_TEXT`, in the words of the run's behaviour."""
        return self.view.state.behaviour.in_words(self.HELP_TEXT)

    def binding_words(self, binding: Binding) -> Binding:
        """A key of the screen with what it does, in the words of the run's behaviour."""
        behaviour = self.view.state.behaviour
        if behaviour.usual:
            return binding
        said = behaviour.in_words
        return replace(binding, description=said(binding.description), tooltip=said(binding.tooltip))

    @property
    def interface(self) -> Interface:
        """The settings of the interface."""
        return cast(ShowsRun, self.app).interface

    @property
    def looks(self) -> Looks:
        """The colours of the theme in use."""
        return looks(self)

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

    def paint_lines(self) -> None:
        """Paint the lines that all screens have."""
        shows, view = cast(ShowsRun, self.app), self.view
        # They are children of the screen: a search through all widgets, at each tick, would take longer than they do.
        for line in self.children:
            match line:
                case TopLine():
                    line.show(view, shows.modes, shows.current_mode)
                case NowLine():
                    line.show(view, self.IDLE)
                case MessageLine():
                    line.show(shows.told, view.timed)
                case KeyBar():
                    line.show()

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
    """A screen that lies over another and takes all keys. The lines at the top and the bottom stay alive. One with a
    list (heretic.tcss: listed) has its blank lines only where the terminal has room for them."""

    VERTICAL_BREAKPOINTS = [(0, "-low"), (20, "-high")]

    def on_mount(self) -> None:
        self.call_after_refresh(self.careful(self.paint_lines))

    def on_resize(self) -> None:
        self.call_after_refresh(self.careful(self.paint_lines))


class PanedScreen(RunScreen[ScreenResultType]):
    """A whole screen, made of frames. `paint` is called with ALL when it comes into view.

    Attributes:
        PANES: ids of its frames in the order in which `v` walks through them where there is room for one alone; which
            of them are shown on wider terminals says heretic.tcss, by the classes -narrow (below 100 columns), -normal,
            -wide (from 140) and -huge (from 180), -short (below 34 lines) and -tall. A container of frames has the
            class `column`: it is hidden along with them.
        painted: whether the screen has been painted since it came into view last. Keys wait for that (type_ahead.py):
            before it there are no lines that a cursor could go to.
    """

    PANES: ClassVar[tuple[str, ...]] = ()
    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (140, "-wide"), (180, "-huge")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (34, "-tall")]
    painted: bool = False
    BINDINGS = [Binding("v", "next_pane", "Next pane", id="screen.next-pane", tooltip="the next pane of this screen")]

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield KeyBar()

    def paint(self, kinds: frozenset[str]) -> None:
        raise NotImplementedError

    def paint_all(self) -> None:
        """Paint the screen again if it is shown."""
        if self.is_ready and self.app.screen is self:
            # Also where painting fails: no key is to wait for it then.
            self.painted = True
            self.paint_lines()
            self.paint(ALL)

    def on_mount(self) -> None:
        self.mark_pane(next(iter(self.PANES), ""))

    def on_screen_resume(self) -> None:
        self.painted = False
        self.ask(ScreenShown())
        self.call_after_refresh(self.careful(self.paint_all))

    def on_resize(self) -> None:
        self.call_after_refresh(self.careful(self.paint_all))

    @property
    def pane(self) -> str:
        """The id of the pane that is shown where there is room for one."""
        return next((name for name in self.PANES if self.query_one(f"#{name}").has_class("-shown")), "")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "next_pane":
            return len(self.PANES) > 1 and self.has_class("-narrow")
        return super().check_action(action, parameters)

    def action_next_pane(self) -> None:
        here = self.PANES.index(self.pane)
        self.show_pane(self.PANES[(here + 1) % len(self.PANES)])

    def show_pane(self, name: str) -> None:
        """Show a pane, and give it the focus."""
        self.mark_pane(name)
        inside = self.query_one(f"#{name}")
        for widget in _with_descendants(inside):
            if widget.focusable:
                widget.focus()
                break
        self.call_after_refresh(self.careful(self.paint_all))

    def mark_pane(self, name: str) -> None:
        """The pane that is in view where there is room for one; the focus stays where it is."""
        for column in self.query(".column"):
            column.set_class(bool(name) and bool(column.query(f"#{name}")), "-shown")
        for each in self.PANES:
            self.query_one(f"#{each}").set_class(each == name, "-shown")


class ModeScreen(PanedScreen[None]):
    """A screen of its own key. `paint` is called at the tick with the types of the events that came since the last
    time, and with ALL when the screen comes into view."""


class SubScreen(PanedScreen[None]):
    """A screen that is opened from another one and goes back to it."""

    BINDINGS = [Binding("escape,q", "dismiss(None)", "Back", key_display="esc", id="screen.back")]


def _with_descendants(widget: Widget) -> Iterator[Widget]:
    yield widget
    for child in widget.children:
        yield from _with_descendants(child)


def touched(kinds: frozenset[str], *wanted: str) -> bool:
    """Whether any of the wanted types of events came, or everything is to be painted."""
    return EVERYTHING in kinds or not kinds.isdisjoint(wanted)
