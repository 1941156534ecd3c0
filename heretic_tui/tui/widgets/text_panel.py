"""Text of several lines that changes often: wrapped once, painted where it differs, scrolled with vim keys.

A Static in a scroll container lays the whole screen out again for every change (10 to 18 ms)."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.text import Text
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from heretic_tui.tui.glyphs import made_plain
from heretic_tui.tui.keys import scroll_bindings
from heretic_tui.tui.widgets.steady_scroll import SteadyScroll


class TextPanel(SteadyScroll, can_focus=True):
    """Shows one text; `show` replaces it."""

    class Resized(Message):
        """The panel has another size: whoever made the text for the old one makes it anew."""

    BINDINGS = [*scroll_bindings(1, 10)]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.text = Text("")
        self._lines: list[Text] = []

    def show(self, text: Text) -> None:
        self.text = made_plain(text)
        self._wrap()

    def show_lines(self, lines: Sequence[Text]) -> None:
        """Show lines that are wrapped to the panel's width already."""
        self.text = Text("\n").join(lines)
        self._take([made_plain(line) for line in lines])

    def on_resize(self) -> None:
        self._wrap()
        self.post_message(self.Resized())

    def _wrap(self) -> None:
        width = self.scrollable_content_region.width
        if width <= 0:
            return
        lines = list(self.text.wrap(self.app.console, width))
        if not self.show_vertical_scrollbar and len(lines) > self.size.height:
            # The scroll bar that comes now takes its cells from the end of the lines.
            lines = list(self.text.wrap(self.app.console, max(1, width - self.styles.scrollbar_size_vertical)))
        self._take(lines)

    def _take(self, lines: list[Text]) -> None:
        before, self._lines = self._lines, lines
        self.resize_to(len(self._lines))
        top = self.scroll_offset.y
        for y in range(self.size.height):
            old = before[top + y] if top + y < len(before) else None
            new = self._lines[top + y] if top + y < len(self._lines) else None
            if old != new or (old and new and old.spans != new.spans):
                self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        width, style = self.scrollable_content_region.width, self.rich_style
        index = y + self.scroll_offset.y
        if index >= len(self._lines):
            return Strip.blank(width, style)
        segments = [
            Segment(segment.text, style + segment.style if segment.style else style)
            for segment in self._lines[index].render(self.app.console, end="")
        ]
        return Strip(segments).adjust_cell_length(width, style)

    def action_scroll(self, lines: int) -> None:
        self.scroll_relative(y=lines, animate=False)
