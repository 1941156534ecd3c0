"""Lines of a log: they follow the end unless one has scrolled up, are coloured by their level, and can be searched."""

from __future__ import annotations

import textwrap
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

# The rest of a long line is put below, indented.
_INDENT = 9
# More lines than that are dropped from the beginning, a few hundred at once.
_MOST, _DROPPED = 10_000, 500


@dataclass(frozen=True)
class Entry:
    """One line as it was told: when (empty where that is not shown), how bad it is, and what."""

    clock: str
    level: str
    text: str

    @property
    def whole(self) -> str:
        return f"{self.clock} {self.text}" if self.clock else self.text


@dataclass(frozen=True)
class _Line:
    """A line of the screen, and the place of its entry."""

    entry: int
    text: str
    level: str
    clock: int


class LogPanel(ScrollView, can_focus=True):
    """Shows entries; `add` puts more at the end.

    Attributes:
        entries: those that are shown, the oldest first.
        wanted: what is searched for; case does not matter.
        empty: what stands in place of lines while there are none.
    """

    COMPONENT_CLASSES = {
        "log-panel--error",
        "log-panel--warning",
        "log-panel--time",
        "log-panel--match",
        "log-panel--here",
    }

    class Moved(Message):
        """It came to another place, or to the end."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.entries: list[Entry] = []
        self.wanted = ""
        self.empty = ""
        self._lines: list[_Line] = []
        self._matches: list[int] = []
        self._here: int | None = None
        self._wrapped_at = 0
        # Whether the end was in view when it was last scrolled; another height of the panel changes nothing of it.
        self._followed = True

    # Content (scrolled by force: before the next layout Textual scrolls only where a scroll bar is shown already)

    @property
    def lines(self) -> list[str]:
        """The lines as they are broken for the screen."""
        return [line.text for line in self._lines]

    @property
    def follows(self) -> bool:
        """Whether the end is in view."""
        return self.scroll_offset.y >= len(self._lines) - self.size.height

    def clear(self) -> None:
        self.entries, self._lines, self._matches, self._here = [], [], [], None
        self._followed = True
        self.virtual_size = Size(0, 0)
        self.scroll_to(y=0, animate=False, immediate=True, force=True)
        self.refresh()

    def add(self, entries: Iterable[Entry]) -> None:
        """Put entries at the end; the view goes along where it was at the end."""
        new = list(entries)
        if not new:
            return
        at_end, first = self._followed, len(self.entries)
        self.entries += new
        if len(self.entries) > _MOST:
            self._drop(len(self.entries) - _MOST + _DROPPED)
        else:
            fresh = [line for place, entry in enumerate(new, first) for line in self._broken(place, entry)]
            self._note_matches(fresh, len(self._lines))
            self._lines += fresh
        self._sized(at_end)

    def _drop(self, count: int) -> None:
        """Drop the oldest entries; what is in view stays where it is."""
        gone = sum(line.entry < count for line in self._lines)
        self.entries = self.entries[count:]
        self._break_all()
        self.scroll_to(y=max(0, self.scroll_offset.y - gone), animate=False, immediate=True, force=True)

    def _sized(self, at_end: bool) -> None:
        self.virtual_size = Size(0, len(self._lines))
        if at_end:
            self.scroll_end(animate=False, immediate=True, force=True, x_axis=False)
        self.refresh()

    def on_resize(self) -> None:
        at_end = self._followed
        if self._wrapped_at == self._width:
            self._sized(at_end)
        else:
            top = self._lines[self.scroll_offset.y].entry if self.scroll_offset.y < len(self._lines) else 0
            self._break_all()
            self._sized(at_end)
            if not at_end:
                place = next((index for index, line in enumerate(self._lines) if line.entry == top), 0)
                self.scroll_to(y=place, animate=False, immediate=True, force=True)

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width - (not self.show_vertical_scrollbar)

    def _break_all(self) -> None:
        self._wrapped_at = self._width
        self._lines = [line for place, entry in enumerate(self.entries) for line in self._broken(place, entry)]
        self._matches, self._here = [], None
        self._note_matches(self._lines, 0)

    def _broken(self, place: int, entry: Entry) -> list[_Line]:
        width, whole = self._width, entry.whole
        clock = len(entry.clock)
        if width < 2 * _INDENT or cell_len(whole) <= width:
            return [_Line(place, whole, entry.level, clock)]
        if cell_len(whole) == len(whole):
            indent = " " * _INDENT
            pieces = textwrap.wrap(whole, width, subsequent_indent=indent, replace_whitespace=False, tabsize=4)
        else:
            # Slower, and it knows which letters are two cells wide.
            first, *rest = Text(whole).wrap(self.app.console, width - _INDENT)
            pieces = [first.plain, *(" " * _INDENT + piece.plain for piece in rest)]
        return [_Line(place, piece, entry.level, 0 if below else clock) for below, piece in enumerate(pieces)]

    # Search

    def search(self, wanted: str) -> None:
        """Mark what is searched for, and go to the match that is nearest above the end of the view."""
        self.wanted = wanted
        self._matches, self._here = [], None
        self._note_matches(self._lines, 0)
        if self._matches:
            last = self.scroll_offset.y + self.size.height - 1
            self._go_to(max(0, bisect_right(self._matches, last) - 1))
        self.refresh()
        self.post_message(self.Moved())

    def step(self, by: int) -> None:
        """Go to the next match, or to the one before; after the last comes the first."""
        if not self._matches:
            return
        if self._here is None:
            place = bisect_left(self._matches, self.scroll_offset.y) - (by < 0)
        else:
            place = self._matches.index(self._here) + by
        self._go_to(place % len(self._matches))
        self.refresh()
        self.post_message(self.Moved())

    @property
    def found(self) -> tuple[int, int]:
        """The number of the match that was gone to last, from 1 (0: none), and of all."""
        here = self._matches.index(self._here) + 1 if self._here is not None else 0
        return here, len(self._matches)

    def _note_matches(self, lines: Sequence[_Line], first: int) -> None:
        if self.wanted:
            wanted = self.wanted.casefold()
            self._matches += [at for at, line in enumerate(lines, first) if wanted in line.text.casefold()]

    def _go_to(self, place: int) -> None:
        self._here = self._matches[place]
        top = self.scroll_offset.y
        if not top <= self._here < top + self.size.height:
            self.scroll_to(y=max(0, self._here - self.size.height // 2), animate=False, immediate=True, force=True)

    # Moves

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._followed = self.follows
        self.post_message(self.Moved())

    def move(self, lines: int) -> None:
        self.scroll_relative(y=lines, animate=False, immediate=True, force=True)

    def go_to_end(self, end: bool) -> None:
        """Go to the first line, or to the last one."""
        go: Callable[..., None] = self.scroll_end if end else self.scroll_home
        go(animate=False, immediate=True, force=True, x_axis=False)

    # Painting

    def render_line(self, y: int) -> Strip:
        width, style = self.scrollable_content_region.width, self.rich_style
        index = y + self.scroll_offset.y
        if index >= len(self._lines):
            words = "" if self._lines or y else self.empty
            return Strip([Segment(words, style)]).adjust_cell_length(width, style)
        line = self._lines[index]
        if line.level in ("error", "warning"):
            style = style + self.get_component_rich_style(f"log-panel--{line.level}", partial=True)
        segments = []
        if line.clock:
            time = self.rich_style + self.get_component_rich_style("log-panel--time", partial=True)
            segments.append(Segment(line.text[: line.clock], time))
        segments += self._marked(line.text[line.clock :], style, index == self._here)
        return Strip(segments).adjust_cell_length(width, style)

    def _marked(self, text: str, style: Style, here: bool) -> list[Segment]:
        """The text with what is searched for marked."""
        folded, wanted = text.casefold(), self.wanted.casefold()
        # Where folding changes the length, places would be others.
        if not wanted or len(folded) != len(text) or wanted not in folded:
            return [Segment(text, style)]
        mark = style + self.get_component_rich_style(f"log-panel--{'here' if here else 'match'}", partial=True)
        segments, start = [], 0
        while (at := folded.find(wanted, start)) >= 0:
            segments += [Segment(text[start:at], style), Segment(text[at : at + len(wanted)], mark)]
            start = at + len(wanted)
        return [*segments, Segment(text[start:], style)]
