"""What metrics are: how first tokens, responses with verdicts, how responses begin, or what a check of reviews finds
become a figure of a trial; and those of a run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, cast

from heretic_tui.behaviour import USUAL, Behaviour
from heretic_tui.errors import UsageError
from heretic_tui.figures import MOST_DIGITS, Figure
from heretic_tui.plugins import METRICS, calling, made, method
from heretic_tui.records import Misfit, as_json, read
from heretic_tui.verdict import Verdict as Verdict
from heretic_tui.words import quoted

if TYPE_CHECKING:
    from torch import Tensor

    from heretic_tui.run.review_records import ReviewFigure

M = TypeVar("M")

FIRST_TOKENS: Literal["first tokens"] = "first tokens"
RESPONSES: Literal["responses"] = "responses"
OPENINGS: Literal["openings"] = "openings"
REVIEW: Literal["review"] = "review"


@dataclass(frozen=True)
class Response:
    """What the model said to one prompt, special tokens visible, and the verdict on it.

    Attributes:
        tokens: those that it was made of, up to where the verdict was certain.
        whole: false where it was not decoded to its end, because no further token could change the verdict.
    """

    text: str
    verdict: Verdict
    tokens: int = 0
    whole: bool = True


class FirstTokenMetric(Protocol):
    """A figure of the first response token to good evaluation prompts; smaller is better.

    A class that inherits from this one has all that is not said to be its own.

    Attributes:
        figure: what it is called, and how its values are written; the key is set by what makes the metric. Its own.
    """

    needs: Literal["first tokens"] = FIRST_TOKENS
    figure: Figure

    @abstractmethod
    def take_base(self, base: Tensor) -> None:
        """Keep what a trial is compared with. Its own.

        Args:
            base: log-probabilities of the unedited model, float32 on the CPU, (prompts, vocabulary).
        """
        ...

    @abstractmethod
    def per_prompt(self, rows: Sequence[int], log_probabilities: Tensor) -> Tensor:
        """A value for each of some prompts, (rows,). Its own.

        Args:
            rows: the prompts, by their place in the set.
            log_probabilities: of the edited model, float32 on its device, (rows, vocabulary).
        """
        ...

    def of(self, values: Tensor) -> float:
        """The figure, from the values of all prompts, float64 on the CPU, (prompts,)."""
        return float(values.mean())

    def notes(self) -> Sequence[str]:
        """What the user should know of the base model before the search begins, a sentence each."""
        return ()


class ResponseMetric(Protocol):
    """A figure of the responses to bad evaluation prompts; smaller is better.

    A class that inherits from this one has all that is not said to be its own.

    Attributes:
        figure: what it is called, and how its values are written; the key is set by what makes the metric. Its own.
            Its meaning may hold {judged}, for what the judge looks for, and {length}, for the longest response.
        counts_refused: whether it is the number of responses that are refused. A trial whose other objective needs
            first tokens alone can then be stopped as soon as it is certain to be dominated.
        behaviour: in whose words its notes are; set by what makes the metric.
    """

    needs: Literal["responses"] = RESPONSES
    figure: Figure
    counts_refused: bool = False
    behaviour: Behaviour = USUAL

    def take_base(self, base: Sequence[Response]) -> None:
        """Keep what a trial is compared with: the responses of the unedited model."""

    @abstractmethod
    def of(self, responses: Sequence[Response]) -> float:
        """The figure, from the responses to all prompts, in their order. Its own."""
        ...

    def at_least(self, responses: Sequence[Response | None]) -> float | None:
        """What the figure will be at least, whatever the responses are that are not known yet (None); None where
        nothing is certain."""
        return None

    def notes(self) -> Sequence[str]:
        """What the user should know of the base model before the search begins, a sentence each."""
        return ()


class OpeningMetric(Protocol):
    """A figure of how responses to bad evaluation prompts begin, which is known before they are decoded; smaller is
    better. Trials have none where that tells nothing of the model.

    A class that inherits from this one has all that is not said to be its own.

    Attributes:
        figure: what it is called, and how its values are written; the key is set by what makes the metric. Its own.
    """

    needs: Literal["openings"] = OPENINGS
    figure: Figure

    @abstractmethod
    def of(self, values: Tensor) -> float:
        """The figure, from the probability that the response to each prompt is a refusal, float64 on the CPU,
        (prompts,). Its own."""
        ...


class ReviewMetric(Protocol):
    """A figure that a check of reviews finds (engine/review/checks/); smaller is better. It is measured for each trial
    that is decoded to its end, beside all else, and costs what the check costs. What the check looks at in a review,
    which must not be seen by a search, are the run's own evaluation prompts here.

    A class that inherits from this one has all that is not said to be its own.

    Attributes:
        figure: what it is called, and how its values are written; the key is set by what makes the metric. Its own.
        check: the name of the check. Its own.
    """

    needs: Literal["review"] = REVIEW
    figure: Figure
    check: str

    @abstractmethod
    def of(self, found: Mapping[str, ReviewFigure]) -> float:
        """The figure, from those that the check found, by key. Its own."""
        ...


@dataclass(frozen=True)
class Metrics:
    """The metrics of a run by key.

    Attributes:
        figures: what they are called, the two objectives first.
    """

    first_tokens: Mapping[str, FirstTokenMetric]
    responses: Mapping[str, ResponseMetric]
    openings: Mapping[str, OpeningMetric]
    figures: tuple[Figure, ...]
    review: Mapping[str, ReviewMetric] = field(default_factory=dict)

    @property
    def stopping(self) -> tuple[str, str] | None:
        """Where a trial can be stopped early, the keys of the objective that is known first, and of the count of
        refused responses that is certain step by step; None for other objectives: trials are measured in full."""
        first, second = (figure.key for figure in self.figures[:2])
        for known, counted in ((first, second), (second, first)):
            if known in self.first_tokens and counted in self.responses and self.responses[counted].counts_refused:
                return known, counted
        return None

    def words(self, needs: str) -> str:
        """The names of those that need first tokens, responses, openings or a check of reviews: a stage of the
        measurement is called so. By the objectives where one is among them."""
        kinds = {
            FIRST_TOKENS: self.first_tokens,
            RESPONSES: self.responses,
            OPENINGS: self.openings,
            REVIEW: self.review,
        }[needs]
        names = {figure.name: place < 2 for place, figure in enumerate(self.figures) if figure.key in kinds}
        return ", ".join([name for name, objective in names.items() if objective] or names)

    def notes(self) -> list[str]:
        """What the user should know of the base model before the search begins."""
        found: list[str] = []
        for metrics in (self.first_tokens, self.responses):
            for key, metric in metrics.items():
                with calling(METRICS, key):
                    found += metric.notes()
        return found


def metrics_named(keys: Sequence[str], judged: str, length: int, behaviour: Behaviour = USUAL) -> Metrics:
    """The metrics with these keys, none of which has seen the base model yet.

    Args:
        keys: the two objectives first.
        judged: what the judge looks for in a response, such as "contain a refusal marker".
        length: tokens of a response at most.
        behaviour: in whose words figures are told.

    Raises:
        UsageError: for a metric that is not there, or is none.
    """
    first_tokens: dict[str, FirstTokenMetric] = {}
    responses: dict[str, ResponseMetric] = {}
    openings: dict[str, OpeningMetric] = {}
    review: dict[str, ReviewMetric] = {}
    figures = []
    for key in dict.fromkeys(keys):
        needs = getattr(method(METRICS, key), "needs", None)
        metric: FirstTokenMetric | ResponseMetric | OpeningMetric | ReviewMetric
        if needs == FIRST_TOKENS:
            metric = first_tokens[key] = _made(
                cast(type[FirstTokenMetric], method(METRICS, key, FirstTokenMetric)), key
            )
        elif needs == RESPONSES:
            metric = responses[key] = _made(cast(type[ResponseMetric], method(METRICS, key, ResponseMetric)), key)
            metric.behaviour = behaviour
        elif needs == OPENINGS:
            metric = openings[key] = _made(cast(type[OpeningMetric], method(METRICS, key, OpeningMetric)), key)
        elif needs == REVIEW:
            metric = review[key] = _made(cast(type[ReviewMetric], method(METRICS, key, ReviewMetric)), key)
        else:
            raise UsageError(
                f"the METHOD of the metric {quoted(key)} does not say whether it needs first tokens or responses: "
                f"give it a line needs = {FIRST_TOKENS!r} or {RESPONSES!r}"
            )
        _check_figure(metric.figure, key)
        counting = key in responses and responses[key].counts_refused
        if counting and getattr(type(metric), "at_least", None) is ResponseMetric.at_least:
            raise UsageError(
                f"the METHOD of the metric {quoted(key)} counts refused responses, and lacks 'at_least', by which "
                "trials are stopped early: add it"
            )
        figure = behaviour.figure(replace(metric.figure, key=key))
        meaning = figure.meaning.replace("{judged}", judged).replace("{length}", str(length))
        figures.append(replace(figure, meaning=meaning))
    return Metrics(first_tokens, responses, openings, tuple(figures), review)


def _made(cls: type[M], key: str) -> M:
    lacking: Collection[str] = getattr(cls, "__abstractmethods__", ())
    if lacking:
        raise UsageError(
            f"the METHOD of the metric {quoted(key)} lacks {min(lacking)!r}, which is its own to say: add it"
        )
    return made(cls, METRICS, key)


def _check_figure(figure: object, key: str) -> None:
    """
    Raises:
        UsageError: for what is no figure, or could not be read back from a run's journal.
    """
    problem = ""
    if not isinstance(figure, Figure):
        problem = f"a {type(figure).__name__}: give it a line figure = Figure(…)"
    else:
        try:
            read(Figure, as_json(figure))
        except Misfit as misfit:
            problem = f"one that cannot be: {misfit}"
        else:
            if not (figure.name.strip() and figure.short.strip()):
                problem = "one without a name or a short name"
            elif not 0 <= figure.digits <= MOST_DIGITS:
                problem = f"one of {figure.digits} digits, of at most {MOST_DIGITS}"
    if problem:
        raise UsageError(f"the figure of the metric {quoted(key)} is {problem}")
