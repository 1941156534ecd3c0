"""A table drawn line by line: a change repaints the lines that changed, and the cursor stays on its row, not its place.

Textual's DataTable repaints all of itself for one cell (35 ms at 120x40); this costs 3 ms."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from heretic_tui.tui.glyphs import fit
from heretic_tui.tui.widgets.steady_scroll import SteadyScroll

# Cells that a column without a width of its own needs.
_LEAST = 8


@dataclass(frozen=True)
class Column:
    """A column of fixed width in cells; width 0 takes what is left. Numbers are aligned to the right."""

    key: str
    title: str
    width: int
    right: bool = False


@dataclass(frozen=True)
class Row:
    """One line. `kind` is a component class (`line-table--KIND`) for the whole line; `key` is what the cursor holds.

    Attributes:
        kinds: by the place of a cell, a component class of its own, such as good, bad, base, dim or mark.
        caption: whether the cursor passes over it; a single cell of it takes the whole line.
    """

    key: Hashable
    cells: tuple[str, ...]
    kind: str = "row"
    kinds: tuple[tuple[int, str], ...] = ()
    caption: bool = False


@dataclass
class _Told(Message):
    """What a table tells; `control` lets a handler choose by the table's id."""

    table: LineTable

    @property
    def control(self) -> LineTable:
        return self.table


