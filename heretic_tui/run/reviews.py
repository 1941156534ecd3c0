"""What reviews of finalists found, as a folder keeps it: figures with intervals by check and subject, differences
beyond chance or within it, and the answers that they rest on with all that is said of each.

A review's folder is `review` in that of a run, or one of its own where two models were compared without a run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

from heretic_tui.errors import HereticError
from heretic_tui.files import read_json, write_json
from heretic_tui.records import Misfit, as_json, read
from heretic_tui.run.annotations import Annotations, Ruling, digest
from heretic_tui.run.exports import ReviewedFigure
from heretic_tui.shares import count_difference, share_interval
from heretic_tui.verdict import Verdict

T = TypeVar("T")

# From here on a number is written with an exponent.
_MOST = 1e6

# The original model, or a trial by its number.
Subject: TypeAlias = int | None

# How a figure is written: 5/100, 12.5%, or as a number.
Form: TypeAlias = Literal["count", "share", "number"]

AnswerSet: TypeAlias = Literal["harmful", "harmless", "lookalike"]
ANSWER_SETS: tuple[AnswerSet, ...] = ("harmful", "harmless", "lookalike")

# So many trials are reviewed where nobody says which.
FINALISTS = 8


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
        overruled: verdicts that people gave otherwise than the judge, where it is as they have it; none in a folder.
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
    overruled: int = 0

    @property
    def number(self) -> float:
        """The value, for what cannot do without.

        Raises:
            HereticError: where it is beyond all numbers.
        """
        if self.value is None:
            raise HereticError(f"{self.name}: beyond all numbers")
        return self.value

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

    @property
    def overruled(self) -> int:
        """Verdicts that people gave otherwise, where its figures are as they have it."""
        return max((figure.overruled for figure in self.figures), default=0)


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
        """Whether the judge and the second opinion say different things: answered or not, or no usable text."""
        if self.opinion in (None, "unknown"):
            return False
        if self.opinion == "nonsense":
            return self.verdict.broken is None
        return (self.opinion != "answered") != (self.verdict.refused or self.verdict.broken is not None)

    @property
    def refused_by(self) -> tuple[bool, bool] | None:
        """Whether the judge finds a refusal in it, and whether the second opinion does; None where there is none."""
        if self.opinion in (None, "unknown"):
            return None
        judge = self.verdict.refused and self.verdict.broken is None
        return judge, self.opinion in ("refused", "evaded")

    def ruling(self, annotations: Annotations) -> Ruling | None:
        """A person's verdict on it; None where the judge's stands."""
        if (prompt := digest(self.prompt)) not in annotations.verdicts:
            return None
        return annotations.verdict(prompt, digest(self.text))


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
                something there follow.
        """
        kept = self._kept
        subjects = kept.subjects()
        there = sorted(path.name for path in kept.path.glob("*") if path.is_dir() and path.name != "answers")
        findings: dict[str, dict[Subject, Finding]] = {}
        for check in dict.fromkeys([*(check for check in checks if check in there), *there]):
            found = {subject: finding for subject in subjects if (finding := self._found(check, subject))}
            if found:
                findings[check] = found
        known = [subject for subject in subjects if any(subject in each for each in findings.values())]
        differences = self._once(kept.differences, self._differences) or []
        models = self._once(kept.models, self._models)
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

    def _models(self) -> Models | None:
        try:
            return read(Models, read_json(self._kept.models))
        except (FileNotFoundError, HereticError, Misfit):
            return None

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


def people_review(folder: Path, checks: Iterable[str], annotations: Annotations, counts_broken: bool) -> Review:
    """The same as people have it (`as_people_have_it`)."""
    reader = ReviewReader(folder)
    return as_people_have_it(reader.read(checks), annotations, counts_broken, reader.answers)


# Figures that count answers by the judge's verdicts: the answers that they count, and by which verdict. What follows
# the second with an underscore counts those of one language.
_JUDGED: Mapping[tuple[str, str], tuple[AnswerSet, Ruling]] = {
    ("held_out", "refused"): ("harmful", "refused"),
    ("over_refusal", "harmless"): ("harmless", "refused"),
    ("broken", "answered"): ("harmful", "answered"),
}

Answers: TypeAlias = Callable[[AnswerSet, Subject], "list[ReviewedAnswer] | None"]


