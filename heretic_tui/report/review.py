"""What reviews found, as a table for people: figures of the original model and of trials side by side."""

from __future__ import annotations

from heretic_tui.run.reviews import Review, ReviewFigure, Subject
from heretic_tui.words import plain

# Behind a figure that differs from the original model's by no more than chance makes.
WITHIN_CHANCE = "≈"
_LEGEND = (
    f"{WITHIN_CHANCE} within chance of the original model; in brackets where a figure lies with a probability of 95%"
)


def review_lines(review: Review) -> list[str]:
    """Lines for people."""
    if not review.subjects:
        return ["nothing has been reviewed yet"]
    rows = review.rows()
    table = [
        [figure.name, *(_cell(review, check, figure, subject) for subject in review.subjects)] for check, figure in rows
    ]
    heads = ["", *(subject_name(subject) for subject in review.subjects)]
    widths = [max(len(row[column]) for row in [heads, *table]) for column in range(len(heads))]
    lines, before = [_line(heads, widths)], None
    for (check, _), cells in zip(rows, table, strict=True):
        if check != before:
            lines.append(_title(review, check))
            before = check
        lines.append(_line(cells, widths))
    for check, by_subject in review.findings.items():
        problems = dict.fromkeys(finding.problem for finding in by_subject.values() if finding.problem)
        lines += [f"{_title(review, check)}: {problem}" for problem in problems]
        notes = dict.fromkeys(note for finding in by_subject.values() for note in finding.notes)
        lines += [f"{_title(review, check)}: {note}" for note in notes]
    return [plain(line) for line in [*lines, _LEGEND]]


def subject_name(subject: Subject) -> str:
    return "original" if subject is None else f"trial {subject}"


def _title(review: Review, check: str) -> str:
    return next(finding.title for finding in review.findings[check].values())


def _cell(review: Review, check: str, figure: ReviewFigure, subject: Subject) -> str:
    found = review.figure(check, figure.key, subject)
    if found is None:
        return "-"
    interval = f" ({found.interval})" if found.interval else ""
    return f"{found.text}{interval}{mark(review, check, figure.key, subject)}"


def mark(review: Review, check: str, key: str, subject: Subject) -> str:
    """The sign of a figure that is within chance of the original model's; empty where it is not, or nobody knows."""
    difference = review.difference(check, key, None, subject) if subject is not None else None
    return f" {WITHIN_CHANCE}" if difference and difference.within_chance else ""


def _line(cells: list[str], widths: list[int]) -> str:
    first, *others = cells
    rest = "  ".join(f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
    return f"  {first:{widths[0]}}  {rest}".rstrip()
