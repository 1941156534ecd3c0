"""Trials measured by workers, each of which has a model of its own, here or on other machines.

A job goes to a worker as parameters, and what was found comes back as plain values. All that decides (what is asked
for, which trial is screened, what is decoded) stays with whoever hands jobs in, so it does not depend on which worker
is faster. A worker that is lost costs no job: its jobs go to others, and it is started again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.orders import FAILED, LOADING, READY, REFUSES, News, Order, Orders
from heretic_tui.errors import HereticError
from heretic_tui.events import Judged, Measured, Notice, Progress, WorkerChanged
from heretic_tui.words import counted
from heretic_tui.work import Work

# A worker that is lost so often in a row is left out.
_LOSSES = 3
# A job in whose hand a worker was lost so often fails: the next one would be lost too.
_ATTEMPTS = 5
# Seconds that news are waited for at a time.
_WAIT = 0.1
# As often, before a pause, for a worker that has to answer first.
_ROUNDS = 20
# Seconds after which a worker that gives no sign of life is lost.
SILENT = 300.0
# Of trials that are only looked at: one is worked on, and one waits.
LOOKS = 2
# Seconds between two events about a worker of which only the load has changed.
_EVERY = 5.0
_LOADS = ("waits", "measuring")

log = logging.getLogger("heretic_tui.workers")


class WorkerLost(HereticError):
    """A worker has died, or cannot be reached."""


class NoWorkersError(HereticError):
    """No worker is left."""


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
class _Member:
    """A worker, and what it was given.

    Attributes:
        losses: in a row.
        left_out: why it is used no more.
        heard: whether it has answered since it was started.
        waits_for_room: whether it was told that it has not.
        silent, stuck: seconds that were waited for an answer, and for a step of its work.
        judged: how far its trials are.
        rate: tokens a second.
        told: the latest event about it, and when that was.
        tokens_at: when its tokens were counted last, and how many they were.
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
    rate: float = 0.0
    told: WorkerChanged | None = None
    told_at: float = 0.0
    tokens_at: tuple[float, int] = (0.0, 0)

    @property
    def name(self) -> str:
        return self.worker.name

    @property
    def where(self) -> str:
        return f"{self.name} ({self.latest.host})" if self.latest.host else self.name