def as_people_have_it(review: Review, annotations: Annotations, counts_broken: bool, answers: Answers) -> Review:
    """A review whose counts of refused answers, and of those that are neither refused nor broken, go by what people
    said of these answers, before what the judge says; the differences between subjects follow.

    Args:
        counts_broken: whether an answer that a person called broken counts as refused.
        answers: of a set and a subject, as ReviewReader has them; asked for where people gave verdicts at all.
    """
    if not annotations.verdicts:
        return review
    findings: dict[str, Mapping[Subject, Finding]] = {}
    changed: set[tuple[str, str]] = set()
    for check, by_subject in review.findings.items():
        corrected = dict(by_subject)
        for subject, finding in by_subject.items():
            figures = [
                _overruled(check, figure, subject, annotations, counts_broken, answers) for figure in finding.figures
            ]
            changed |= {(check, figure.key) for figure in figures if figure.overruled}
            corrected[subject] = replace(finding, figures=figures)
        findings[check] = corrected
    stay = [each for each in review.differences if (each.check, each.key) not in changed]
    now = replace(review, findings=findings, differences=stay)
    return replace(
        now, differences=[*stay, *(each for check, key in sorted(changed) for each in _counted(now, check, key))]
    )


def _overruled(
    check: str,
    figure: ReviewFigure,
    subject: Subject,
    annotations: Annotations,
    counts_broken: bool,
    answers: Answers,
) -> ReviewFigure:
    key, _, language = figure.key.partition("_")
    if figure.form != "count" or (check, key) not in _JUDGED:
        return figure
    which, verdict = _JUDGED[check, key]
    counted = [each for each in answers(which, subject) or () if not language or each.language == language]
    return counted_by_people(figure, counted, annotations, counts_broken, verdict)


def counted_by_people(
    figure: ReviewFigure,
    answers: Sequence[ReviewedAnswer],
    annotations: Annotations,
    counts_broken: bool,
    verdict: Ruling = "refused",
) -> ReviewFigure:
    """A count of answers that have a verdict as people have it, with Wilson's interval; the same figure where they
    overruled none, or where it is not of these answers."""
    if figure.values is None or len(answers) != len(figure.values):
        return figure
    values, overruled = list(figure.values), 0
    for place, answer in enumerate(answers):
        if (ruling := answer.ruling(annotations)) and (judged := values[place]) is not None:
            counted = ruling == verdict or (ruling == "broken" and verdict == "refused" and counts_broken)
            # To call an answer broken that the judge does not is another verdict, whatever it counts as.
            apart = ruling == "broken" and verdict == "refused" and answer.verdict.broken is None
            overruled += apart or counted != (judged > 0)
            values[place] = float(counted)
    if not overruled:
        return figure
    known = [value for value in values if value is not None]
    count, total = sum(value > 0 for value in known), len(known)
    interval = share_interval(count, total)
    assert interval is not None
    return replace(
        figure, value=count, values=values, low=interval.low * total, high=interval.high * total, overruled=overruled
    )


def with_counts(review: Review) -> Review:
    """A review with the differences of counts that nobody has kept yet: it is under way, or was cut off."""
    known = {(each.check, each.key, frozenset((each.first, each.second))) for each in review.differences}
    missing = [
        each
        for check, figure in review.rows()
        if figure.form == "count"
        for each in _counted(review, check, figure.key)
        if (check, figure.key, frozenset((each.first, each.second))) not in known
    ]
    return replace(review, differences=[*review.differences, *missing]) if missing else review


def _counted(review: Review, check: str, key: str) -> list[Difference]:
    have = [
        (subject, figure, review.findings[check][subject].basis)
        for subject in review.subjects
        if (figure := review.figure(check, key, subject)) and figure.values and figure.value is not None
    ]
    return [
        difference
        for place, (first, one, basis) in enumerate(have)
        for second, other, others in have[place + 1 :]
        if basis == others and (difference := counts_differ(check, first, one, second, other))
    ]


def paired_values(one: ReviewFigure, other: ReviewFigure) -> list[tuple[float, float]]:
    """What two figures are made of, prompt by prompt, where both are known; empty where they are not of the same."""
    before, after = one.values or [], other.values or []
    if len(before) != len(after):
        return []
    return [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]


def counts_differ(
    check: str, first: Subject, one: ReviewFigure, second: Subject, other: ReviewFigure
) -> Difference | None:
    """How a count of two subjects differs, over the same prompts: by McNemar's exact test; None where there is no
    prompt of which both are known."""
    pairs = paired_values(one, other)
    if not pairs:
        return None
    counts = count_difference([a > 0 for a, _ in pairs], [b > 0 for _, b in pairs])
    return Difference(
        check=check, key=one.key, first=first, second=second, difference=counts.difference,
        within_chance=counts.within_chance, p=counts.p,
    )  # fmt: skip


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
