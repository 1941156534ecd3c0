"""Measuring trials: the figures of one edit, or of several whose prompts share a batch.

There are three ways to do it that give the same figures. `FastPool` computes nothing twice (prefill.py), decodes the
prompts of several trials in one batch with a cache of its own, and is checked against the model when it is made.
`PlainPool` takes one trial at a time through the model's own cache; it is for architectures with which the check fails.
`ClusterPool` hands trials to workers, each of which has a model and one of the other two.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from heretic_tui.control import Aborted
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.checked import (
    certain_at_least,
    of_responses,
)
from heretic_tui.engine.measuring.early_stop import EarlyStop
from heretic_tui.engine.measuring.extra_lines import Lines
from heretic_tui.engine.measuring.odds import Odds, refusals_to_lose
from heretic_tui.engine.measuring.run_judge import RunJudge
from heretic_tui.engine.metrics.base import FIRST_TOKENS, OPENINGS, RESPONSES, Metrics, Response
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.errors import HereticError
from heretic_tui.parameters import Parameters
from heretic_tui.words import quoted
from heretic_tui.work import Work

log = logging.getLogger(__name__)

# The sets of evaluation prompts.
SetName = Literal["good", "bad"]


@dataclass(frozen=True)
class Part:
    """Some prompts of both sets, by their places."""

    good: Sequence[int]
    bad: Sequence[int]


@dataclass(eq=False)
class Job:
    """One edit to measure, and what is known of it.

    Attributes:
        number: of the trial; None for an edit that is no trial.
        edits: by the writer's name; none for the base model, and where a worker makes them of the parameters.
        first_edited: lowest layer that an edit changes; the number of layers where none does.
        parameters: what the edits are made of; None for the base model.
        compared: whether the figures of first tokens are measured too.
        stopping: the keys of the two objectives, where it can be stopped early (metrics/base.py: Metrics.stopping).
        front: those two figures of trials that the search has found; a job that is certain to be dominated by one of
            them stops. Empty: it is measured in full, whatever comes out.
        odds: what earlier trials tell, None where nothing is known.
        known: figures that need no verdicts and were measured before: those of first tokens all or none.
        openings: what tells by how responses begin whether they are refusals; None where that is not wanted or known.
        part: the prompts that it is looked at on, where nothing is to be decoded.
        seen: what was found of these, and of parts before: figures without verdicts by prompt, by key, in the order of
            the parts.
        figures: those of first tokens by key, once they are measured.
        per_prompt: figures that need no verdicts by prompt, by key, once they are measured.
        responses: one for each bad evaluation prompt; None while its verdict is not certain. Empty where no figure
            needs them.
        begun: tokens that each undecided prompt has got so far.
        stages: seconds by stage.
        dominated: stopped for good; responses are then those that count (early_stop.py).
        estimated: expected refusals of a job that a worker has stopped.
        given_up: whether it is not wanted any more; it ends at the next step then, as it is.
        residuals: takes those at the last tokens of prompts, by the name of the set and rows, where they are wanted. (A
            pool that cannot tell them does not.)
        started: whether a pool took it in, and looked at first tokens.
        error: why it failed.
    """

    number: int | None
    edits: Mapping[str, Edit]
    first_edited: int
    parameters: Parameters | None = None
    compared: bool = True
    stopping: tuple[str, str] | None = None
    front: Sequence[tuple[float, int]] = ()
    odds: Odds | None = None
    known: Mapping[str, float] = field(default_factory=dict)
    openings: RefusalsExpected | None = None
    part: Part | None = None
    seen: dict[str, list[float]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    per_prompt: dict[str, list[float]] = field(default_factory=dict)
    responses: list[Response | None] = field(default_factory=list)
    begun: dict[int, int] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    dominated: bool = False
    estimated: float | None = None
    given_up: Callable[[], bool] = lambda: False
    residuals: Callable[[str, Sequence[int], Tensor], None] | None = None
    started: bool = False
    error: Exception | None = None
    _stop: EarlyStop | None = None

    @property
    def refusals(self) -> int:
        """Prompts that are certain to be refused."""
        return sum(response is not None and response.verdict.refused for response in self.responses)

    @property
    def judged(self) -> int:
        """Responses whose verdict is certain."""
        return sum(response is not None for response in self.responses)

    @property
    def ended(self) -> bool:
        if self.part:
            return bool(self.seen) or self.error is not None or self.given_up()
        whole = self.started and None not in self.responses
        return self.dominated or self.error is not None or whole or self.given_up()

    @property
    def whole(self) -> bool:
        """Whether a job that has ended was measured in full."""
        return self.error is None and not (self.part or self.dominated or self.given_up())

    def estimate(self) -> float:
        """Expected refusals of a job that was stopped."""
        if self.estimated is not None:
            return self.estimated
        return self._stop.estimate() if self._stop else float(self.refusals)

    def to_begin(self, waiting: Sequence[int]) -> list[int]:
        """Those of the prompts that wait which have to be decoded by now; all of them where the job cannot lose."""
        if self._stop is None:
            return list(waiting)
        still = set(waiting)
        return [row for row in self._stop.begun if row in still]

    def likely(self, waiting: Sequence[int]) -> list[int]:
        """Those that have to be decoded, and further ones that probably will have to be."""
        rows = self.to_begin(waiting)
        if self._stop:
            others = [row for row in waiting if row not in rows]
            rows += others[: self._stop.likely(self.responses, waiting) - len(rows)]
        return rows

    def wanted(self, row: int) -> float:
        """Tokens of a prompt that can still matter, at most."""
        return self._stop.wanted(row) if self._stop else math.inf

    def order(self) -> list[int]:
        """Rows in the order in which they are best decoded."""
        return list(self.odds.order) if self.odds else list(range(len(self.responses)))

    def found_first_tokens(self, figures: Mapping[str, float]) -> None:
        """Add the figures of first tokens."""
        self.figures.update(figures)
        if self.stopping is None:
            return
        value = self.figures[self.stopping[0]]
        if (limit := refusals_to_lose(self.front, value)) is not None:
            self._stop = EarlyStop(self.odds, value, limit, len(self.responses))
            self.look()

    def found(self, row: int, response: Response) -> None:
        """Add a verdict."""
        if not self.dominated:
            self.responses[row] = response
            self.begun.pop(row, None)
            self.look()

    def look(self) -> bool:
        """See how far the job has come. Returns whether further prompts have to be decoded now."""
        if self._stop is None or self.dominated:
            return False
        more = self._stop.follow(self.responses, self.begun)
        if self._stop.lost:
            self.dominated = True
            counts = self._stop.counts
            self.responses = [r if counts(row) else None for row, r in enumerate(self.responses)]
        return more

    def add(self, stage: str, seconds: float) -> None:
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds


@dataclass(frozen=True, eq=False)
class Forced:
    """Bad evaluation prompts with a beginning of a response that is given and not chosen.

    Attributes:
        rows: tokens of prompt and beginning, for each bad evaluation prompt.
        positions: how many of the last positions are looked at. What a row has of them before the last token of its
            prompt is not to be looked at.
    """

    rows: Sequence[Tokens]
    positions: int


class RefusalsExpected(Protocol):
    """Tells by how responses begin whether they are refusals (openings.py)."""

    def per_prompt(self, pool: Pool, job: Job, rows: Sequence[int]) -> Tensor:
        """The probability that each response is one, float64 on the CPU, (rows,)."""
        ...


class JobPool(Protocol):
    """Takes jobs in, measures them, and gives them back when they have ended."""

    def start(self, job: Job) -> None:
        """Take a job in, and measure its figures of first tokens, or look at its part of the prompts. What goes wrong
        ends up in the job's `error`."""
        ...

    def advance(self) -> Job:
        """Work until a job has ended, and give it back.

        Raises:
            Aborted: from the control, between batches and tokens.
        """
        ...

    def cancel(self) -> list[Job]:
        """Drop all jobs in hand. Returns them."""
        ...


