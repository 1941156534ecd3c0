"""How the application looks and which keys it takes, as the user has set it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

from textual.binding import Binding
from textual.dom import DOMNode
from textual.filter import LineFilter
from textual.screen import Screen

from heretic_tui.errors import HereticError
from heretic_tui.settings.interface import Interface, interface_file, keep_theme
from heretic_tui.tui.actions import unknown_action
from heretic_tui.tui.enduring_app import EnduringApp
from heretic_tui.tui.glyphs import ASCII, UNICODE, AsciiFrames
from heretic_tui.tui.themes import ANSI, DARK, THEMES, with_meanings


class ThemedApp(EnduringApp):
    """Themes, glyphs and the keymap.

    Args:
        interface: theme, keys and the like.

    Attributes:
        glyphs: what is drawn with.
    """

    def __init__(self, interface: Interface, *arguments: Any, **options: Any) -> None:
        # Textual asks for the variables of the stylesheet while it is initialised.
        self.interface = interface
        self.glyphs = ASCII if interface.ascii else UNICODE
        self._frames = AsciiFrames()
        self._clashes_told = False
        super().__init__(*arguments, **options)
        for theme in THEMES:
            self.register_theme(theme)
        self.set_keymap(interface.keys)
        # Before any stylesheet is read: with another theme each would be read again.
        self.theme = self._first_theme()
        self._theme_kept = self.theme
        self._styled_with = self.get_css_variables()
        self.stylesheet.set_variables(self._styled_with)
        # Screens whose styles have the colours of `_styled_with`.
        self._styled: WeakSet[Screen[Any]] = WeakSet()

    @property
    def ascii_only(self) -> bool:
        """Whether nothing but ASCII characters may be drawn."""
        return self.glyphs is ASCII

    def get_css_variables(self) -> dict[str, str]:
        self.theme_variables = with_meanings(super().get_css_variables())
        return self.theme_variables

    def refresh_css(self, animate: bool = True) -> None:
        """Style the screens in view with the colours of the theme. Textual asks for it at the first two looks at every
        screen too, and reads all stylesheets again each time: only what has other colours needs it. A screen that is
        not mounted yet takes its styles from the stylesheets as they are."""
        screens, variables = self.screen_stack, self.get_css_variables()
        same = variables == self._styled_with
        if not same or any(screen.is_mounted and screen not in self._styled for screen in screens):
            super().refresh_css(animate)
        if not same:
            self._styled_with = variables
            self._styled.clear()
        self._styled.update(screens)

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = super().get_line_filters()
        return [*filters, self._frames] if self.ascii_only else filters

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, self._theme_chosen)
        if (wanted := self.interface.theme) and wanted not in self.available_themes:
            self.say(f"There is no theme {wanted!r}: {', '.join(sorted(self.available_themes))}.", "warning")
        if problem := unknown_action(self.interface.keys):
            self.say(f"{interface_file()}: {problem}.", "warning")

    def _first_theme(self) -> str:
        """The theme that was set, else one that the terminal can show."""
        if self.interface.theme in self.available_themes:
            return self.interface.theme
        return ANSI if self.console.color_system == "standard" else DARK

    def _theme_chosen(self, theme: object) -> None:
        """Another theme: kept for the next time."""
        if self.theme == self._theme_kept:
            return
        self._theme_kept = self.theme
        self.restyled()
        try:
            keep_theme(self.theme)
        except HereticError as error:
            self.say(f"The theme is not kept: {error}", "warning")

    def restyled(self) -> None:
        """Called when the colours are others: texts that hold colours are to be made again."""

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        if not self._clashes_told:
            self._clashes_told = True
            names = ", ".join(sorted(str(binding.id) for binding in clashed_bindings))
            self.say(f"In the keymap another action has the same key as {names}.", "warning")
