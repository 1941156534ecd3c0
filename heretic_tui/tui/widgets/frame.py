"""A pane: a frame with a title, heavy where it has the focus, and its own keys in the lower border."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Region
from textual.widget import Widget

from heretic_tui.tui.keys import shown_keys
from heretic_tui.words import plain


class Frame(Vertical):
    """A titled frame around widgets.

    Args:
        keys: names of the screen's or the widget's actions whose keys stand in the lower border, as far as they fit;
            those that lead nowhere now are left out.
    """

    def __init__(
        self, title: str, *contents: Widget, keys: Sequence[str] = (), id: str | None = None, classes: str = ""
    ) -> None:
        super().__init__(*contents, id=id, classes=f"pane {classes}".strip())
        self._keys = tuple(keys)
        self.retitle(title)

    def compose(self) -> ComposeResult:
        yield from ()

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda screen: self.show_keys())
        self.call_after_refresh(self.show_keys)

    def on_resize(self) -> None:
        self.show_keys()

    def retitle(self, title: str | Text) -> None:
        """Another title; painted only where it differs. It is text, never markup."""
        content = Content.from_rich_text(title) if isinstance(title, Text) else Content(plain(title))
        # Contents of the same text are equal to Textual, whatever their colours.
        if self._border_title is None or not content.is_same(self._border_title):
            # Its own line alone: Textual paints the whole pane, with all that is in it, where a title changes.
            # Of that the cells of the title: it begins behind the corner, and has a space on either side.
            longest = max(content.cell_length, self._border_title.cell_length if self._border_title else 0)
            self._border_title = content
            self.refresh(Region(-1, -1, min(self.outer_size.width, longest + 4), 1))

    def set_keys(self, keys: Iterable[str]) -> None:
        """Other actions for the lower border."""
        self._keys = tuple(keys)
        self.show_keys()

    def show_keys(self) -> None:
        """The keys that lead somewhere now: asked for where what they act on has changed, and the focus has not."""
        if not self.is_attached or not self.size.width or self.app.screen is not self.screen:
            return
        found, room = shown_keys(self.screen, self._keys), self.outer_size.width - 6
        separator = " \N{MIDDLE DOT} " if not getattr(self.app, "ascii_only", False) else "  "
        words: list[str] = []
        for each in found:
            room -= len(each) + len(separator)
            if room < 0:
                break
            words.append(each)
        content = Content(separator.join(words))
        if content != self._border_subtitle:
            self._border_subtitle = content
            self.refresh(Region(-1, self.size.height, self.outer_size.width, 1))
