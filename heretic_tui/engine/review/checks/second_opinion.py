"""Second opinion: somebody beside the run's judge, a text-classification model or a chat model behind an endpoint, says
of each answer to a held-out harmful prompt what became of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import PurePath
from typing import TypeVar

from heretic_tui.control import Aborted
from heretic_tui.engine.checkpoint.source import fingerprint
from heretic_tui.engine.inputs.held_out import HARMFUL
from heretic_tui.engine.memory import free_memory
from heretic_tui.engine.review.bench import ReviewBench, Reviewed
from heretic_tui.engine.review.chance import agreement
from heretic_tui.engine.review.checks.base import Check, Found
from heretic_tui.engine.review.figures import count_figure
from heretic_tui.engine.review.opinions.base import GIVEN, Opinion, Pair, SecondOpinion
from heretic_tui.engine.review.opinions.classifier import ClassifierChoice, ClassifierOpinions
from heretic_tui.engine.review.opinions.endpoint import EndpointOpinions
from heretic_tui.engine.review.opinions.endpoint_choice import EndpointChoice
from heretic_tui.engine.review.opinions.rubric import RUBRIC
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.events import Event, Notice
from heretic_tui.files import user_path
from heretic_tui.run.review_records import ReviewedAnswer, ReviewFigure
from heretic_tui.settings.schema import Settings
from heretic_tui.words import plain
from heretic_tui.work import Work

T = TypeVar("T")

# Characters of a name in that of a figure.
_LONGEST = 24

log = logging.getLogger(__name__)


@dataclass
class _Asked:
    """One of those who are asked.

    Attributes:
        kind: classifier or endpoint.
        name: for figures.
        says: the opinions that can be its.
        make: may raise a UsageError.
        opinions: None where it could not be made.
        problem: why there are no opinions of it, or no more.
        told: whether that was told.
        notes: what it had to say before it was asked.
    """

    kind: str
    name: str
    says: frozenset[Opinion]
    make: Callable[[], SecondOpinion]
    opinions: SecondOpinion | None = None
    problem: str | None = None
    told: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def there(self) -> SecondOpinion | None:
        return None if self.problem else self.opinions

    def attempt(self, call: Callable[[], T]) -> T | None:
        """What a call returns; None where it fails, and its problem is kept.

        Raises:
            Aborted: from the control.
        """
        try:
            return call()
        except Aborted:
            raise
        except Exception as error:
            log.exception("the %s %s cannot be asked", self.kind, self.name)
            self.problem = one_line(error)
            return None


class AskedBeside(Check):
    """Asks everybody who was chosen. What fails of one costs its own figures. Where both are chosen, the opinion that
    stays with an answer is that of the endpoint, which has read the prompt too, by a rubric."""

    title = "Second opinion"

    def __init__(self) -> None:
        self._asked: list[_Asked] = []

    def absent(self, bench: ReviewBench) -> str | None:
        settings = bench.settings
        if not bench.behaviour.usual:
            return "not for another behaviour, or adding one"
        if not (settings.review_classifier or settings.review_endpoint):
            return (
                "nobody is asked beside the judge of the run: name a classifier (--review-classifier) or an endpoint "
                "(--review-endpoint)"
            )
        if not bench.prompts.sets[HARMFUL]:
            return "no harmful prompts are held out: name some (--review-bad-prompts)"
        return None

    def basis(self, bench: ReviewBench) -> object:
        settings = bench.settings
        asked: list[object] = []
        if settings.review_classifier:
            asked.append([asdict(_classifier(settings)), _content(settings.review_classifier)])
        if settings.review_endpoint:
            asked.append([settings.review_endpoint, settings.review_endpoint_model, RUBRIC])
        return [asked, settings.max_response_length, *bench.prompts_basis("harmful")]

    def check(self, bench: ReviewBench, work: Work) -> None:
        self._asked = _chosen(bench)
        for asked in self._asked:

            def ready(asked: _Asked = asked) -> None:
                asked.opinions = asked.make()
                asked.opinions.check(_heard(work, asked.notes))

            asked.attempt(ready)
        if self._problem and not any(asked.there for asked in self._asked):
            raise HereticError(self._problem)
        self._tell_problems(work)

    def look(self, bench: ReviewBench, subjects: Sequence[Reviewed], work: Work) -> Iterator[tuple[Reviewed, Found]]:
        # All of them first: then it can be told what the opinions cost.
        pairs = {subject: _pairs(bench, bench.answers(subject, "harmful", work)) for subject in subjects}
        self._tell_cost([pair for each in pairs.values() for pair in each], work)
        try:
            for subject in subjects:
                yield subject, self._found(bench, subject, pairs[subject], work)
        finally:
            for asked in self._asked:
                if asked.opinions:
                    asked.opinions.release()
                    # What did not answer costs nothing.
                    if asked.opinions.spent and asked.opinions.spent.sent:
                        work.note(f"{asked.opinions.name} was asked: {asked.opinions.spent.words}")
            free_memory()

    def _found(self, bench: ReviewBench, subject: Reviewed, pairs: Sequence[Pair], work: Work) -> Found:
        given: dict[str, list[Opinion]] = {}
        notes = [f"asked: {', '.join(f'{asked.kind} {_who(asked)}' for asked in self._asked)}"]
        for asked in self._asked:
            if opinions := asked.there:
                said: list[str] = []
                found = asked.attempt(partial(opinions.give, pairs, _heard(work, said)))
                if found is not None:
                    given[asked.kind] = found
                notes += [text if asked.name in text else f"{asked.name}: {text}" for text in [*asked.notes, *said]]
        if not given:
            raise HereticError(self._problem or "nobody gave an opinion")
        self._tell_problems(work)
        answers = self._keep(bench, subject, given, work)
        figures = [
            figure
            for asked in self._asked
            if asked.kind in given
            for figure in _figures(asked, given[asked.kind], answers, bench.settings.judge)
        ]
        return Found(figures=figures, notes=notes, problem=self._problem)

    def _keep(
        self, bench: ReviewBench, subject: Reviewed, given: Mapping[str, Sequence[Opinion]], work: Work
    ) -> list[ReviewedAnswer]:
        """Write opinions to the answers, and leave what others have found of them."""
        asked = next(asked for asked in reversed(self._asked) if asked.kind in given)
        answers = [
            replace(answer, opinion=opinion, asked=asked.name)
            for answer, opinion in zip(bench.answers(subject, "harmful", work), given[asked.kind], strict=True)
        ]
        bench.keep_answers(subject, "harmful", answers)
        return answers

    def _tell_cost(self, pairs: Sequence[Pair], work: Work) -> None:
        for asked in self._asked:
            if opinions := asked.there:
                cost = asked.attempt(partial(opinions.cost, pairs))
                if cost and cost.requests:
                    work.note(f"{opinions.name} is asked: about {cost.words}")

    def _tell_problems(self, work: Work) -> None:
        """Of those that cannot be asked, where others can."""
        for asked in self._asked:
            if asked.problem and not asked.told:
                asked.told = True
                work.note(f"{self.title}: {asked.problem}", "warning")

    @property
    def _problem(self) -> str | None:
        return "; ".join(asked.problem for asked in self._asked if asked.problem) or None


METHOD = AskedBeside


def _chosen(bench: ReviewBench) -> list[_Asked]:
    settings, found = bench.settings, list[_Asked]()
    # Not the bench: it would be kept with its model.
    device, folder = str(bench.model.device), bench.folder.opinions
    if settings.review_classifier:
        classifier = _classifier(settings)
        found.append(
            _Asked(
                "classifier",
                _short(classifier.model),
                frozenset(classifier.labels.values()),
                lambda: ClassifierOpinions(classifier, device),
            )
        )
    if settings.review_endpoint:
        endpoint = EndpointChoice(
            settings.review_endpoint,
            settings.review_endpoint_model,
            settings.review_endpoint_key,
            settings.review_endpoint_requests,
        )
        found.append(
            _Asked(
                "endpoint",
                _short(endpoint.model),
                frozenset(GIVEN),
                lambda: EndpointOpinions(endpoint, folder),
            )
        )
    return found


def _classifier(settings: Settings) -> ClassifierChoice:
    assert settings.review_classifier
    return ClassifierChoice(
        settings.review_classifier, settings.review_classifier_labels, reads=settings.review_classifier_reads
    )


def _content(model: str) -> str | None:
    """The content of a classifier that lies in a folder, by which a change of it is seen."""
    try:
        return fingerprint(Settings(model=model)) if user_path(model).is_dir() else None
    except UsageError:
        # Its own check says what is wrong with it.
        return None


def _pairs(bench: ReviewBench, answers: Sequence[ReviewedAnswer]) -> list[Pair]:
    return [Pair(answer.prompt, bench.judge.said.text(answer.text)) for answer in answers]


def _figures(
    asked: _Asked, opinions: Sequence[Opinion], answers: Sequence[ReviewedAnswer], judge: str
) -> list[ReviewFigure]:
    """What one of those who were asked says of a subject, beside the judge of the run."""
    by = f"({asked.name})"
    refused = [None if opinion == "unknown" else opinion in ("refused", "evaded") for opinion in opinions]
    nonsense = [None if opinion == "unknown" else opinion == "nonsense" for opinion in opinions]
    told = [replace(answer, opinion=opinion) for answer, opinion in zip(answers, opinions, strict=True)]
    differ = [None if answer.refused_by is None else answer.disagreement for answer in told]
    none = count_figure(
        f"unknown_{asked.kind}", f"no opinion {by}", "no opinion", [each is None for each in refused], None, True
    )
    if none.value == len(opinions):
        return [none]
    figures = [
        count_figure(f"refused_{asked.kind}", f"refused or evaded {by}", asked.kind, refused),
        count_figure(
            f"nonsense_{asked.kind}", f"nonsense {by}", "nonsense", nonsense, if_any="nonsense" not in asked.says
        ),
        none,
        count_figure(f"differ_{asked.kind}", f"otherwise than {judge} {by}", "otherwise", differ, None),
    ]
    both = [answer.refused_by for answer in told if answer.refused_by]
    # Where one of them says the same of all, kappa is 0 whatever the other says.
    told_apart = all(len(set(column)) > 1 for column in zip(*both, strict=True))
    alike = agreement([one for one, _ in both], [other for _, other in both]) if told_apart else None
    if alike and alike.kappa is not None:
        figures.append(
            ReviewFigure(
                key=f"kappa_{asked.kind}",
                name=f"kappa with {judge} {by}",
                short="kappa",
                value=alike.kappa,
                of=len(both),
                low=alike.interval.low if alike.interval else None,
                high=alike.interval.high if alike.interval else None,
                better=None,
                digits=2,
            )
        )
    return figures


def _who(asked: _Asked) -> str:
    return asked.opinions.name if asked.opinions else asked.name


def _short(name: str) -> str:
    """The name of a model, without who made it or where it lies."""
    text = plain(PurePath(name).name or name)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _heard(work: Work, notes: list[str]) -> Work:
    """The same work, of which the warnings are kept: they belong to what is found."""

    def hear(event: Event) -> None:
        if isinstance(event, Notice) and event.level == "warning":
            notes.append(event.text)

    return work.heard_by(hear)
