"""What goes to a worker that measures trials, and what comes back: plain values that can be sent to another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from heretic_tui.commands import Answering
from heretic_tui.engine.measuring.job import Job, Part
from heretic_tui.engine.measuring.odds import Odds
from heretic_tui.engine.memory import is_out_of_memory
from heretic_tui.engine.metrics.base import Response
from heretic_tui.errors import HereticError, one_line
from heretic_tui.events import Event
from heretic_tui.parameters import Parameters

# A worker loads its model, then measures. One that refuses is not started again; one that has failed is.
LOADING, READY, REFUSES, FAILED = "loading", "ready", "refuses", "failed"


@dataclass(frozen=True)
class Order:
    """A job as a worker is told of it. Edits are made there, of the parameters.

    Attributes:
        key: by which what is found is told.
    """

    key: int
    number: int | None
    parameters: Parameters | None
    compared: bool
    stopping: tuple[str, str] | None
    front: Sequence[tuple[float, int]]
    odds: Odds | None
    known: Mapping[str, float]
    part: Part | None
    seen: Mapping[str, list[float]]

    @classmethod
    def of(cls, key: int, job: Job) -> Order:
        return cls(
            key,
            job.number,
            job.parameters,
            job.compared,
            job.stopping,
            job.front,
            job.odds,
            job.known,
            job.part,
            job.seen,
        )

    def apply(self, job: Job) -> None:
        """Give what was ordered to a job that a worker has made of the parameters."""
        job.compared, job.stopping, job.front = self.compared, self.stopping, self.front
        job.odds, job.known, job.part, job.seen = self.odds, self.known, self.part, dict(self.seen)


@dataclass(frozen=True)
class Found:
    """What became of a job.

    Attributes:
        estimate: expected refusals, of one that was stopped.
        error: why it failed.
        out_of_memory: whether that was for a lack of memory, so that another worker may do better.
    """

    key: int
    figures: Mapping[str, float]
    per_prompt: Mapping[str, list[float]]
    seen: Mapping[str, list[float]]
    responses: Sequence[Response | None]
    stages: Mapping[str, float]
    dominated: bool
    estimate: float | None = None
    error: str | None = None
    out_of_memory: bool = False

    @classmethod
    def of(cls, key: int, job: Job) -> Found:
        return cls(
            key,
            job.figures,
            job.per_prompt,
            job.seen,
            job.responses,
            job.stages,
            job.dominated,
            job.estimate() if job.dominated else None,
            one_line(job.error) if job.error else None,
            job.error is not None and is_out_of_memory(job.error),
        )

    def apply(self, job: Job) -> None:
        """Give what was found to the job as the session knows it."""
        job.figures, job.per_prompt, job.seen = dict(self.figures), dict(self.per_prompt), dict(self.seen)
        job.responses, job.dominated, job.estimated = list(self.responses), self.dominated, self.estimate
        for stage, seconds in self.stages.items():
            job.add(stage, seconds)
        job.error = HereticError(self.error) if self.error else None


@dataclass(frozen=True)
class Question:
    """What a model is asked to say beside the trials (engine/session/answers.py), as a worker is told of it.

    Attributes:
        key: by which what it says is told.
        trials: the parameters of those that it names.
        files: what the run folder holds of them and the answer goes on from, by their paths there.
    """

    key: int
    asked: Answering
    trials: Mapping[int, Parameters] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """A part of an answer.

    Attributes:
        files: what the run folder is to hold before that is told.
    """

    key: int
    event: Event
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Orders:
    """What a worker is told at once.

    Attributes:
        given_up: keys of those that nobody waits for any more.
        paused: whether no trial is to be measured; questions are answered all the same.
        withdrawn: keys of questions that nobody asks any more.
    """

    jobs: Sequence[Order] = ()
    given_up: Sequence[int] = ()
    paused: bool = False
    questions: Sequence[Question] = ()
    withdrawn: Sequence[int] = ()


@dataclass(frozen=True)
class News:
    """What a worker tells at once.

    Attributes:
        state: loading, ready, refuses or failed, the latter two with the reason.
        pid: of its process.
        events: what it tells of its work.
        lines: of its log.
        steps: checkpoints that its work has come to: while jobs are in hand it goes on rising.
        tokens: that have gone through its model.
        used, total: bytes of memory.
        load: percent of what its GPU, or its share of the processors, can do; None where that is not known.
        temperature: of its GPU, in degrees Celsius; None where there is none.
        said: parts of answers.
        answered: keys of questions of which nothing more comes.
    """

    state: str = LOADING
    reason: str = ""
    host: str = ""
    pid: int = 0
    device: str = ""
    found: Sequence[Found] = ()
    events: Sequence[Event] = ()
    lines: Sequence[str] = ()
    steps: int = 0
    tokens: int = 0
    used: int = 0
    total: int = 0
    load: float | None = None
    temperature: float | None = None
    said: Sequence[Said] = ()
    answered: Sequence[int] = ()
