"""A review as a whole: its findings by check and subject, read from its folder, or only what of it has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from heretic_tui.errors import HereticError
from heretic_tui.files import read_json
from heretic_tui.plugins import CHECKS, names
from heretic_tui.records import Misfit, as_json, read
from heretic_tui.run.exports import ReviewedFigure
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.review_records import AnswerSet, Difference, Finding, Models, ReviewedAnswer, ReviewFigure, Subject
from heretic_tui.words import of_trial

T = TypeVar("T")

# So many trials are reviewed where nobody says which.
FINALISTS = 8


@dataclass(frozen=True)
class Review:
    """All that a review's folder holds.

    Attributes:
        subjects: the original model first.
        findings: by check, then by subject; checks in the order in which they were first made.
        models: where it is no run's.
    """

    folder: ReviewFolder
    subjects: Sequence[Subject] = ()
    findings: Mapping[str, Mapping[Subject, Finding]] = field(default_factory=dict)
    differences: Sequence[Difference] = ()
    models: Models | None = None

    def name(self, subject: Subject) -> str:
        """What a subject is called."""
        if subject is None:
            return "original"
        return "edited" if self.models else f"trial {subject}"

    def called(self, subject: Subject) -> str:
        """The same as a sentence has it: the original model, trial 41."""
        return "the edited model" if self.models and subject is not None else of_trial(subject)

    def title(self, check: str) -> str:
        """What a check is called."""
        return next((finding.title for finding in self.findings.get(check, {}).values()), check)

    def figure(self, check: str, key: str, subject: Subject) -> ReviewFigure | None:
        finding = self.findings.get(check, {}).get(subject)
        return finding.figure(key) if finding else None

    def rows(self) -> list[tuple[str, ReviewFigure]]:
        """The figures that there are, each with its check, as the first subject that has it names it; without those
        that are only of interest where there are any, and there are none."""
        found: dict[tuple[str, str], ReviewFigure] = {}
        shown: set[tuple[str, str]] = set()
        for check, by_subject in self.findings.items():
            for subject in self.subjects:
                for figure in by_subject[subject].figures if subject in by_subject else ():
                    found.setdefault((check, figure.key), figure)
                    if figure.value or not figure.if_any:
                        shown.add((check, figure.key))
        return [(check, figure) for (check, key), figure in found.items() if (check, key) in shown]

    def difference(self, check: str, key: str, first: Subject, second: Subject) -> Difference | None:
        """Between two subjects, the second's less the first's."""
        if found := self._by_pair.get((check, key, first, second)):
            return found
        turned = self._by_pair.get((check, key, second, first))
        return _turned(turned) if turned else None

    @cached_property
    def _by_pair(self) -> Mapping[tuple[str, str, Subject, Subject], Difference]:
        return {(each.check, each.key, each.first, each.second): each for each in self.differences}

    def to_json(self) -> list[object]:
        """What `show --json` promises: a record for each finding, with the difference from the original model."""
        return [
            {
                "check": finding.check,
                "title": finding.title,
                "subject": "original" if finding.subject is None else finding.subject,
                "seconds": finding.seconds,
                "problem": finding.problem,
                "notes": finding.notes,
                "curves": finding.curves,
                "figures": [
                    {
                        "key": figure.key,
                        "name": figure.name,
                        "value": figure.value,
                        "of": figure.of,
                        "low": figure.low,
                        "high": figure.high,
                        "against_original": as_json(self.difference(finding.check, figure.key, None, finding.subject))
                        if finding.subject is not None
                        else None,
                    }
                    for figure in finding.figures
                ],
            }
            for by_subject in self.findings.values()
            for finding in by_subject.values()
        ]


def reviewed_figures(review: Review, trial: int) -> tuple[ReviewedFigure, ...] | None:
    """What a review found of a trial, beside the original model, as an export's record keeps it; None where nothing."""
    found = []
    for check, figure in review.rows():
        base, own = review.figure(check, figure.key, None), review.figure(check, figure.key, trial)
        if own is None:
            continue
        difference = review.difference(check, figure.key, None, trial)
        texts = [each.with_interval if each else "" for each in (base, own)]
        found.append(
            ReviewedFigure(
                check=review.title(check),
                name=own.name,
                base=texts[0],
                trial=texts[1],
                difference=difference.words if difference else "",
            )
        )
    return tuple(found) or None


class ReviewReader:
    """Reads a review's folder, again and again: only files that changed are read anew. For one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._kept = ReviewFolder(folder)
        # What was read of each file, with what it was by then.
        self._known: dict[Path, tuple[tuple[int, ...], object]] = {}

    def read(self, checks: Iterable[str]) -> Review:
        """What lies there now; a Review without subjects where there is nothing. What is damaged is left out.

        Args:
            checks: the names of those that are looked for, in the order in which they are shown; others that have left
                something there follow, in their usual order.
        """
        kept = self._kept
        subjects = kept.subjects()
        there = sorted(path.name for path in kept.path.glob("*") if path.is_dir() and path.name != "answers")
        findings: dict[str, dict[Subject, Finding]] = {}
        for check in dict.fromkeys(check for check in [*checks, *names(CHECKS), *there] if check in there):
            found = {subject: finding for subject in subjects if (finding := self._found(check, subject))}
            if found:
                findings[check] = found
        known = [subject for subject in subjects if any(subject in each for each in findings.values())]
        differences = self._once(kept.differences, self._differences) or []
        models = self._once(kept.models, kept.kept_models)
        return Review(kept, known, findings, differences, models)

    def answers(self, which: AnswerSet, subject: Subject) -> list[ReviewedAnswer] | None:
        """As `ReviewFolder.kept_answers`, whatever they were decoded from."""
        return self._once(self._kept.answers(which, subject), lambda: self._kept.kept_answers(which, subject))

    def _found(self, check: str, subject: Subject) -> Finding | None:
        return self._once(self._kept.finding(check, subject), lambda: self._kept.found(check, subject))

    def _differences(self) -> list[Difference]:
        try:
            return read(list[Difference], read_json(self._kept.differences))
        except (FileNotFoundError, HereticError, Misfit):
            return []

    def _once(self, path: Path, look: Callable[[], T]) -> T | None:
        """What a file holds; None where it is not there."""
        try:
            at = path.stat()
        except OSError:
            self._known.pop(path, None)
            return None
        sign = (at.st_ino, at.st_size, at.st_mtime_ns)
        if self._known.get(path, ((), None))[0] != sign:
            self._known[path] = sign, look()
        return self._known[path][1]  # type: ignore[return-value]


def read_review(folder: Path, checks: Iterable[str]) -> Review:
    """As `ReviewReader.read`, once."""
    return ReviewReader(folder).read(checks)


def spread(front: Sequence[T]) -> list[T]:
    """Those of a front that are reviewed where nobody says which: from its whole length, both ends among them."""
    if len(front) <= FINALISTS:
        return list(front)
    return [front[place * (len(front) - 1) // (FINALISTS - 1)] for place in range(FINALISTS)]


def _turned(each: Difference) -> Difference:
    low, high = (None, None) if each.low is None or each.high is None else (-each.high, -each.low)
    return Difference(
        check=each.check, key=each.key, first=each.second, second=each.first, difference=-each.difference,
        within_chance=each.within_chance, low=low, high=high, p=each.p,
    )  # fmt: skip
