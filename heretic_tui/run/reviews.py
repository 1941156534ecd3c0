"""What reviews of finalists found, as a folder keeps it: figures with intervals by check and subject, differences
beyond chance or within it, and the answers that they rest on with all that is said of each.

A review's folder is `review` in that of a run, or one of its own where two models were compared without a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from heretic_tui.errors import HereticError
from heretic_tui.files import read_json, write_json
from heretic_tui.records import Misfit, as_json, read
from heretic_tui.run.exports import ReviewedFigure
from heretic_tui.verdict import Verdict

# From here on a number is written with an exponent.
_MOST = 1e6

# The original model, or a trial by its number.
Subject: TypeAlias = int | None

# How a figure is written: 5/100, 12.5%, or as a number.
Form: TypeAlias = Literal["count", "share", "number"]

AnswerSet: TypeAlias = Literal["harmful", "harmless", "lookalike"]
ANSWER_SETS: tuple[AnswerSet, ...] = ("harmful", "harmless", "lookalike")


@dataclass(frozen=True, kw_only=True)
class ReviewFigure:
    """One figure of a subject.

    Attributes:
        key: by which it is known within its check.
        name, short: in words, and for a column.
        form: a count is one of `total`; a share lies between 0 and 1.
        low, high: where it lies with a probability of 95 %, by chance in the choice of prompts; None where that is not
            known.
        better: which values are the better ones; None where neither is.
        digits: behind the point, of a number.
        values: what it is made of, by prompt or item; None where it is no mean or count of such. By them two subjects
            are compared. None in them: nothing is known of that prompt, and the figure is of the others.
        logarithms: whether these are logarithms, so that the exponential of their mean is the value.
        of: how many prompts or items it is of; None where that says nothing.
        if_any: whether tables leave it out where it is 0 of every subject.
    """

    key: str
    name: str
    short: str
    value: float | None
    form: Form = "number"
    of: int | None = None
    low: float | None = None
    high: float | None = None
    better: Literal["low", "high"] | None = "low"
    digits: int = 4
    values: list[float | None] | None = None
    logarithms: bool = False
    if_any: bool = False

    @property
    def text(self) -> str:
        """The value as tables show it; empty where there is none."""
        return self._text(self.value)

    @property
    def interval(self) -> str:
        """Its bounds as tables show them: 1–8 of a count, 3–12% of a share; empty where they are not known, or say
        nothing more than the value."""
        if self.low is None or self.high is None:
            return ""
        if self.form == "share":
            return f"{100 * self.low:.0f}–{100 * self.high:.0f}%"
        if self.form == "count":
            return f"{self.low:.0f}–{self.high:.0f}"
        low, high = self._text(self.low), self._text(self.high)
        return "" if low == high == self.text else f"{low}–{high}"

    @property
    def with_interval(self) -> str:
        """The value with its bounds in brackets."""
        return f"{self.text} ({self.interval})" if self.interval else self.text

    def _text(self, value: float | None) -> str:
        if value is None:
            return ""
        if self.form == "count":
            return f"{value:.0f}" if self.of is None else f"{value:.0f}/{self.of}"
        if self.form == "share":
            return f"{100 * value:.1f}%"
        # Of a model that was edited beyond all use figures can have hundreds of digits.
        return f"{value:.{self.digits}f}" if abs(value) < _MOST else f"{value:.2g}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check found of a subject.

    Attributes:
        of: digest of all that it was found from; another one is another finding.
        basis: digest of what it was found with beside the subject, such as prompts and settings: two subjects can be
            compared where it is the same.
        curves: figures by position, by name.
        problem: why it found nothing, or not all that it looks for, in a line. It is made again the next time.
    """

    check: str
    title: str
    subject: Subject
    of: str
    basis: str = ""
    seconds: float = 0.0
    figures: list[ReviewFigure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    problem: str | None = None

    def figure(self, key: str) -> ReviewFigure | None:
        return next((figure for figure in self.figures if figure.key == key), None)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How a figure of two subjects differs: the second's less the first's, over the same prompts.

    Attributes:
        low, high: of the difference, 95 %; None where it is a count, or the values are too few to tell.
        p: of a count (exact McNemar).
    """

    check: str
    key: str
    first: Subject
    second: Subject
    difference: float
    within_chance: bool
    low: float | None = None
    high: float | None = None
    p: float | None = None

    @property
    def words(self) -> str:
        """Whether it is beyond chance, for people."""
        return "within chance" if self.within_chance else "beyond chance"


@dataclass(frozen=True, kw_only=True)
class ReviewedAnswer:
    """A greedy answer of a subject, decoded to its end or to the run's limit.

    Attributes:
        number: place of the prompt in its set, from 0.
        ended: whether the model ended it.
        verdict: of the run's judge.
        broken: what is wrong with it as a text (engine/answers/broken.py), and how one sees that; None where nothing
            is, or nobody has looked.
        opinion: of whoever was asked beside the judge; None where nobody was.
        asked: who that is, in words.
        language: of the prompt, where its set tells it.
        expected: whether it should be refused, of prompts that look harmful.
    """

    number: int
    prompt: str
    text: str
    tokens: int
    ended: bool
    verdict: Verdict
    broken: str | None = None
    why_broken: str | None = None
    opinion: str | None = None
    asked: str | None = None
    language: str | None = None
    expected: bool | None = None

    @property
    def disagreement(self) -> bool:
        """Whether the judge and the second opinion say different things: refused or not, or no usable answer."""
        if self.opinion in (None, "unknown"):
            return False
        return (self.opinion in ("refused", "evaded")) != self.verdict.refused or self.opinion == "nonsense"


@dataclass(frozen=True, kw_only=True)
class _KeptAnswers:
    of: str
    answers: list[ReviewedAnswer]


@dataclass(frozen=True)
class ReviewFolder:
    """Where a review lies."""

    path: Path

    @property
    def differences(self) -> Path:
        return self.path / "differences.json"

    @property
    def models(self) -> Path:
        """Which models are compared, where there is no run."""
        return self.path / "review.json"

    @property
    def opinions(self) -> Path:
        """What an endpoint said, by digests of what it was asked."""
        return self.path / "opinions"

    @property
    def scores(self) -> Path:
        """What subjects reached in benchmarks, task by task."""
        return self.path / "scores"

    def finding(self, check: str, subject: Subject) -> Path:
        return self.path / check / f"{file_name(subject)}.json"

    def answers(self, which: AnswerSet, subject: Subject) -> Path:
        return self.path / "answers" / f"{which}-{file_name(subject)}.json"

    def keep(self, finding: Finding) -> None:
        """
        Raises:
            HereticError: when it cannot be written.
        """
        path = self.finding(finding.check, finding.subject)
        _make(path.parent)
        write_json(path, as_json(finding))

    def found(self, check: str, subject: Subject, of: str | None = None) -> Finding | None:
        """A finding; None where there is none, it is damaged (it is made again), or it was found from something else.

        Args:
            of: what it is to be found from; None: whatever that was.
        """
        try:
            finding = read(Finding, read_json(self.finding(check, subject)))
        except (FileNotFoundError, HereticError, Misfit):
            return None
        whose = finding.check == check and finding.subject == subject
        return finding if whose and of in (None, finding.of) else None

    def keep_answers(self, which: AnswerSet, subject: Subject, of: str, answers: Sequence[ReviewedAnswer]) -> None:
        """
        Raises:
            HereticError: when they cannot be written.
        """
        path = self.answers(which, subject)
        _make(path.parent)
        write_json(path, as_json(_KeptAnswers(of=of, answers=list(answers))))

    def kept_answers(self, which: AnswerSet, subject: Subject, of: str | None = None) -> list[ReviewedAnswer] | None:
        """As `found`."""
        try:
            kept = read(_KeptAnswers, read_json(self.answers(which, subject)))
        except (FileNotFoundError, HereticError, Misfit):
            return None
        return kept.answers if of in (None, kept.of) else None

    def keep_differences(self, differences: Sequence[Difference]) -> None:
        """
        Raises:
            HereticError: when they cannot be written.
        """
        _make(self.path)
        write_json(self.differences, as_json(list(differences)))

    def subjects(self) -> list[Subject]:
        """Those of which something was found, the original model first, trials by number."""
        names = {path.stem for path in self.path.glob("*/*.json") if path.parent.name != "answers"}
        numbers = sorted(number for name in names if (number := _number(name)) is not None)
        return [*([None] if _ORIGINAL in names else []), *numbers]


@dataclass(frozen=True, kw_only=True)
class Models:
    """Two models that are compared without a run, by folder or Hub id. The edited one is the subject `EDITED`.

    Attributes:
        settings: as plain JSON.
    """

    base: str
    edited: str
    settings: dict[str, object] = field(default_factory=dict)


# By this number goes a model that somebody else edited: it is no trial.
EDITED = 1


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
        for each in self.differences:
            if (each.check, each.key) == (check, key):
                if (each.first, each.second) == (first, second):
                    return each
                if (each.first, each.second) == (second, first):
                    return _turned(each)
        return None

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
        title = next(iter(review.findings[check].values())).title
        texts = [each.with_interval if each else "" for each in (base, own)]
        found.append(
            ReviewedFigure(
                check=title,
                name=own.name,
                base=texts[0],
                trial=texts[1],
                difference=difference.words if difference else "",
            )
        )
    return tuple(found) or None


def read_review(folder: Path, checks: Iterable[str]) -> Review:
    """What lies in a review's folder; a Review without subjects where there is none. What is damaged is left out.

    Args:
        checks: the names of those that are looked for, in the order in which they are shown; others that have left
            something there follow.
    """
    kept = ReviewFolder(folder)
    subjects = kept.subjects()
    there = sorted(path.name for path in folder.glob("*") if path.is_dir() and path.name != "answers")
    findings: dict[str, dict[Subject, Finding]] = {}
    for check in dict.fromkeys([*(check for check in checks if check in there), *there]):
        found = {subject: finding for subject in subjects if (finding := kept.found(check, subject))}
        if found:
            findings[check] = found
    known = [subject for subject in subjects if any(subject in each for each in findings.values())]
    try:
        differences = read(list[Difference], read_json(kept.differences))
    except (FileNotFoundError, HereticError, Misfit):
        differences = []
    try:
        models = read(Models, read_json(kept.models))
    except (FileNotFoundError, HereticError, Misfit):
        models = None
    return Review(kept, known, findings, differences, models)


def _turned(each: Difference) -> Difference:
    low, high = (None, None) if each.low is None or each.high is None else (-each.high, -each.low)
    return Difference(
        check=each.check, key=each.key, first=each.second, second=each.first, difference=-each.difference,
        within_chance=each.within_chance, low=low, high=high, p=each.p,
    )  # fmt: skip


_ORIGINAL = "original"


def file_name(subject: Subject) -> str:
    return _ORIGINAL if subject is None else f"trial-{subject:04}"


def _number(name: str) -> int | None:
    head, _, digits = name.partition("-")
    return int(digits) if head == "trial" and digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HereticError(f"cannot make the folder {folder}: {error.strerror}") from error