class Pool(JobPool, Lines, Protocol):
    """One with a model in this process. Between two of its steps other lines can join its batch (extra_lines.py)."""

    def work_on(self, more: Callable[[], bool]) -> Job | None:
        """As `advance`; None as soon as there are further jobs to take in and none has ended. (A pool that measures one
        job at a time does not look.)"""
        ...

    def first_logits(self, job: Job, name: SetName, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Tensor]]:
        """First-token logits of some evaluation prompts under a job's edits, which need not be in hand: rows, and
        (rows, vocabulary).

        Raises:
            Aborted: from the control, between batches.
        """
        ...

    def forced_logits(self, job: Job, forced: Forced, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Tensor]]:
        """Logits of what would come in place of given tokens, under the edits of a job that need not be in hand: rows,
        and (rows, positions, vocabulary).

        Raises:
            Aborted: from the control, between batches.
        """
        ...


@dataclass(frozen=True)
class Evaluation:
    """What jobs are measured on.

    Attributes:
        good, bad: tokens of the evaluation prompts.
        length: tokens of a response at most.
        asked: the texts of the bad evaluation prompts; empty where nobody knows them.
    """

    good: Sequence[Tokens]
    bad: Sequence[Tokens]
    length: int
    metrics: Metrics
    judge: RunJudge
    asked: Sequence[str] = ()

    def prompts(self, name: SetName) -> Sequence[Tokens]:
        return self.good if name == "good" else self.bad

    def response(self, model: ChatModel, row: int, tokens: Tokens, whole: bool) -> Response:
        """A response to a bad evaluation prompt that is decoded no further.

        Args:
            whole: false where its verdict was certain before its end.
        """
        text, ended = model.decode(tokens), whole and len(tokens) < self.length
        asked = self.asked[row] if self.asked else ""
        return Response(text, self.judge.verdict(text, ended, asked), len(tokens), whole)

    def certain(self, model: ChatModel, tokens: Tokens) -> bool:
        """Whether the beginning of a response settles the verdict."""
        return self.judge.certain(model.decode(tokens))

    def no_responses(self) -> list[Response | None]:
        """The responses of a job that begins: empty where no figure needs them, and nothing is decoded."""
        return [None] * len(self.bad) if self.metrics.responses else []

    @property
    def first_tokens_stage(self) -> str:
        """What the stage is called in which first tokens are looked at."""
        return self.metrics.words(FIRST_TOKENS)

    @property
    def openings_stage(self) -> str:
        """What the stage is called in which it is looked at how responses begin."""
        return self.metrics.words(OPENINGS)

    @property
    def responses_stage(self) -> str:
        """What the stage is called in which responses are decoded."""
        return self.metrics.words(RESPONSES)

    def figures(self, job: Job) -> dict[str, float]:
        """The figures of a job that has ended, those that were measured in full, in the order of the metrics."""
        found = dict(job.figures)
        if None not in job.responses:
            responses = [response for response in job.responses if response]
            found |= of_responses(self.metrics, responses)
        return self._in_order(found)

    def at_least(self, job: Job) -> dict[str, float]:
        """What is certain of the figures that need responses, of a job that was stopped.

        Raises:
            HereticError: where a metric fails, or does not say what is certain of the objective that stopped the job.
        """
        found = certain_at_least(self.metrics, job.responses)
        if job.dominated and job.stopping and job.stopping[1] not in found:
            raise HereticError(
                f"the metric {quoted(job.stopping[1])} counts refused responses, and its at_least gave nothing: mend it"
            )
        return found

    def _in_order(self, found: Mapping[str, float]) -> dict[str, float]:
        return {figure.key: found[figure.key] for figure in self.metrics.figures if figure.key in found}


@contextmanager
def failures_of(job: Job) -> Iterator[None]:
    """Within the block, whatever goes wrong with one job ends up in its `error`, and the others go on.

    Raises:
        Aborted: from the control.
    """
    try:
        yield
    except Aborted:
        raise
    except Exception as error:
        log.debug("a job failed", exc_info=True)
        job.error = error


@contextmanager
def timed(job: Job, stage: str, work: Work) -> Iterator[None]:
    start = work.clock()
    try:
        yield
    finally:
        job.add(stage, work.clock() - start)
