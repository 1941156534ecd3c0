"""Trials measured by workers, each of which has a model of its own, here or on other machines.

A job goes to a worker as parameters, and what was found comes back as plain values. All that decides (what is asked
for, which trial is screened, what is decoded) stays with whoever hands jobs in, so it does not depend on which worker
is faster. A worker that is lost costs no job: its jobs go to others, and it is started again.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from heretic_tui.commands import Answering, Chat, Samples
from heretic_tui.control import Aborted
from heretic_tui.engine.measuring.cluster_member import Answer, Member, Worker, WorkerLost
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.orders import FAILED, LOADING, READY, REFUSES, News, Order, Question
from heretic_tui.engine.model.decoding import Steps
from heretic_tui.errors import HereticError
from heretic_tui.events import ChatEnded, Measured, Notice, Progress, SamplesEnded
from heretic_tui.parameters import Parameters
from heretic_tui.words import counted
from heretic_tui.work import Work

# A worker that is lost so often in a row is left out.
_LOSSES = 3
# A job in whose hand a worker was lost so often fails: the next one would be lost too.
_ATTEMPTS = 5
# Seconds that news are waited for at a time.
_WAIT = 0.1
# As often, before a pause and at the end of an answer, for a worker that has to answer first.
_ROUNDS = 20
# Seconds after which a worker that gives no sign of life is lost.
SILENT = 300.0
# Why nothing is answered any more.
_OVER = "the search has ended, and its workers with it: ask again"
# Of trials that are only looked at: one is worked on, and one waits.
LOOKS = 2

log = logging.getLogger("heretic_tui.workers")


class NoWorkersError(HereticError):
    """No worker is left."""


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
        self._members = [Member(worker) for worker in workers]
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
        self._closed = False

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
            if self._ended:
                # While something else was done beside.
                continue
            self._hand_out()
            self._listen()

    def cancel(self) -> list[Job]:
        jobs = [*self._waiting, *self._ended]
        for member in self._members:
            jobs += member.jobs.values()
            member.given_up += member.jobs
            member.jobs.clear()
            member.orders.clear()
            member.exchange(self._paused)
        self._waiting.clear()
        self._ended.clear()
        return [self._forget(job) for job in jobs]

    def close(self) -> None:
        """End the workers."""
        self._closed = True
        for member in self._members:
            member.end_answers(_OVER)
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
            waiting = [member for member in waiting if not member.exchange(self._paused)]
            if not waiting:
                break
            self._wait(_WAIT)
            self._hear(0.0)
        for member in self._members:
            self._tell(member)

    # What is answered beside

    def answer(
        self,
        asked: Answering,
        trials: Mapping[int, Parameters],
        files: Mapping[str, bytes],
        keep: Callable[[Mapping[str, bytes]], None],
        work: Work,
    ) -> Steps[None]:
        """Let a worker answer beside its trials, while the work is paused too: a step is a moment in which workers are
        listened to.

        Args:
            trials, files, keep: as in Question and in Answer.

        Raises:
            NoWorkersError: where none is left.
            HereticError: where the worker is lost meanwhile, or the pool is closed.
            Aborted: from the control of `work`.
        """
        while not ((ready := self._ready()) or self._closed):
            self._see_any_is_left()
            work.checkpoint()
            self._converse()
            yield
        if self._closed:
            raise HereticError(_OVER)
        member = min(ready, key=lambda member: len(member.jobs) + len(member.answers))
        self._keys += 1
        key, answer, waited = self._keys, Answer(work.tell, keep), 0
        member.answers[key] = answer
        member.questions.append(Question(key, asked, trials, files))
        try:
            while not answer.ended:
                if answer.error:
                    raise answer.error
                try:
                    work.checkpoint()
                except Aborted:
                    if not waited:
                        member.withdrawn.append(key)
                    waited += 1
                    # These tell by themselves how far they have come.
                    if not isinstance(asked, Chat | Samples) or waited > _ROUNDS:
                        raise
                self._converse()
                yield
            if waited and not answer.told_end:
                # It was withdrawn before the worker had begun with it.
                raise Aborted
        finally:
            if member.answers.pop(key, None) and not waited and not answer.ended:
                member.withdrawn.append(key)

    def _ready(self) -> list[Member]:
        return [member for member in self._members if member.latest.state == READY and not member.left_out]

    def _converse(self) -> None:
        for member in self._members:
            member.exchange(self._paused)
        self._listen()

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

    def _take_back(self, member: Member, key: int) -> None:
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
            member.exchange(self._paused)

    def _room(self, job: Job) -> int:
        return LOOKS if job.part else self._share

    def _refuse(self, job: Job) -> None:
        """No worker can measure a job.

        Raises:
            NoWorkersError: when none is left.
        """
        self._see_any_is_left()
        self._waiting.remove(job)
        self._ended.append(job)

    def _see_any_is_left(self) -> None:
        left_out = [f"{m.where}: {m.left_out}" for m in self._members if m.left_out]
        if len(left_out) == len(self._members):
            raise NoWorkersError(f"no worker is left ({'; '.join(left_out)})")

    # What they answer

    def _listen(self) -> None:
        """Wait a moment for an answer."""
        # Time counts while answers are waited for, and not while something else is done beside.
        start = time.monotonic()
        self._wait(_WAIT)
        self._hear(time.monotonic() - start)

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

    def _see_answers(self, member: Member) -> None:
        if member.heard:
            self._see_life(member.silent, "gave no sign of life")
        elif member.silent > self._silent and not member.waits_for_room:
            # A machine that it fits on may come yet.
            member.waits_for_room = True
            self._work.note(f"{member.name} has not begun: it waits for a machine that has room for it", "warning")

    def _see_life(self, seconds: float, what: str) -> None:
        if seconds > self._silent:
            raise WorkerLost(f"it {what} for {self._silent:.0f} seconds")

    def _take(self, member: Member, news: News, seconds: float) -> None:
        before, member.latest, member.silent, member.heard = member.latest, news, 0.0, True
        for line in news.lines:
            log.warning("%s: %s", member.name, line)
        for event in news.events:
            self._relay(member, event)
        for said in news.said:
            # What was withdrawn is not told any more.
            if answer := member.answers.get(said.key):
                answer.keep(said.files)
                answer.tell(said.event)
                answer.told_end |= isinstance(said.event, ChatEnded | SamplesEnded)
        for key in news.answered:
            if answer := member.answers.pop(key, None):
                answer.ended = True
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

    def _relay(self, member: Member, event: object) -> None:
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

    def _lose(self, member: Member, reason: str) -> None:
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
        member.forget_orders()
        member.end_answers(f"{member.where} was lost while it answered ({reason}): ask again")
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

    def _leave_out(self, member: Member, reason: str) -> None:
        member.left_out = reason
        member.worker.stop()
        self._waiting.extendleft(reversed(member.jobs.values()))
        member.jobs.clear()
        member.end_answers(f"{member.where} is left out ({reason}): ask again")
        self._work.note(f"{member.where} is left out: {reason}", "warning")
        self._tell(member, "left out", reason)

    def _forget(self, job: Job) -> Job:
        self._lost.pop(job, None)
        self._too_small.pop(job, None)
        return job

    def _tell(self, member: Member, state: str | None = None, reason: str | None = None) -> None:
        if event := member.changed(self._paused, state, reason):
            self._work.tell(event)
