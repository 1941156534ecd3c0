"""The scatter of the two objectives, drawn cell by cell: the front as steps, and a cursor that can be moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from heretic_tui.figures import Figure, figures_of_before
from heretic_tui.run.state import MEASURED_STATES, TrialRecord
from heretic_tui.tui.glyphs import UNICODE, Glyphs, fit
from heretic_tui.words import plain

_MARGIN = 5
# Below this a logarithmic axis says nothing; a divergence of an edit of nothing is 0.
_TINY = 1e-5


@dataclass(frozen=True)
class Point:
    """A measured trial on the plot: `x` is its first objective, `y` its second; a dominated one lies where it is
    expected to be."""

    number: int
    x: float
    y: float
    front: bool
    dominated: bool


class ParetoPlot(Widget, can_focus=True):
    """The first objective to the right, the second upwards; the good corner is the lower left."""

    COMPONENT_CLASSES = {
        "pareto-plot--axis",
        "pareto-plot--point",
        "pareto-plot--front",
        "pareto-plot--running",
        "pareto-plot--cursor",
    }

    BINDINGS = [
        Binding("left,h", "walk(-1, 0)", "Left", show=False),
        Binding("right,l", "walk(1, 0)", "Right", show=False),
        Binding("up,k", "walk(0, 1)", "Up", show=False),
        Binding("down,j", "walk(0, -1)", "Down", show=False),
    ]

    @dataclass
    class Highlighted(Message):
        number: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.glyphs: Glyphs = UNICODE
        self.logarithmic = False
        self.points: list[Point] = []
        self.cursor: int | None = None
        self._objectives: tuple[Figure, Figure] = figures_of_before()
        self._half_known: float | None = None
        self._prompts = 0
        self._lines: list[Strip] = []
        self._span = self._height = 0.0, 1.0
        self._inner = 1, 1
        self._rows: list[dict[int, tuple[str, str]]] = []
        self._by_number: dict[int, Point] = {}

    def show(
        self,
        trials: Sequence[TrialRecord],
        objectives: tuple[Figure, Figure],
        front: set[int],
        running: TrialRecord | None,
        prompts: int,
        glyphs: Glyphs,
    ) -> None:
        """Take new points; painted only when something changed."""
        across, upwards = objectives
        points = [
            Point(t.number, x, y, t.number in front, t.state == "dominated")
            for t in trials
            if t.state in MEASURED_STATES and (x := t.shown(across)) is not None and (y := t.shown(upwards)) is not None
        ]
        half = running.measured.get(across.key) if running else None
        new = (points, objectives, half, prompts, glyphs)
        if new != (self.points, self._objectives, self._half_known, self._prompts, self.glyphs):
            self.points, self._objectives, self._half_known, self._prompts, self.glyphs = new
            self._repaint()

    def put_cursor(self, number: int | None) -> None:
        if number == self.cursor:
            return
        rows = {self._row_of(self.cursor), self._row_of(number)}
        self.cursor = number
        for row in rows - {None}:
            self._repaint_line(row or 0)

    def toggle_logarithmic(self) -> None:
        self.logarithmic = not self.logarithmic
        self._repaint()

    # Moves

    def action_walk(self, dx: int, dy: int) -> None:
        """To the nearest point in that direction, nearer to the axis of the move before nearer at all."""
        here = next((p for p in self.points if p.number == self.cursor), None)
        if here is None:
            if self.points:
                self._move(min(self.points, key=lambda p: (not p.front, p.y, p.x)).number)
            return
        x0, y0 = self._at(here)
        best, best_cost = None, math.inf
        for point in self.points:
            x, y = self._at(point)
            ahead = (x - x0) * dx + (y0 - y) * dy
            aside = abs(y - y0) * 2 if dx else abs(x - x0) / 2
            if ahead > 0 and ahead + 2 * aside < best_cost:
                best, best_cost = point, ahead + 2 * aside
        if best:
            self._move(best.number)

    def on_click(self, event: events.Click) -> None:
        near = [(abs(x - event.x) + 2 * abs(y - event.y), p.number) for p in self.points for x, y in [self._at(p)]]
        if near and min(near)[0] <= 3:
            self._move(min(near)[1])

    def _at(self, point: Point) -> tuple[int, int]:
        return self._cell(point.x, point.y)

    def _move(self, number: int) -> None:
        self.put_cursor(number)
        self.post_message(self.Highlighted(number))

    # Painting

    def _repaint(self) -> None:
        """Place all, and refresh the lines that came out differently."""
        if not self.size or not self.is_attached:
            return
        before = self._lines
        self._place()
        self._lines = [self._line(y) for y in range(self.size.height)]
        for y, line in enumerate(self._lines):
            if y >= len(before) or line != before[y]:
                self.refresh(Region(0, y, self.size.width, 1))

    def _repaint_line(self, y: int) -> None:
        if 0 <= y < len(self._lines):
            self._lines[y] = self._line(y)
            self.refresh(Region(0, y, self.size.width, 1))

    def on_resize(self) -> None:
        self._repaint()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._lines = []

    def _measure(self) -> tuple[float, float]:
        """The values at the ends of the axis across (their logarithms where it is logarithmic)."""
        values = [p.x for p in self.points] + ([self._half_known] if self._half_known is not None else [])
        if not values:
            return 0.0, 1.0
        if self.logarithmic:
            logs = [math.log10(max(v, _TINY)) for v in values]
            low, high = min(logs), max(logs)
            return (low - 0.1, high + 0.1) if high - low < 0.2 else (low, high)
        return min(0.0, *values), max(*values, _TINY)

    def _measure_height(self) -> tuple[float, float]:
        """The values at the ends of the axis upwards."""
        if self._objectives[1].counted:
            return 0.0, max(1, self._prompts)
        values = [point.y for point in self.points]
        return min(0.0, *values), max(_TINY, *values)

    def _cell(self, x: float, y: float) -> tuple[int, int]:
        width, height = self._inner
        low, high = self._span
        bottom, top = self._height
        value = math.log10(max(x, _TINY)) if self.logarithmic else x
        column = round((value - low) / (high - low) * (width - 1))
        row = round((1 - (y - bottom) / (top - bottom)) * (height - 1))
        return _MARGIN + 1 + column, max(0, min(height - 1, row))

    def render_line(self, y: int) -> Strip:
        if len(self._lines) != self.size.height:
            self._place()
            self._lines = [self._line(row) for row in range(self.size.height)]
        return self._lines[y]

    def _row_of(self, number: int | None) -> int | None:
        point = self._by_number.get(number) if number is not None else None
        return self._at(point)[1] if point else None

    def _place(self) -> None:
        """Put everything but the cursor where it belongs."""
        width, height = self.size
        # Once for all points: each of them asks.
        self._inner = max(1, width - _MARGIN - 1), max(1, height - 2)
        self._span, self._height = self._measure(), self._measure_height()
        self._by_number = {point.number: point for point in self.points}
        self._rows = [{} for _ in range(height)]
        if width < _MARGIN + 8 or height < 5:
            return
        g, inner_width, inner_height = self.glyphs, *self._inner
        cells: dict[tuple[int, int], tuple[str, str]] = {}
        for row in range(inner_height):
            cells[_MARGIN, row] = (g.down, "axis")
        for column in range(inner_width):
            cells[_MARGIN + 1 + column, inner_height] = (g.across, "axis")
        cells[_MARGIN, inner_height] = (g.corner, "axis")
        self._draw_front(cells)
        if self._half_known is not None:
            # On the axis: a mark over the whole height would repaint every line twice a trial.
            x, _ = self._cell(self._half_known, self._height[0])
            cells[x, inner_height] = (g.here, "running")
        for point in sorted(self.points, key=lambda p: (p.front, not p.dominated)):
            glyph = g.front if point.front else g.dominated if point.dominated else g.complete
            cells[self._at(point)] = (glyph, "front" if point.front else "point")
        self._label(cells, inner_width, inner_height)
        for (column, row), cell in cells.items():
            if 0 <= row < height and column < width:
                self._rows[row][column] = cell

    def _line(self, y: int) -> Strip:
        names = ("axis", "point", "front", "running", "cursor")
        base = self.rich_style
        looks = {"": base, **{n: base + self.get_component_rich_style(f"pareto-plot--{n}") for n in names}}
        row = self._rows[y]
        chosen = self._by_number.get(self.cursor) if self.cursor is not None else None
        if chosen and self._at(chosen)[1] == y:
            row = {**row, self._at(chosen)[0]: (self.glyphs.selected, "cursor")}
        return Strip(_segments(row, self.size.width, looks), self.size.width)

    def _draw_front(self, cells: dict[tuple[int, int], tuple[str, str]]) -> None:
        front = sorted((p for p in self.points if p.front), key=lambda p: p.x)
        g, (inner_width, _) = self.glyphs, self._inner
        for index, point in enumerate(front):
            x, y = self._at(point)
            following = front[index + 1] if index + 1 < len(front) else None
            x_end, y_end = self._at(following) if following else (_MARGIN + inner_width, y)
            for column in range(x + 1, x_end):
                cells[column, y] = (g.across, "front")
            for row in range(y, y_end + 1) if following else ():
                cells[x_end, row] = (g.down, "front")

    def _label(self, cells: dict[tuple[int, int], tuple[str, str]], inner_width: int, inner_height: int) -> None:
        def put(x: int, y: int, text: str) -> None:
            for offset, character in enumerate(text):
                cells[x + offset, y] = (character, "axis")

        for share in (0.0, 0.5, 1.0) if inner_height > 6 else (0.0, 1.0):
            row = round((1 - share) * (inner_height - 1))
            put(0, row, fit(self._height_text(share), _MARGIN, right=True))
        low, high = self._span
        bottom = inner_height + 1
        ends = [10**low, 10**high] if self.logarithmic else [low, high]
        left, right = f"{ends[0]:.2g}", f"{ends[1]:.2g}"
        put(_MARGIN + 1, bottom, left)
        put(_MARGIN + 1 + inner_width - len(right), bottom, right)
        # Words stay outside of the axes: within them they would lie over points.
        across, upwards = (plain(objective.name) for objective in self._objectives)
        short = f"{across}, log" if self.logarithmic else across
        for title in (f"{upwards} over {short}", short):
            if len(left) + len(right) + len(title) + 4 <= inner_width:
                put(_MARGIN + 1 + (inner_width - len(title)) // 2, bottom, title)
                break

    def _height_text(self, share: float) -> str:
        """The label of the vertical axis at a share of its height."""
        bottom, top = self._height
        if self._objectives[1].counted:
            # How many prompts there are is not known before the base model has answered them.
            return f"{share * self._prompts:.0f}" if self._prompts else ""
        return f"{bottom + share * (top - bottom):.2g}" if self.points else ""


def _segments(row: Mapping[int, tuple[str, str]], width: int, looks: Mapping[str, Style]) -> list[Segment]:
    """A line from its cells that are not empty; neighbours of one look become one segment."""
    segments: list[Segment] = []
    text, look, place = "", "", 0
    for column in [*sorted(row), width]:
        glyph, name = row.get(column, ("", ""))
        if place < column:
            if look and text:
                segments.append(Segment(text, looks[look]))
                text = ""
            text, look = text + " " * (column - place), ""
        if name != look and text:
            segments.append(Segment(text, looks[look]))
            text = ""
        text, look, place = text + glyph, name, column + 1
    if text:
        segments.append(Segment(text, looks[look]))
    return segments
