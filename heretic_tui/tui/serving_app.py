"""What every application of this program does for its screens: it copies, says, helps, and is left by the same keys."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from textual import on
from textual.app import SystemCommand
from textual.binding import Binding
from textual.screen import Screen

from heretic_tui.settings.interface import Interface
from heretic_tui.tui import clipboard, messages
from heretic_tui.tui.help import help_text, palette_commands
from heretic_tui.tui.run_view import RunView
from heretic_tui.tui.screens.dialogs import TextDialog
from heretic_tui.tui.themed_app import ThemedApp

# The keys that every application has, behind its own.
LAST_KEYS = (
    Binding("question_mark", "help", "Help", key_display="?"),
    # Before a line that is typed in.
    Binding("f1", "help", "Help", id="app.help-anywhere", key_display="F1", priority=True),
    Binding("q", "quit", "Quit"),
    Binding("ctrl+q", "quit", "Quit", id="app.quit-anywhere"),
    Binding("ctrl+c", "quit", "Quit", id="app.interrupt", show=False, priority=True),
)


def _stylesheet() -> Path:
    """heretic.tcss: beside this package in an installation, at the root of the repository in a checkout."""
    inside = Path(__file__).parent / "heretic.tcss"
    return inside if inside.is_file() else Path(__file__).parents[2] / "heretic.tcss"


class ServingApp(ThemedApp):
    """Does what screens ask of any application, and shows help for the one in view."""

    TITLE = "heretic-tui"
    ENABLE_COMMAND_PALETTE = True

    def __init__(self, interface: Interface, **options: Any) -> None:
        super().__init__(interface, css_path=_stylesheet(), **options)

    @property
    def view(self) -> RunView:
        """What the screens show."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "help":
                return not isinstance(self.screen, TextDialog)
            case "command_palette":
                return not self.screen.is_modal
        return super().check_action(action, parameters)

    def action_help(self) -> None:
        self.push_screen(TextDialog("Help", help_text(self, self.screen)))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        yield from palette_commands(self, screen)

    @on(messages.CopyText)
    def _copy_text(self, message: messages.CopyText) -> None:
        self.copy_to_clipboard(message.text)
        ways = ["clipboard", *clipboard.further_ways(message.text, self.view.folder)]
        self.say(f"{message.what} copied: {', '.join(ways)}")

    @on(messages.Say)
    def _say(self, message: messages.Say) -> None:
        self.say(message.text, message.severity)

    @on(messages.HandlerFailed)
    def _handler_failed(self, message: messages.HandlerFailed) -> None:
        self.handler_failed(message.error)
