"""A line of text that is painted at the tick, and only when it differs from what is shown."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static


class PaintedLine(Static):
    """One line, as wide as the screen."""

    def __init__(self, id: str) -> None:
        super().__init__("", markup=False, id=id)
        self._shown: Text | None = None

    def put(self, text: Text) -> None:
        """Show a text of one line."""
        if self._shown is None or text != self._shown or text.spans != self._shown.spans:
            self._shown = text
            self.update(text, layout=False)


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
