"""What reviews found, as tables for people: for each check the original model and the trials, a line each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from heretic_tui.report.annotations import OVERRULED
from heretic_tui.run.review_records import Finding, ReviewFigure, Subject
from heretic_tui.run.reviews import Review
from heretic_tui.words import plain

# Behind a figure that differs from the original model's by no more than chance makes.
WITHIN_CHANCE = "≈"
_LEGEND = f"{WITHIN_CHANCE} within chance of the original model; in brackets: where a figure lies with 95% probability"
_PEOPLE = f"{OVERRULED} with verdicts that people overruled"
# So many figures of a check stand in one table; more go on in the next.
_COLUMNS = 5


def review_lines(review: Review) -> list[str]:
    """Lines for people."""
    if not review.subjects:
        return ["nothing has been reviewed yet"]
    lines: list[str] = []
    if review.models:
        lines += ["", f"original: {review.models.base}", f"edited: {review.models.edited}"]
    current = _current(review)
    for check in review.findings:
        figures = [figure for name, figure in current.rows() if name == check]
        lines += ["", review.title(check)]
        for start in range(0, len(figures), _COLUMNS):
            lines += _table(current, check, figures[start : start + _COLUMNS])
        lines += [f"  {line}" for line in remarks(review, check)]
    legend = [_LEGEND]
    if any(finding.overruled for by_subject in review.findings.values() for finding in by_subject.values()):
        legend.append(_PEOPLE)
    return [plain(line) for line in [*lines[1:], "", *legend]]


def remarks(review: Review, check: str) -> list[str]:
    """What a check says beside its figures, each once: why it found nothing or not all of some subjects, which cannot
    be compared, and its notes."""
    by_subject = review.findings[check]
    findings = by_subject.values()
    problems: dict[tuple[str, str], list[Subject]] = {}
    for finding in findings:
        if finding.problem:
            what = "not all" if finding.figures else "nothing"
            problems.setdefault((what, finding.problem), []).append(finding.subject)
    said = [f"{what} found of {', '.join(map(review.name, whose))}: {why}" for (what, why), whose in problems.items()]
    if apart := [review.name(finding.subject) for finding in findings if not _like_original(by_subject, finding)]:
        said.append(f"left out: {', '.join(apart)}, found with other prompts or settings; review again to compare")
    notes = dict.fromkeys(note for finding in _current(review).findings[check].values() for note in finding.notes)
    return [*said, *notes]


def _current(review: Review) -> Review:
    """A review without findings that were made otherwise than the original model's: in one table they would look as if
    they could be compared."""
    findings = {
        check: {subject: finding for subject, finding in by_subject.items() if _like_original(by_subject, finding)}
        for check, by_subject in review.findings.items()
    }
    return replace(review, findings=findings)


def _like_original(by_subject: Mapping[Subject, Finding], finding: Finding) -> bool:
    """Whether a finding was made as that of the original model."""
    original = by_subject.get(None)
    return not (original and original.figures and finding.figures) or finding.basis == original.basis


def mark(review: Review, check: str, key: str, subject: Subject) -> str:
    """The sign of a figure that is within chance of the original model's; empty where it is not, or nobody knows."""
    difference = review.difference(check, key, None, subject) if subject is not None else None
    return WITHIN_CHANCE if difference and difference.within_chance else ""


def cell(review: Review, check: str, figure: ReviewFigure, subject: Subject) -> str:
    """A figure of a subject with its interval and the sign of chance; a dash where there is none."""
    found = review.figure(check, figure.key, subject)
    if found is None:
        return "-"
    people = OVERRULED if found.overruled else ""
    return " ".join(part for part in (found.with_interval + people, mark(review, check, figure.key, subject)) if part)


def _table(review: Review, check: str, figures: Sequence[ReviewFigure]) -> list[str]:
    rows = [
        [review.name(subject), *(cell(review, check, figure, subject) for figure in figures)]
        for subject in review.subjects
        if subject in review.findings[check] and review.findings[check][subject].figures
    ]
    heads = ["", *(figure.name for figure in figures)]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    return [
        "  " + "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in [heads, *rows]
    ]
