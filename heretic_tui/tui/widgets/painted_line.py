"""A line of text that is painted at the tick, and only when it differs from what is shown."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from rich.text import Text
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class PaintedLine(Widget):
    """One line, as wide as the screen. Of a change only the cells that differ are sent down the link.

    Attributes:
        text: what is shown.
    """

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.text = Text()

    def put(self, text: Text) -> None:
        """Show a text of one line."""
        before, self.text = self._cells(), text
        now, width = self._cells(), self.size.width
        differ = [place for place in range(width) if before.get(place) != now.get(place)]
        if differ:
            self.refresh(Region(differ[0], 0, differ[-1] - differ[0] + 1, 1))

    def _cells(self) -> dict[int, tuple[str, str]]:
        """By its cell, each character with its style."""
        cells: dict[int, tuple[str, str]] = {}
        place = 0
        for segment in self.text.render(self.app.console, end=""):
            for character in segment.text:
                cells[place] = character, str(segment.style)
                place += max(1, cell_len(character))
        return cells

    def render_line(self, y: int) -> Strip:
        style = self.rich_style
        segments = [
            Segment(segment.text, style + segment.style if segment.style else style)
            for segment in self.text.render(self.app.console, end="")
        ]
        return Strip(segments).adjust_cell_length(self.size.width, style)


def joined(parts: list[tuple[str, str]], width: int, apart: str = "  ") -> Text:
    """Pieces of (words, style) next to each other; those for which there is no room are left out.

    Args:
        width: cells that there are.
    """
    text = Text(no_wrap=True, overflow="crop")
    for words, style in parts:
        piece = Text(words, style)
        if not words or text.cell_len + len(apart) * bool(text) + piece.cell_len > width:
            continue
        if text:
            text.append(apart)
        text.append_text(piece)
    return text
