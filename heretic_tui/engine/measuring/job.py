"""Measuring trials: KL divergence and refusals of one edit, or of several whose prompts share a batch.

There are two ways to do it that give the same figures. `FastPool` computes nothing twice (prefill.py), decodes the
prompts of several trials in one batch with a cache of its own, and is checked against the model when it is made.
`PlainPool` takes one trial at a time through the model's own cache; it is for architectures with which the check fails.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.measuring.early_stop import EarlyStop
from heretic_tui.engine.measuring.odds import Odds, refusals_to_lose
from heretic_tui.engine.metrics.base import Response
from heretic_tui.engine.metrics.judges.markers import Judge
from heretic_tui.engine.metrics.kl_divergence import KLDivergence
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.errors import HereticError
from heretic_tui.events import Measured
from heretic_tui.work import Work


@dataclass(eq=False)
class Job:
    """One edit to measure, and what is known of it.

    Attributes:
        number: of the trial; None for an edit that is no trial.
        edits: by the writer's name; none for the base model.
        first_edited: lowest layer that an edit changes; the number of layers where none does.
        compared: whether the KL divergence from the base model is measured too.
        front: KL divergence and refusals of trials that the search has found; a job that is certain to be dominated by
            one of them stops. Empty: it is measured in full, whatever comes out.
        odds: what earlier trials tell, None where nothing is known.
        kl_divergence: None until it is measured.
        responses: one for each bad evaluation prompt; None while its verdict is not certain.
        begun: tokens that each undecided prompt has got so far.
        stages: seconds by stage.
        dominated: stopped for good; responses are then those that count (engine/early_stop.py).
        error: why it failed.
    """

    number: int | None
    edits: Mapping[str, Edit]
    first_edited: int
    compared: bool = True
    front: Sequence[tuple[float, int]] = ()
    odds: Odds | None = None
    kl_divergence: float | None = None
    responses: list[Response | None] = field(default_factory=list)
    begun: dict[int, int] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    dominated: bool = False
    error: Exception | None = None
    _stop: EarlyStop | None = None

    @property
    def refusals(self) -> int:
        """Prompts that are certain to be refused."""
        return sum(response is not None and response.verdict.refused for response in self.responses)

    @property
    def ended(self) -> bool:
        return self.dominated or self.error is not None or (bool(self.responses) and None not in self.responses)

    def estimate(self) -> float:
        """Expected refusals of a job that was stopped."""
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

    def found_kl(self, value: float) -> None:
        """Take in the KL divergence."""
        if not math.isfinite(value):
            self.error = HereticError(
                f"the {KLDivergence.name} is not a number: the edited model's logits are not finite"
            )
            return
        self.kl_divergence = value
        if (limit := refusals_to_lose(self.front, value)) is not None:
            self._stop = EarlyStop(self.odds, value, limit, len(self.responses))
            self.look()

    def found(self, row: int, response: Response) -> None:
        """Take in a verdict."""
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


class Pool(Protocol):
    """Takes jobs in, measures them, and gives them back when they have ended."""

    def start(self, job: Job) -> None:
        """Take a job in, and measure its KL divergence. What goes wrong ends up in the job's `error`."""
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

    def good_logits(self, job: Job) -> Iterator[tuple[Sequence[int], Tensor]]:
        """First-token logits of the good evaluation prompts under a job's edits: rows, and (rows, vocabulary)."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """What jobs are measured on.

    Attributes:
        good, bad: tokens of the evaluation prompts.
        length: tokens of a response at most.
    """

    good: Sequence[Tokens]
    bad: Sequence[Tokens]
    length: int
    kl: KLDivergence
    judge: Judge

    def response(self, model: ChatModel, tokens: Tokens, whole: bool) -> Response:
        text = model.decode(tokens)
        return Response(text, self.judge.verdict(text), len(tokens), whole)


def measure_kl(pool: Pool, job: Job, evaluation: Evaluation, work: Work) -> None:
    """Measure a job's KL divergence from the base model, where that is known, and tell it."""
    if not job.compared:
        return
    with timed(job, KLDivergence.name, work):
        job.found_kl(evaluation.kl.of(pool.good_logits(job)))
    if job.number is not None and job.kl_divergence is not None:
        work.tell(Measured(number=job.number, metric=KLDivergence.name, value=job.kl_divergence))


@contextmanager
def timed(job: Job, stage: str, work: Work) -> Iterator[None]:
    start = work.clock()
    try:
        yield
    finally:
        job.add(stage, work.clock() - start)
