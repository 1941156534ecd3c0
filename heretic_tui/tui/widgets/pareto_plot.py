"""The scatter of the two objectives, drawn cell by cell: the front as steps, the original model, what a second round
began with, what is marked or left out by a filter, and a cursor that can be moved."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from heretic_tui.tui.glyphs import Glyphs, fit
from heretic_tui.tui.widgets.axes import Axis, axis
from heretic_tui.tui.widgets.pareto_scene import ZOOMS, Look, Point, Scene
from heretic_tui.words import plain

# Cells for the labels to the left of the axis.
_MARGIN = 5
# Lines of the plot itself, below which there is no legend, and below which there is no title of the axis.
_LEGEND_FROM, _TITLE_FROM = 7, 6
# The part of the ranges that is shown around the selected trial.
_NEAR = 0.3

# A character and the name of its style.
_Cells = dict[tuple[int, int], tuple[str, str]]
_STYLES = ("axis", "point", "front", "short", "marked", "running", "original", "left-out", "cursor", "alike")


class ParetoPlot(Widget, can_focus=True):
    """The first objective to the right, the second upwards; the good corner is the lower left."""

    COMPONENT_CLASSES = {f"pareto-plot--{name}" for name in _STYLES}

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
        self.scene = Scene()
        self.look = Look()
        self.cursor: int | None = None
        self._lines: list[Strip] = []
        self._across = self._upwards = Axis(0.0, 1.0, 2)
        self._rows: list[dict[int, tuple[str, str]]] = []
        self._by_number: dict[int, Point] = {}
        # Points by their cells, the sign on top of each cell, and what they were placed by: of a new scene only points
        # that are others are placed again.
        self._spots: dict[tuple[int, int], dict[int, Point]] = {}
        self._tops: _Cells = {}
        self._placed: dict[int, Point] = {}
        self._placed_by: object = None

    @property
    def points(self) -> tuple[Point, ...]:
        return self.scene.points

    def show(self, scene: Scene) -> None:
        """Take a new scene; painted only where something changed."""
        if scene != self.scene:
            self.scene = scene
            self._repaint()

    def look_at(self, look: Look) -> None:
        """Another axis or another zoom."""
        if look != self.look:
            self.look = look
            self._repaint()

    def put_cursor(self, number: int | None) -> None:
        if number == self.cursor:
            return
        rows = {self._row_of(self.cursor), self._row_of(number)}
        self.cursor = number
        for row in rows - {None}:
            self._repaint_line(row or 0)

    def next_zoom(self) -> Look:
        """The look that follows: all of it, the front alone, the neighbourhood of the selected trial."""
        zoom = ZOOMS[(ZOOMS.index(self.look.zoom) + 1) % len(ZOOMS)]
        if zoom == "front" and len([point for point in self.points if point.front]) < 2:
            zoom = "selected"
        if zoom == "selected" and self._by_number.get(-1 if self.cursor is None else self.cursor) is None:
            zoom = "all"
        return Look(self.look.logarithmic, zoom, self._box_around() if zoom == "selected" else None)

    # Moves

    def action_walk(self, dx: int, dy: int) -> None:
        """To the nearest point in that direction, nearer to the axis of the move before nearer at all."""
        points = [point for point in self.points if not point.left_out and self._is_shown(point)]
        here = self._by_number.get(-1 if self.cursor is None else self.cursor)
        if here is None:
            if points:
                self._move(min(points, key=lambda p: (not p.front, p.y, p.x)).number)
            return
        x0, y0 = self._at(here)
        best, best_cost = None, math.inf
        for point in points:
            x, y = self._at(point)
            ahead = (x - x0) * dx + (y0 - y) * dy
            aside = abs(y - y0) * 2 if dx else abs(x - x0) / 2
            if ahead > 0 and ahead + 2 * aside < best_cost:
                best, best_cost = point, ahead + 2 * aside
        if best:
            self._move(best.number)

    def on_click(self, event: events.Click) -> None:
        points = (point for point in self.points if not point.left_out and self._is_shown(point))
        near = [(abs(x - event.x) + 2 * abs(y - event.y), p.number) for p in points for x, y in [self._at(p)]]
        if near and min(near)[0] <= 3:
            self._move(min(near)[1])

    def _move(self, number: int) -> None:
        self.put_cursor(number)
        self.post_message(self.Highlighted(number))

    def _at(self, point: Point) -> tuple[int, int]:
        return self._cell(point.x, point.y)

    def _cell(self, x: float, y: float) -> tuple[int, int]:
        return _MARGIN + 1 + self._across.place(x), self._upwards.cells - 1 - self._upwards.place(y)

    def _is_shown(self, point: Point) -> bool:
        return self._across.shows(point.x) and self._upwards.shows(point.y)

    # Painting

    def _repaint(self) -> None:
        """Place all, and refresh the lines that came out differently."""
        if not self.size or not self.is_attached:
            return
        before = self._lines
        self._place()
        styles = self._styles()
        self._lines = [self._line(y, styles) for y in range(self.size.height)]
        for y, line in enumerate(self._lines):
            if y >= len(before) or line != before[y]:
                self.refresh(Region(0, y, self.size.width, 1))

    def _repaint_line(self, y: int) -> None:
        if 0 <= y < len(self._lines):
            self._lines[y] = self._line(y, self._styles())
            self.refresh(Region(0, y, self.size.width, 1))

    def on_resize(self) -> None:
        self._repaint()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._lines = []

    def render_line(self, y: int) -> Strip:
        if len(self._lines) != self.size.height:
            self._place()
            styles = self._styles()
            self._lines = [self._line(row, styles) for row in range(self.size.height)]
        return self._lines[y]

    def _styles(self) -> dict[str, Style]:
        base = self.rich_style
        return {"": base, **{n: base + self.get_component_rich_style(f"pareto-plot--{n}") for n in _STYLES}}

    def _row_of(self, number: int | None) -> int | None:
        point = self._by_number.get(number) if number is not None else None
        return self._at(point)[1] if point and self._is_shown(point) else None

    def _line(self, y: int, styles: Mapping[str, Style]) -> Strip:
        row = self._rows[y]
        chosen = self._by_number.get(self.cursor) if self.cursor is not None else None
        if chosen and self._is_shown(chosen) and self._at(chosen)[1] == y:
            row = {**row, self._at(chosen)[0]: (self.scene.glyphs.chosen, "cursor")}
        return Strip(_segments(row, self.size.width, styles), self.size.width)

    def _place(self) -> None:
        """Put everything but the cursor where it belongs."""
        width, height = self.size
        self._by_number = {point.number: point for point in self.points}
        self._rows = [{} for _ in range(height)]
        if width < _MARGIN + 8 or height < 5:
            return
        # The axis and its labels take two lines.
        titled = height - 3 >= _TITLE_FROM
        legend = self._legend(width)
        if height - 3 - len(legend) < _LEGEND_FROM:
            legend = []
        inner_width, inner_height = width - _MARGIN - 1, height - 2 - titled - len(legend)
        self._measure(inner_width, inner_height)
        g = self.scene.glyphs
        cells: _Cells = {(_MARGIN, row): (g.down, "axis") for row in range(inner_height)}
        cells |= {(_MARGIN + 1 + column, inner_height): (g.across, "axis") for column in range(inner_width)}
        cells[_MARGIN, inner_height] = (g.corner, "axis")
        self._draw_front(cells)
        for value in self.scene.running:
            # On the axis: a mark over the whole height would repaint every line twice a trial.
            if self._across.shows(value):
                cells[_MARGIN + 1 + self._across.place(value), inner_height] = (g.here, "running")
        self._place_points()
        cells |= self._tops
        for place, glyph in ((self.scene.original, g.original), (self.scene.start, g.start)):
            if place and self._across.shows(place[0]) and self._upwards.shows(place[1]):
                cells[self._cell(*place)] = (glyph, "original")
        self._label(cells, titled)
        for number, line in enumerate(legend):
            cells |= {(x, height - len(legend) + number): cell for x, cell in line.items()}
        for (column, row), cell in cells.items():
            if 0 <= row < height and column < width:
                self._rows[row][column] = cell

    def _place_points(self) -> None:
        """Which sign is on top of each cell."""
        basis, now, g = (self._across, self._upwards, self.scene.glyphs), self._by_number, self.scene.glyphs
        if basis != self._placed_by:
            self._spots, self._tops, self._placed, self._placed_by = {}, {}, {}, basis
        changed = set()
        for number, point in self._placed.items():
            if now.get(number) is not point and self._is_shown(point):
                changed.add(cell := self._at(point))
                del self._spots[cell][number]
        for number, point in now.items():
            if self._placed.get(number) is not point and self._is_shown(point):
                changed.add(cell := self._at(point))
                self._spots.setdefault(cell, {})[number] = point
        for cell in changed:
            if here := self._spots[cell]:
                self._tops[cell] = _sign(max(here.values(), key=_above), g)
            else:
                self._tops.pop(cell, None)
        self._placed = now

    def _measure(self, width: int, height: int) -> None:
        """The axes for a plot of so many cells."""
        scene, look = self.scene, self.look
        counted = scene.objectives[1].counted
        box = look.box if look.zoom == "selected" else self._box_of_front() if look.zoom == "front" else None
        if box:
            self._across = axis(box[:2], width, logarithmic=look.logarithmic)
            self._upwards = axis(box[2:], height)
            return
        original = [scene.original] if scene.original else []
        start = [scene.start] if scene.start else []
        xs = [*(point.x for point in self.points), *scene.running, *(x for x, _ in start)]
        # On a logarithmic axis the original model, at 0, would push all else to the right: it stands at the left end.
        xs += [] if look.logarithmic and xs else [x for x, _ in original]
        self._across = axis(xs, width, logarithmic=look.logarithmic, from_zero=True)
        if counted:
            self._upwards = Axis(0.0, float(max(1, scene.prompts)), height)
        else:
            ys = [*(point.y for point in self.points), *(y for _, y in (*original, *start))]
            self._upwards = axis(ys, height, from_zero=True)

    def _box_of_front(self) -> tuple[float, float, float, float] | None:
        front = [point for point in self.points if point.front]
        if not front:
            return None
        xs, ys = [point.x for point in front], [point.y for point in front]
        spare = (max(xs) - min(xs)) / 20, (max(ys) - min(ys)) / 20
        left = min(xs) if self.look.logarithmic else max(min(0.0, min(xs)), min(xs) - spare[0])
        return left, max(xs) + spare[0], max(min(0.0, min(ys)), min(ys) - spare[1]), max(ys) + spare[1]

    def _box_around(self) -> tuple[float, float, float, float] | None:
        """A part of what is shown now, around the selected point."""
        point = self._by_number.get(-1 if self.cursor is None else self.cursor)
        if point is None:
            return None
        xs = [p.x for p in self.points if self._is_shown(p)] or [point.x]
        wide, high = max(xs) - min(xs), abs(self._upwards.high - self._upwards.low)
        x, y = max(wide, 1e-4) * _NEAR / 2, max(high, 1e-4) * _NEAR / 2
        return max(0.0, point.x - x), point.x + x, max(0.0, point.y - y), point.y + y

    def _draw_front(self, cells: _Cells) -> None:
        """The steps between the points of the front, as far as they are in the ranges."""
        front = sorted((p for p in self.points if p.front), key=lambda p: p.x)
        g, left, right = self.scene.glyphs, _MARGIN + 1, _MARGIN + self._across.cells
        bottom = self._upwards.cells - 1
        for index, point in enumerate(front):
            x, y = self._at(point)
            following = front[index + 1] if index + 1 < len(front) else None
            x_end, y_end = self._at(following) if following else (right + 1, y)
            if 0 <= y <= bottom:
                for column in range(max(x + 1, left), min(x_end, right + 1)):
                    cells[column, y] = (g.across, "front")
            if following and left <= x_end <= right:
                for row in range(max(0, y), min(bottom, y_end) + 1):
                    cells[x_end, row] = (g.down, "front")

    def _label(self, cells: _Cells, titled: bool) -> None:
        def put(x: int, y: int, text: str) -> None:
            for offset, character in enumerate(text):
                cells[x + offset, y] = (character, "axis")

        inner_width, inner_height = self._across.cells, self._upwards.cells
        # How high the axis goes is not known before the original model has been measured.
        if self.scene.prompts or self.points:
            for place, label in self._upwards.ticks(3):
                put(0, inner_height - 1 - place, fit(label, _MARGIN, right=True))
        # How far right, before the first point.
        if self.points or self.scene.running:
            end = 0
            for place, label in self._across.ticks(10):
                start = max(_MARGIN, min(_MARGIN + 1 + place - len(label) // 2, _MARGIN + 1 + inner_width - len(label)))
                if start >= end:
                    put(start, inner_height + 1, label)
                    end = start + len(label) + 1
        if titled:
            # Words stay outside of the axes: within them they would lie over points.
            across, upwards = (plain(objective.name) for objective in self.scene.objectives)
            short = f"{across}, log scale" if self.look.logarithmic else across
            for title in (f"{upwards} over {short}", short):
                if len(title) <= inner_width:
                    put(_MARGIN + 1 + (inner_width - len(title)) // 2, inner_height + 2, title)
                    break

    def _legend(self, width: int) -> list[dict[int, tuple[str, str]]]:
        """What the signs mean, in as many lines as it takes."""
        g, points = self.scene.glyphs, self.points
        entries = [
            (g.front, "on the front", "front"),
            *([(g.in_vain, "no better than the start", "point")] if any(point.in_vain for point in points) else []),
            (g.beaten, "beaten", "point"),
            (g.cut_short, f"cut short ({g.about})", "short"),
            *([(g.screened, f"screened ({g.about})", "short")] if any(point.screened for point in points) else []),
            (g.marked, "marked", "marked"),
            (g.chosen, "selected", "cursor"),
            *([(g.alike, "within chance of it", "alike")] if any(point.alike for point in points) else []),
            (g.here, "running", "running"),
            (g.original, "original model", "original"),
            *([(g.start, "start of this round", "original")] if self.scene.start else []),
            *([(g.by_hand, "by hand", "point")] if any(point.by_hand for point in points) else []),
            *([(g.complete, "left out by the filter", "left-out")] if any(p.left_out for p in points) else []),
        ]
        lines: list[dict[int, tuple[str, str]]] = [{}]
        x = _MARGIN + 1
        for glyph, words, style in entries:
            needed = cell_len(glyph) + 1 + len(words)
            if x + needed > width and lines[-1]:
                lines.append({})
                x = _MARGIN + 1
            lines[-1] |= {x: (glyph, style)}
            start = x + cell_len(glyph) + 1
            lines[-1] |= {start + offset: (character, "axis") for offset, character in enumerate(words)}
            x += needed + 2
        return lines


def _above(point: Point) -> tuple[bool, bool, bool, bool, bool, int]:
    """Sorts the points so that what matters more is drawn over what matters less."""
    return not point.left_out, point.marked, point.front, not point.screened, not point.cut_short, point.number


def _sign(point: Point, g: Glyphs) -> tuple[str, str]:
    if point.left_out:
        return g.complete, "left-out"
    if point.marked:
        return g.marked, "marked"
    if point.alike:
        return g.alike, "alike"
    if point.screened:
        return g.screened, "short"
    on_front = g.in_vain if point.in_vain else g.front
    glyph = g.by_hand if point.by_hand else on_front if point.front else g.cut_short if point.cut_short else g.beaten
    return glyph, "front" if point.front and not point.in_vain else "short" if point.cut_short else "point"


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
