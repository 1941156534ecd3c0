"""The table of a review: figures as lines, the original model and trials as columns, each compared with one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heretic_tui.run.review_records import ReviewFigure, Subject
from heretic_tui.run.reviews import Review
from heretic_tui.tui.glyphs import ASCII, Glyphs, ours_in_ascii
from heretic_tui.tui.widgets.line_table import Column, Row
from heretic_tui.words import plain

# Cells of the names of figures at most: on a wide screen, on others, and where their short names stand.
_WIDE_NAMES, _NAMES, _SHORT_NAMES = 46, 32, 20
# From so many cells on a table is wide, and below so many it is narrow.
_WIDE, _NARROW = 150, 90
_LEAST_COLUMN = 10

# What a line is of: the name of a check, and the key of a figure; an empty key where a check has found no figure.
Line = tuple[str, str]


@dataclass(frozen=True)
class Drawn:
    """What the table depends on.

    Attributes:
        subjects: in the order of the columns.
        reference: what the others are compared with.
        column: place of the chosen subject.
        width: cells of the table, without its scroll bar.
    """

    review: Review
    subjects: Sequence[Subject]
    reference: Subject
    column: int
    glyphs: Glyphs
    width: int


def ordered(review: Review, front: Sequence[int]) -> list[Subject]:
    """The original model, the trials in the order of the front, then the others."""
    known = review.subjects
    trials = [number for number in front if number in known]
    rest = [subject for subject in known if subject is not None and subject not in trials]
    return [*([None] if None in known else []), *trials, *rest]


def shown(text: str, glyphs: Glyphs) -> str:
    """Words of a finding as this terminal has them."""
    return ours_in_ascii(plain(text)).replace("–", glyphs.until) if glyphs is ASCII else plain(text)


def figure_words(figure: ReviewFigure, glyphs: Glyphs) -> str:
    """3/100 (1–8), with a sign where people overruled verdicts."""
    return shown(figure.with_interval, glyphs) + (glyphs.overruled if figure.overruled else "")


def cell_of(drawn: Drawn, line: Line, subject: Subject) -> tuple[str, str]:
    """The text of a cell, and its kind: good or bad where it differs from the reference by more than chance."""
    review, glyphs, (check, key) = drawn.review, drawn.glyphs, line
    figure = review.figure(check, key, subject)
    if figure is None or figure.value is None:
        finding = review.findings.get(check, {}).get(subject)
        return ("failed", "bad") if finding and finding.problem else ("-", "dim")
    text = figure_words(figure, glyphs)
    difference = review.difference(check, key, drawn.reference, subject) if subject != drawn.reference else None
    own = "base" if subject is None else ""
    if difference is None:
        return text + "  ", own
    if difference.within_chance:
        return f"{text} {glyphs.about}", own
    sign = glyphs.rising if difference.difference > 0 else glyphs.falling
    better = figure.better and (difference.difference < 0) == (figure.better == "low")
    kind = "" if figure.better is None else "good" if better else "bad"
    return f"{text} {sign}", own or kind


def lines_of(review: Review) -> list[tuple[Line, str, str]]:
    """The lines, each with the name and the short name of its figure, in their order."""
    by_check: dict[str, list[tuple[Line, str, str]]] = {check: [] for check in review.findings}
    for check, figure in review.rows():
        by_check[check].append(((check, figure.key), figure.name, figure.short))
    return [
        line
        for check, lines in by_check.items()
        # What found nothing has a line of its own, which tells why.
        for line in lines or [((check, ""), "nothing found", "nothing found")]
    ]


@dataclass(frozen=True)
class Table:
    """What is drawn.

    Attributes:
        seen: places of the subjects that have columns now.
    """

    columns: list[Column]
    rows: list[Row]
    seen: list[int]


def table_of(drawn: Drawn) -> Table:
    """The table as far as it fits: the original model and the columns around the chosen one."""
    review, subjects = drawn.review, drawn.subjects
    lines = lines_of(review)
    cells = [[cell_of(drawn, line, subject) for subject in subjects] for line, _, _ in lines]
    titles = [_heading(drawn, place) for place in range(len(subjects))]
    widths = [
        max(_LEAST_COLUMN, len(titles[place]), *(len(row[place][0]) for row in cells)) if cells else _LEAST_COLUMN
        for place in range(len(subjects))
    ]
    short = drawn.width < _NARROW
    names = [f"  {shown(each[2] if short else each[1], drawn.glyphs)}" for each in lines]
    most = _SHORT_NAMES if short else _WIDE_NAMES if drawn.width >= _WIDE else _NAMES
    longest = max(map(len, names), default=most)
    # Where all columns fit, what they leave is for names that are longer.
    left = drawn.width - 1 - sum(width + 1 for width in widths)
    room = min(longest, max(most, left))
    seen = places_that_fit(widths, drawn.column, drawn.width - room - 1)
    columns = [Column("figure", "", room)]
    columns += [Column(str(place), titles[place], widths[place], right=True) for place in seen]
    rows, before = [], None
    for (line, _, _), name, row in zip(lines, names, cells, strict=True):
        if line[0] != before:
            before = line[0]
            rows.append(Row(("title", before), (shown(review.title(before), drawn.glyphs),), "group", caption=True))
        kinds = tuple((at, _kind(place, row[place][1], drawn)) for at, place in enumerate(seen, start=1))
        rows.append(
            Row(line, (name, *(row[place][0] for place in seen)), kinds=tuple(each for each in kinds if each[1]))
        )
    return Table(columns, rows, seen)


def _kind(place: int, kind: str, drawn: Drawn) -> str:
    return kind or ("link" if place == drawn.column else "")


def _heading(drawn: Drawn, place: int) -> str:
    subject, glyphs = drawn.subjects[place], drawn.glyphs
    before = f"{glyphs.closed} " if place == drawn.column else ""
    behind = f" {glyphs.selected}" if subject == drawn.reference else "  "
    return f"{before}{drawn.review.name(subject)}{behind}"


def places_that_fit(widths: Sequence[int], chosen: int, room: int) -> list[int]:
    """Places of the columns that are shown in so many cells: the first one, then as many as fit of those up to the
    chosen one and behind it."""
    if not widths:
        return []
    left = room - widths[0] - 1
    if chosen and left < widths[chosen]:
        # There is room for one alone.
        return [chosen]
    first = last = max(1, chosen)
    left -= sum(widths[first : first + 1]) + 1
    while first > 1 and left >= widths[first - 1]:
        first -= 1
        left -= widths[first] + 1
    while last + 1 < len(widths) and left >= widths[last + 1]:
        last += 1
        left -= widths[last] + 1
    return [0, *range(first, min(last + 1, len(widths)))]
