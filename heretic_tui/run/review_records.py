"""What a review finds, as plain records: figures with intervals, findings of a check, differences beyond chance or
within it, and the answers that they rest on with all that is said of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from heretic_tui.errors import HereticError
from heretic_tui.run.annotations import Annotations, Ruling, digest
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
class Models:
    """Two models that are compared without a run, by folder or Hub id. The edited one is the subject `EDITED`.

    Attributes:
        settings: as plain JSON.
        whole: digest of all that the review was made of and of its findings, where nothing is left to do.
    """

    base: str
    edited: str
    settings: dict[str, object] = field(default_factory=dict)
    whole: str | None = None


# By this number goes a model that somebody else edited: it is no trial.
EDITED = 1