class LineTable(SteadyScroll, can_focus=True):
    """Rows with a header and a cursor.

    Attributes:
        columns: those that fit are drawn, from the left.
        rows: in the order shown.
        enter: what enter does, for the line of keys.

    Args:
        spill: whether the last text of a row takes the room of the empty cells behind it.
    """

    COMPONENT_CLASSES = {
        "line-table--header",
        "line-table--row",
        "line-table--front",
        "line-table--running",
        "line-table--failed",
        "line-table--group",
        "line-table--changed",
        "line-table--dim",
        "line-table--good",
        "line-table--bad",
        "line-table--busy",
        "line-table--base",
        "line-table--mark",
        "line-table--link",
        "line-table--cursor",
        "line-table--cursor-blurred",
    }

    BINDINGS = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("ctrl+u", "page(-0.5)", "Half page up", show=False),
        Binding("ctrl+d", "page(0.5)", "Half page down", show=False),
        Binding("home,g", "go(0)", "First", show=False),
        Binding("end,G", "go(-1)", "Last", show=False),
        Binding("enter", "select", "Open", show=False),
    ]

    @dataclass
    class Highlighted(_Told):
        """The cursor came to another row."""

        key: Hashable

    @dataclass
    class Selected(_Told):
        """Enter, or a click on the row under the cursor."""

        key: Hashable

    @dataclass
    class HeaderClicked(_Told):
        """A click on a column's title."""

        column: str

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        id: str | None = None,
        empty: str = "nothing here yet",
        enter: str = "",
        header: bool = True,
        spill: bool = False,
    ) -> None:
        super().__init__(id=id)
        # Lines that the header takes.
        self._head = int(header)
        self._spill = spill
        self.enter = enter
        self.columns = tuple(columns)
        self.rows: list[Row] = []
        self._empty = empty
        self._places: dict[Hashable, int] = {}
        self._above = 0
        self.cursor: Hashable | None = None

    # Data

    def set_columns(self, columns: Sequence[Column]) -> None:
        if tuple(columns) != self.columns:
            self.columns = tuple(columns)
            self.refresh()

    def set_empty(self, words: str) -> None:
        """The text shown where there are no rows."""
        if words != self._empty:
            self._empty = words
            if not self.rows:
                self.refresh()

    def set_rows(self, rows: Sequence[Row], follow: bool = False, above: int = 0) -> None:
        """Show these rows; only lines that differ are painted.

        Args:
            follow: put the cursor on the last row when it was on the last one before.
            above: rows at the top that stand above the list: the key for the first row goes to the one below them.
        """
        self._above = above
        before, self.rows = self.rows, list(rows)
        at_end = bool(before) and self.cursor == before[-1].key
        place = self._places.get(self.cursor, 0)
        self._places = {row.key: index for index, row in enumerate(self.rows)}
        moved = False
        if self.rows and (self.cursor not in self._places or (follow and at_end)):
            last = len(self.rows) - 1
            wanted = last if follow and at_end else min(max(place, above), last)
            self.cursor = self.rows[self._selectable(wanted, 1)].key
            moved = True
        elif not self.rows:
            self.cursor = None
        if len(before) != len(self.rows):
            self.resize_to(len(self.rows) + self._head)
        if self._places.get(self.cursor, 0) != place:
            self._scroll_to_cursor()
            self.refresh()
        elif len(before) > len(self.rows):
            self.refresh()
        else:
            top = self.scroll_offset.y
            for line in range(max(0, self.size.height - self._head)):
                index = top + line
                old = before[index] if index < len(before) else None
                new = self.rows[index] if index < len(self.rows) else None
                if old != new:
                    self._refresh_row(index)
        if moved:
            self.post_message(self.Highlighted(self, self.cursor))

    def set_row(self, row: Row) -> None:
        """Show another line in the place of the one with its key; nothing where there is none."""
        place = self._places.get(row.key)
        if place is not None and self.rows[place] != row:
            self.rows[place] = row
            self._refresh_row(place)

    @property
    def place(self) -> int:
        """Index of the row under the cursor."""
        return self._places.get(self.cursor, 0)

    def go_to(self, key: Hashable) -> bool:
        """Put the cursor on a row; whether it is there."""
        if key not in self._places:
            return False
        if key != self.cursor:
            old, self.cursor = self.place, key
            self._refresh_row(old)
            self._refresh_row(self.place)
            self._scroll_to_cursor()
            self.post_message(self.Highlighted(self, key))
        return True

    # Moves

    def action_move(self, by: int) -> None:
        self._go(self.place + by)

    def action_page(self, pages: float) -> None:
        self._go(self.place + round(pages * max(1, self.size.height - self._head)))

    def action_go(self, index: int) -> None:
        self._go(index + self._above if index >= 0 else len(self.rows) - 1)

    def action_select(self) -> None:
        if self.rows:
            self.post_message(self.Selected(self, self.cursor))

    def _go(self, index: int) -> None:
        if self.rows:
            self.go_to(self.rows[self._selectable(index, 1 if index > self.place else -1)].key)

    def _selectable(self, index: int, step: int) -> int:
        """The row at a place, or where that is a caption the next one that is none, else the last before it."""
        last = len(self.rows) - 1
        index = max(0, min(last, index))
        ahead = range(index, last + 1) if step > 0 else range(index, -1, -1)
        behind = range(index, -1, -1) if step > 0 else range(index, last + 1)
        return next((place for place in (*ahead, *behind) if not self.rows[place].caption), index)

    def on_click(self, event: events.Click) -> None:
        if event.y < self._head:
            left = 0
            for column, width in self.shown_columns():
                if left <= event.x < left + width + 1:
                    self.post_message(self.HeaderClicked(self, column.key))
                left += width + 1
            return
        index = event.y - self._head + self.scroll_offset.y
        if index < len(self.rows):
            key = self.rows[index].key
            if key == self.cursor:
                self.action_select()
            elif not self.rows[index].caption:
                self.go_to(key)

    def _scroll_to_cursor(self) -> None:
        visible = max(1, self.size.height - self._head)
        top = self.scroll_offset.y
        if self.place < top:
            self.scroll_to(y=self.place, animate=False)
        elif self.place >= top + visible:
            self.scroll_to(y=self.place - visible + 1, animate=False)

    def on_resize(self) -> None:
        self._scroll_to_cursor()

    def on_focus(self) -> None:
        self._refresh_row(self.place)

    def on_blur(self) -> None:
        self._refresh_row(self.place)

    # Painting

    def _refresh_row(self, index: int) -> None:
        y = index - self.scroll_offset.y + self._head
        if self._head <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def shown_columns(self) -> list[tuple[Column, int]]:
        """The columns that fit, with their widths. The scroll bar's cell is kept free: no column comes, goes or is cut
        because there are more rows."""
        bar = 0 if self.show_vertical_scrollbar else self.scrollbar_size_vertical
        room = self.scrollable_content_region.width - bar
        shown: list[tuple[Column, int]] = []
        for column in self.columns:
            needed = column.width or _LEAST
            if room < needed:
                break
            shown.append((column, needed))
            room -= needed + 1
        taker = next((column.key for column, _ in shown if not column.width), "")
        return [(column, width + (room + 1) * (column.key == taker)) for column, width in shown]

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        layout = self.shown_columns()
        if y < self._head:
            style = self.get_component_rich_style("line-table--header")
            return self._strip([fit(c.title, w, c.right) for c, w in layout], style, width)
        index = y - self._head + self.scroll_offset.y
        if index >= len(self.rows):
            if index == 0 and not self.rows:
                style = self.get_component_rich_style("line-table--dim")
                return self._strip([fit(self._empty, width)], style, width)
            return Strip.blank(width, self.rich_style)
        row = self.rows[index]
        style, over = self.get_component_rich_style(f"line-table--{row.kind}"), Style()
        if row.key == self.cursor:
            name = "line-table--cursor" if self.has_focus else "line-table--cursor-blurred"
            over = self.get_component_rich_style(name)
        if (row.caption and len(row.cells) == 1) or row.kind == "group":
            return self._strip([fit(row.cells[0], width)], style + over, width)
        if self._spill:
            layout = _spilled(layout, row.cells)
        cells = [fit(cell, w, c.right) for (c, w), cell in zip(layout, row.cells, strict=False)]
        if not row.kinds:
            return self._strip(cells, style + over, width)
        kinds, segments = dict(row.kinds), []
        for place, cell in enumerate(cells):
            own = self.get_component_rich_style(f"line-table--{kinds[place]}") if place in kinds else style
            segments.append(Segment(cell + " ", own + over))
        return Strip(segments).adjust_cell_length(width, style + over)

    def _strip(self, cells: list[str], style: Style, width: int) -> Strip:
        return Strip([Segment(fit(" ".join(cells), width), style)], width)


def _spilled(layout: list[tuple[Column, int]], cells: Sequence[str]) -> list[tuple[Column, int]]:
    """The widths where the last cell with text takes the room of those behind it."""
    filled = max((place for place, cell in enumerate(cells[: len(layout)]) if cell), default=len(layout) - 1)
    rest = sum(width + 1 for _, width in layout[filled + 1 :])
    if not rest:
        return layout
    return [*layout[:filled], (layout[filled][0], layout[filled][1] + rest)]
