"""A worker, as a pool of them sees it: what it was given, what it has told, and what people are told about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.orders import LOADING, News, Order, Orders, Question
from heretic_tui.errors import HereticError
from heretic_tui.events import AT_WORK, Event, Judged, WorkerChanged

# Seconds between two events about a worker of which only the load has changed.
_EVERY = 5.0
_LOADS = ("waits", "measuring")


class WorkerLost(HereticError):
    """A worker has died, or cannot be reached."""


class Worker(Protocol):
    """A worker, as the pool sees it.

    Attributes:
        name: what people call it.
    """

    name: str

    def start(self) -> None:
        """Start it, or start it again. It loads its model then."""
        ...

    def exchange(self, orders: Orders) -> bool:
        """Tell it something. Returns false where it has not answered what it was told before yet: it is to be told
        later then."""
        ...

    def news(self) -> News | None:
        """What it answers; None where it has not answered yet.

        Raises:
            WorkerLost: where it never will.
        """
        ...

    def stop(self) -> None:
        """End it, whatever it does."""
        ...


@dataclass(eq=False)
class Answer:
    """What a worker says to a question, as far as it has come.

    Attributes:
        tell: takes each part.
        keep: takes what the run folder is to hold before.
        ended: whether nothing more comes.
        told_end: whether that was told.
        error: why nothing more comes, where that is not its end.
    """

    tell: Callable[[Event], None]
    keep: Callable[[Mapping[str, bytes]], None]
    ended: bool = False
    told_end: bool = False
    error: HereticError | None = None


@dataclass(eq=False)
class Member:
    """A worker, and what it was given.

    Attributes:
        losses: in a row.
        left_out: why it is used no more.
        heard: whether it has answered since it was started.
        waits_for_room: whether it was told that it has not.
        silent, stuck: seconds that were waited for an answer, and for a step of its work.
        judged: how far its trials are.
        questions, withdrawn: that it is told of next.
        answers: to the questions that it was given.
    """

    worker: Worker
    jobs: dict[int, Job] = field(default_factory=dict)
    orders: list[Order] = field(default_factory=list)
    given_up: list[int] = field(default_factory=list)
    latest: News = field(default_factory=News)
    losses: int = 0
    done: int = 0
    left_out: str | None = None
    heard: bool = False
    waits_for_room: bool = False
    silent: float = 0.0
    stuck: float = 0.0
    judged: Sequence[Judged] = ()
    questions: list[Question] = field(default_factory=list)
    withdrawn: list[int] = field(default_factory=list)
    answers: dict[int, Answer] = field(default_factory=dict)
    # Tokens a second; when they were counted last, and how many they were; the latest event, and when that was.
    _rate: float = 0.0
    _tokens_at: tuple[float, int] = (0.0, 0)
    _told: WorkerChanged | None = None
    _told_at: float = 0.0

    @property
    def name(self) -> str:
        return self.worker.name

    @property
    def where(self) -> str:
        return f"{self.name} ({self.latest.host})" if self.latest.host else self.name

    def exchange(self, paused: bool) -> bool:
        """Tell the worker what it was not told yet. Returns false where it has to answer first."""
        if self.left_out:
            return True
        orders = Orders(tuple(self.orders), tuple(self.given_up), paused, tuple(self.questions), tuple(self.withdrawn))
        told = self.worker.exchange(orders)
        if told:
            self.forget_orders()
        return told

    def forget_orders(self) -> None:
        """Tell nothing of what the worker was to be told."""
        for each in (self.orders, self.given_up, self.questions, self.withdrawn):
            each.clear()

    def end_answers(self, reason: str) -> None:
        """Nothing more comes of what it was asked."""
        for answer in self.answers.values():
            answer.error = HereticError(reason)
        self.answers.clear()

    def changed(self, paused: bool, state: str | None = None, reason: str | None = None) -> WorkerChanged | None:
        """What is to be told of it: what changes its state at once, its load now and then; None for nothing."""
        news, now = self.latest, time.monotonic()
        if state is None:
            if self.left_out:
                return None
            ready = "paused" if paused else "measuring" if self.jobs else "waits"
            state = news.state if news.state == LOADING else ready
        before, tokens = self._tokens_at
        if now - before >= _EVERY:
            self._rate = max(0, news.tokens - tokens) / (now - before) if tokens else 0.0
            self._tokens_at = now, news.tokens
        before_it = self._told.state if self._told else ""
        only_load = before_it == state or (before_it in _LOADS and state in _LOADS)
        if only_load and now - self._told_at < _EVERY:
            return None
        at_work = state in AT_WORK
        self._told_at = now
        self._told = WorkerChanged(
            worker=self.name,
            state=state,
            reason=reason,
            host=news.host,
            pid=news.pid,
            device=news.device,
            in_hand=sorted(job.number for job in self.jobs.values() if job.number is not None),
            done=self.done,
            tokens_per_second=round(self._rate, 1) if at_work else 0.0,
            used=news.used if at_work else 0,
            total=news.total if at_work else 0,
            load=news.load if at_work else None,
            temperature=news.temperature if at_work else None,
        )
        return self._told