class ClusterPool:
    """
    Args:
        workers: none of which has been started.
        share: trials that one worker has in hand while it decodes.
        prompts: bad evaluation prompts.
        wait: waits until a worker has answered, or for so many seconds.
        silent: seconds after which a worker that gives no sign of life is lost.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        share: int,
        prompts: int,
        wait: Callable[[float], None],
        work: Work,
        silent: float = SILENT,
    ) -> None:
        self._members = [_Member(worker) for worker in workers]
        self._share = share
        self._prompts = prompts
        self._wait = wait
        self._work = work
        self._silent = silent
        self._waiting: deque[Job] = deque()
        self._ended: deque[Job] = deque()
        # How often a worker was lost over a job, and the workers that have not enough memory for it.
        self._lost: dict[Job, int] = {}
        self._too_small: dict[Job, set[str]] = {}
        self._keys = 0
        self._paused = False

    def begin(self) -> None:
        """Start the workers."""
        for member in self._members:
            member.worker.start()
            self._tell(member)

    def start(self, job: Job) -> None:
        job.responses = []
        self._waiting.append(job)

    def advance(self) -> Job:
        """
        Raises:
            NoWorkersError: when none is left.
        """
        while True:
            self._give_up()
            if self._ended:
                return self._forget(self._ended.popleft())
            self.hold()
            self._work.checkpoint()
            self.hold()
            self._hand_out()
            # Time counts while answers are waited for, and not while something else is done beside.
            start = time.monotonic()
            self._wait(_WAIT)
            self._hear(time.monotonic() - start)

    def cancel(self) -> list[Job]:
        jobs = [*self._waiting, *self._ended]
        for member in self._members:
            jobs += member.jobs.values()
            member.given_up += member.jobs
            member.jobs.clear()
            member.orders.clear()
            self._exchange(member)
        self._waiting.clear()
        self._ended.clear()
        return [self._forget(job) for job in jobs]

    def close(self) -> None:
        """End the workers."""
        for member in self._members:
            member.worker.stop()
            if not member.left_out:
                self._tell(member, "ended")

    def hold(self) -> None:
        """Tell the workers where the work is paused, or goes on. To be called before the work waits too: nobody speaks
        to them then."""
        if self._paused == self._work.paused:
            return
        self._paused = self._work.paused
        waiting = [member for member in self._members if not member.left_out]
        for _ in range(_ROUNDS if self._paused else 1):
            waiting = [member for member in waiting if not self._exchange(member)]
            if not waiting:
                break
            self._wait(_WAIT)
            self._hear(0.0)
        for member in self._members:
            self._tell(member)

    # What workers are told

    def _give_up(self) -> None:
        """Let those jobs end that are not wanted any more."""
        for job in [job for job in self._waiting if job.given_up()]:
            self._waiting.remove(job)
            self._ended.append(job)
        for member in self._members:
            for key, job in list(member.jobs.items()):
                if job.given_up():
                    self._take_back(member, key)
                    self._ended.append(job)

    def _take_back(self, member: _Member, key: int) -> None:
        del member.jobs[key]
        before = len(member.orders)
        member.orders = [order for order in member.orders if order.key != key]
        if len(member.orders) == before:
            member.given_up.append(key)

    def _hand_out(self) -> None:
        for job in list(self._waiting):
            small = self._too_small.get(job, set())
            able = [m for m in self._members if not m.left_out and m.name not in small]
            if not able:
                self._refuse(job)
                continue
            free = [m for m in able if m.latest.state == READY and len(m.jobs) < self._room(job)]
            if free:
                self._waiting.remove(job)
                member = min(free, key=lambda member: len(member.jobs))
                self._keys += 1
                member.jobs[self._keys] = job
                member.orders.append(Order.of(self._keys, job))
                member.stuck = 0.0
        for member in self._members:
            self._exchange(member)

    def _room(self, job: Job) -> int:
        return LOOKS if job.part else self._share

    def _refuse(self, job: Job) -> None:
        """No worker can measure a job.

        Raises:
            NoWorkersError: when none is left.
        """
        left_out = [f"{m.where}: {m.left_out}" for m in self._members if m.left_out]
        if len(left_out) == len(self._members):
            raise NoWorkersError(f"no worker is left ({'; '.join(left_out)})")
        self._waiting.remove(job)
        self._ended.append(job)

    def _exchange(self, member: _Member) -> bool:
        """Tell a worker what it was not told yet. Returns false where it has to answer first."""
        if member.left_out:
            return True
        told = member.worker.exchange(Orders(tuple(member.orders), tuple(member.given_up), self._paused))
        if told:
            member.orders.clear()
            member.given_up.clear()
        return told

    # What they answer

    def _hear(self, seconds: float) -> None:
        for member in self._members:
            if member.left_out:
                continue
            try:
                news = member.worker.news()
                if news is None:
                    member.silent += seconds
                    self._see_answers(member)
                else:
                    self._take(member, news, seconds)
            except WorkerLost as error:
                self._lose(member, str(error))

    def _see_answers(self, member: _Member) -> None:
        if member.heard:
            self._see_life(member.silent, "gave no sign of life")
        elif member.silent > self._silent and not member.waits_for_room:
            # A machine that it fits on may come yet.
            member.waits_for_room = True
            self._work.note(f"{member.name} has not begun: it waits for a machine that has room for it", "warning")

    def _see_life(self, seconds: float, what: str) -> None:
        if seconds > self._silent:
            raise WorkerLost(f"it {what} for {self._silent:.0f} seconds")

    def _take(self, member: _Member, news: News, seconds: float) -> None:
        before, member.latest, member.silent, member.heard = member.latest, news, 0.0, True
        for line in news.lines:
            log.warning("%s: %s", member.name, line)
        for event in news.events:
            self._relay(member, event)
        for found in news.found:
            # One that is not known was given up.
            if job := member.jobs.pop(found.key, None):
                if found.out_of_memory:
                    # Another worker may have more of it; where none has, the job ends with this.
                    self._too_small.setdefault(job, set()).add(member.name)
                    job.error = HereticError(found.error or "out of memory")
                    self._waiting.appendleft(job)
                    continue
                found.apply(job)
                member.losses = 0
                member.done += 1
                self._ended.append(job)
        if news.state == REFUSES:
            self._leave_out(member, news.reason)
        elif news.state == FAILED:
            raise WorkerLost(news.reason)
        elif news.state == READY and before.state == LOADING:
            self._work.note(f"{member.where} is ready ({news.device})")
        elif news.state == READY and member.jobs and not self._paused and news.steps == before.steps:
            member.stuck += seconds
            self._see_life(member.stuck, "came no step further")
        else:
            member.stuck = 0.0
        self._tell(member)

    def _relay(self, member: _Member, event: object) -> None:
        match event:
            case Notice():
                self._work.tell(replace(event, text=f"{member.name}: {event.text}"))
            case Measured():
                self._work.tell(event)
            case Progress(judged=judged) if judged:
                member.judged = judged
                in_hand = [job.number for job in member.jobs.values()]
                every = [one for m in self._members for one in m.judged if m is not member or one.trial in in_hand]
                done, total = sum(one.judged for one in every), len(every) * self._prompts
                stage = event.stage.partition(" of ")[0]
                stage = stage if len(every) == 1 else f"{stage} of {len(every)} trials"
                self._work.tell(Progress(stage=stage, done=done, total=total, judged=every))

    def _lose(self, member: _Member, reason: str) -> None:
        """A worker has died: its jobs go to others, those that were asked for first before all that wait."""
        log.warning("%s is lost: %s", member.where, reason)
        member.losses += 1
        for job in reversed(member.jobs.values()):
            self._lost[job] = self._lost.get(job, 0) + 1
            if self._lost[job] < _ATTEMPTS:
                self._waiting.appendleft(job)
            else:
                job.error = HereticError(f"{counted(_ATTEMPTS, 'worker')} died over it; the last: {reason}")
                self._ended.append(job)
        member.jobs.clear()
        member.orders.clear()
        member.given_up.clear()
        member.silent = member.stuck = 0.0
        member.judged = ()
        member.worker.stop()
        if member.losses >= _LOSSES:
            self._leave_out(member, f"lost {counted(_LOSSES, 'time')} in a row; the last: {reason}")
            return
        self._work.note(f"{member.where} is lost and started again: {reason}", "warning")
        self._tell(member, "lost", reason)
        member.latest, member.heard = News(host=member.latest.host), False
        member.worker.start()

    def _leave_out(self, member: _Member, reason: str) -> None:
        member.left_out = reason
        member.worker.stop()
        self._waiting.extendleft(reversed(member.jobs.values()))
        member.jobs.clear()
        self._work.note(f"{member.where} is left out: {reason}", "warning")
        self._tell(member, "left out", reason)

    def _forget(self, job: Job) -> Job:
        self._lost.pop(job, None)
        self._too_small.pop(job, None)
        return job

    def _tell(self, member: _Member, state: str | None = None, reason: str | None = None) -> None:
        """Tell how a worker is: what changes its state at once, its load now and then."""
        news, now = member.latest, time.monotonic()
        if state is None:
            ready = "paused" if self._paused else "measuring" if member.jobs else "waits"
            state = news.state if news.state == LOADING else ready
            if member.left_out:
                return
        before, tokens = member.tokens_at
        if now - before >= _EVERY:
            member.rate = max(0, news.tokens - tokens) / (now - before) if tokens else 0.0
            member.tokens_at = now, news.tokens
        event = WorkerChanged(
            worker=member.name,
            state=state,
            reason=reason,
            host=news.host,
            pid=news.pid,
            device=news.device,
            in_hand=sorted(job.number for job in member.jobs.values() if job.number is not None),
            done=member.done,
            tokens_per_second=round(member.rate, 1),
            used=news.used,
            total=news.total,
        )
        before_it = member.told.state if member.told else ""
        only_load = before_it == state or (before_it in _LOADS and state in _LOADS)
        if only_load and now - member.told_at < _EVERY:
            return
        member.told, member.told_at = event, now
        self._work.tell(event)
