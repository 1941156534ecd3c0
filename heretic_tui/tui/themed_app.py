"""How the application looks and which keys it takes, as the user has set it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.binding import Binding
from textual.dom import DOMNode
from textual.filter import LineFilter

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
        self._theme_kept = ""
        super().__init__(*arguments, **options)
        for theme in THEMES:
            self.register_theme(theme)
        self.set_keymap(interface.keys)

    @property
    def ascii_only(self) -> bool:
        """Whether nothing but ASCII characters may be drawn."""
        return self.glyphs is ASCII

    def get_css_variables(self) -> dict[str, str]:
        self.theme_variables = with_meanings(super().get_css_variables())
        return self.theme_variables

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = super().get_line_filters()
        return [*filters, self._frames] if self.ascii_only else filters

    def on_mount(self) -> None:
        self._choose_theme()
        if problem := unknown_action(self.interface.keys):
            self.say(f"{interface_file()}: {problem}.", "warning")

    def _choose_theme(self) -> None:
        """The theme that was set, else one that the terminal can show."""
        wanted = self.interface.theme
        self.theme = ANSI if self.console.color_system == "standard" else DARK
        if wanted in self.available_themes:
            self.theme = wanted
        elif wanted:
            self.say(f"There is no theme {wanted!r}: {', '.join(sorted(self.available_themes))}.", "warning")
        self._theme_kept = self.theme
        self.theme_changed_signal.subscribe(self, self._theme_chosen)

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
