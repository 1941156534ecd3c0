"""What becomes of jobs when workers die, hang, run out of memory or are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from heretic_tui import events as ev
from heretic_tui.commands import Chat
from heretic_tui.control import Aborted, Control
from heretic_tui.engine.measuring.cluster_member import WorkerLost
from heretic_tui.engine.measuring.cluster_pool import ClusterPool, NoWorkersError
from heretic_tui.engine.measuring.job import Job, Part
from heretic_tui.engine.measuring.orders import (
    FAILED,
    LOADING,
    READY,
    REFUSES,
    Found,
    News,
    Order,
    Orders,
    Question,
    Said,
)
from heretic_tui.errors import HereticError
from heretic_tui.work import Work

Course = Callable[["Scripted", Order], Found | None]
Talk = Callable[["Scripted"], tuple[list[Said], list[int]]]
CHAT = Chat(7, None, (("user", "Hello"),), "")


def found(order: Order, **more: object) -> Found:
    values: dict[str, object] = {"figures": {"kl_divergence": float(order.number or 0)}, "per_prompt": {}, "seen": {}}
    values |= {"responses": [], "stages": {"edit": 1.0}, "dominated": False, **more}
    return Found(order.key, **values)  # type: ignore[arg-type]


class Scripted:
    """A worker that does with each job what a test says; it measures one at a time.

    Args:
        course: what it finds of a job; None: it goes on for ever.
    """

    def __init__(self, name: str, course: Course = lambda worker, order: found(order)) -> None:
        self.name = name
        self.course = course
        self.state, self.reason = READY, ""
        self.starts = self.stops = 0
        self.hangs = False
        self.told: list[Orders] = []
        self.questions: list[Question] = []
        self.withdrawn: list[int] = []
        self.talk: Talk = lambda worker: ([], [])
        self._orders: list[Order] = []
        self._answers: Orders | None = None
        self._steps = 0

    @property
    def seen(self) -> list[int | None]:
        return [order.number for orders in self.told for order in orders.jobs]

    def start(self) -> None:
        self.starts += 1
        self._orders.clear()
        self._answers = None

    def exchange(self, orders: Orders) -> bool:
        if self._answers is not None:
            return False
        self._answers = orders
        self.told.append(orders)
        self._orders += orders.jobs
        self.questions += orders.questions
        self.withdrawn += orders.withdrawn
        self._orders = [order for order in self._orders if order.key not in orders.given_up]
        return True

    def news(self) -> News | None:
        if self._answers is None or self.hangs:
            return None
        self._answers = None
        done: list[Found] = []
        if self._orders:
            result = self.course(self, self._orders[0])
            if result:
                self._orders.pop(0)
                done.append(result)
                self._steps += 1
        said, answered = self.talk(self)
        return News(
            self.state,
            self.reason,
            host=f"host of {self.name}",
            found=done,
            steps=self._steps,
            said=said,
            answered=answered,
        )

    def stop(self) -> None:
        self.stops += 1


class Pool(ClusterPool):
    """One that waits for nothing: every wait counts as a second."""

    def __init__(self, *workers: Scripted, share: int = 2, silent: float = 1e9, control: Control | None = None) -> None:
        self.events: list[ev.Event] = []
        work = Work(self.events.append, control)
        super().__init__(workers, share, 10, lambda seconds: None, work, silent)
        self.begin()

    def measure(self, jobs: list[Job]) -> list[Job]:
        for job in jobs:
            self.start(job)
        return [self.advance() for _ in jobs]

    def states(self, name: str) -> list[str]:
        return [event.state for event in self.events if isinstance(event, ev.WorkerChanged) and event.worker == name]


def jobs(count: int) -> list[Job]:
    return [Job(number, {}, 0) for number in range(count)]


def dies(worker: Scripted, order: Order) -> Found:
    raise WorkerLost("killed")


def test_all_jobs_come_back_with_what_was_found_of_them() -> None:
    one, other = Scripted("worker 1"), Scripted("worker 2")
    pool = Pool(one, other)
    done = pool.measure(jobs(9))
    assert sorted(job.number or 0 for job in done) == list(range(9))
    assert all(job.figures == {"kl_divergence": job.number} and job.stages == {"edit": 1.0} for job in done)
    assert len(one.seen) in (4, 5)
    assert sorted([*one.seen, *other.seen], key=str) == list(range(9)), "none was measured twice"
    pool.close()
    assert (one.stops, pool.states("worker 1")[-1]) == (1, "ended")


def test_the_jobs_of_one_that_dies_go_to_others_and_it_is_left_out_after_three_times_in_a_row() -> None:
    bad, good = Scripted("worker 1", dies), Scripted("worker 2")
    pool = Pool(bad, good)
    done = pool.measure(jobs(20))
    assert sorted(job.number or 0 for job in done) == list(range(20))
    assert not any(job.error for job in done)
    assert bad.starts == 3
    assert [state for state in pool.states("worker 1") if state in ("lost", "left out")] == ["lost", "lost", "left out"]
    assert [e.text for e in pool.events if isinstance(e, ev.Notice)][-1] == (
        "worker 1 (host of worker 1) is left out: lost 3 times in a row; the last: killed"
    )


def test_one_that_has_measured_between_two_deaths_is_not_left_out() -> None:
    def now_and_then(worker: Scripted, order: Order) -> Found:
        if order.number and order.number % 2 and worker.starts <= (order.number + 1) // 2:
            raise WorkerLost("killed")
        return found(order)

    worker = Scripted("worker 1", now_and_then)
    done = Pool(worker, share=1).measure(jobs(10))
    assert [job.number for job in done] == list(range(10))
    assert worker.starts == 6


def test_a_job_that_every_worker_dies_over_fails_and_no_other_does() -> None:
    def over_one(worker: Scripted, order: Order) -> Found:
        if order.number == 3:
            raise WorkerLost("killed")
        return found(order)

    workers = [Scripted(f"worker {number}", over_one) for number in range(4)]
    done = Pool(*workers, share=1).measure(jobs(40))
    assert [job.number for job in done if job.error] == [3]
    assert str(next(job.error for job in done if job.error)) == "5 workers died over it; the last: killed"


def test_what_one_has_not_enough_memory_for_goes_to_another() -> None:
    def too_small(worker: Scripted, order: Order) -> Found:
        return found(order, error="out of memory", out_of_memory=True)

    small, large = Scripted("worker 1", too_small), Scripted("worker 2")
    done = Pool(small, large).measure(jobs(6))
    assert not any(job.error for job in done)
    assert sorted(large.seen, key=str) == list(range(6))
    (alone,) = Pool(Scripted("worker 1", too_small)).measure(jobs(1))
    assert str(alone.error) == "out of memory"


def test_one_that_gives_no_sign_of_life_is_lost() -> None:
    def falls_silent(worker: Scripted, order: Order) -> Found:
        worker.hangs = True
        return found(order)

    silent, stuck = Scripted("worker 1", falls_silent), Scripted("worker 2", lambda worker, order: None)
    pool = Pool(silent, stuck, Scripted("worker 3"), silent=0.0)
    done = pool.measure(jobs(8))
    assert sorted(job.number or 0 for job in done) == list(range(8))
    reasons = [event.reason for event in pool.events if isinstance(event, ev.WorkerChanged) and event.state == "lost"]
    assert {"it gave no sign of life for 0 seconds", "it came no step further for 0 seconds"} <= set(reasons)


def test_one_that_no_machine_has_room_for_is_waited_for() -> None:
    later = Scripted("worker 1")
    later.hangs = True
    pool = Pool(later, Scripted("worker 2"), silent=0.0)
    assert len(pool.measure(jobs(8))) == 8
    assert later.starts == 1
    assert [event.text for event in pool.events if isinstance(event, ev.Notice) and "worker 1" in event.text] == [
        "worker 1 has not begun: it waits for a machine that has room for it"
    ]


def test_one_that_refuses_is_left_out_at_once_and_without_any_the_reasons_are_told() -> None:
    one, other = Scripted("worker 1"), Scripted("worker 2")
    one.state, one.reason = REFUSES, "its files are others"
    other.state, other.reason = FAILED, "no driver"
    pool = Pool(one, other)
    with pytest.raises(NoWorkersError) as caught:
        pool.measure(jobs(2))
    assert one.starts == 1
    assert str(caught.value) == (
        "no worker is left (worker 1 (host of worker 1): its files are others; worker 2 (host of worker 2): "
        "lost 3 times in a row; the last: no driver)"
    )


def test_jobs_wait_while_workers_load_and_those_that_are_given_up_end_at_once() -> None:
    worker = Scripted("worker 1", lambda worker, order: None if order.number == 1 else found(order))
    worker.state = LOADING
    pool = Pool(worker, share=1)
    unwanted = {0}
    several = jobs(3)
    for job in several:
        job.given_up = lambda job=job: job.number in unwanted  # type: ignore[misc]
        pool.start(job)
    assert pool.advance() is several[0]
    assert not worker.seen
    worker.state = READY
    unwanted.add(1)
    assert {pool.advance().number, pool.advance().number} == {1, 2}


def test_workers_are_told_of_a_pause_before_the_work_waits() -> None:
    control = Control()
    worker = Scripted("worker 1")
    pool = Pool(worker, share=1, control=control)
    turns = 0

    def beside() -> bool:
        nonlocal turns
        turns += 1
        if turns == 2:
            control.pause()
        pool.hold()
        if turns == 4:
            assert worker.told[-1].paused
            control.resume()
        return control.paused

    control.serve = beside
    pool.measure(jobs(4))
    assert turns > 4
    assert not worker.told[-1].paused


def test_one_looks_at_a_trial_while_another_waits_and_all_are_dropped_at_once() -> None:
    worker = Scripted("worker 1", lambda worker, order: found(order) if order.number in (0, 7) else None)
    pool = Pool(worker, share=1)
    for job in jobs(5):
        job.part = Part([0], [0])
        pool.start(job)
    assert pool.advance().number == 0
    assert worker.seen == [0, 1]
    assert [job.number for job in pool.cancel()] == [2, 3, 4, 1]
    assert pool.measure([Job(7, {}, 0)])[0].number == 7


# What is asked beside the trials


def talks(worker: Scripted) -> tuple[list[Said], list[int]]:
    """A word to each question, then its end: that of one that is withdrawn is told as such."""
    if not worker.questions:
        return [], []
    key = worker.questions[0].key
    if key in worker.withdrawn:
        return [Said(key, ev.ChatEnded(id=7, reason="stopped"))], [key]
    return [Said(key, ev.ChatDelta(id=7, text="word ")), Said(99, ev.ChatDelta(id=8, text="of another"))], []


def ends(worker: Scripted) -> tuple[list[Said], list[int]]:
    key = worker.questions[0].key
    return [Said(key, ev.ChatEnded(id=7, reason="end"))], [key]


def test_the_worker_with_least_to_do_answers_and_what_it_says_is_told() -> None:
    busy, free = Scripted("worker 1", lambda worker, order: None), Scripted("worker 2", lambda worker, order: None)
    pool = Pool(busy, free)
    several = jobs(3)
    for job in several:
        pool.start(job)
    steps = pool.answer(CHAT, {}, {}, lambda files: None, Work(pool.events.append))
    # None has said that it is ready.
    for _ in range(2):
        next(steps)
    answering = busy if busy.questions else free
    answering.talk = talks
    next(steps)
    answering.talk = ends
    assert len(list(steps)) == 1
    told = [type(event) for event in pool.events if isinstance(event, ev.ChatDelta | ev.ChatEnded)]
    assert told == [ev.ChatDelta, ev.ChatEnded]
    assert answering.questions[0].asked is CHAT


def test_an_answer_that_is_stopped_ends_where_the_worker_says_so() -> None:
    worker, task = Scripted("worker 1"), Control()
    worker.talk = talks
    pool = Pool(worker)
    steps = pool.answer(CHAT, {}, {}, lambda files: None, Work(pool.events.append, task))
    for _ in range(3):
        next(steps)
    task.abort()
    assert len(list(steps)) <= 3
    assert [event.reason for event in pool.events if isinstance(event, ev.ChatEnded)] == ["stopped"]


def test_an_answer_that_is_stopped_before_it_has_begun_is_told_by_the_session() -> None:
    worker, task = Scripted("worker 1"), Control()
    pool = Pool(worker)
    steps = pool.answer(CHAT, {}, {}, lambda files: None, Work(pool.events.append, task))
    next(steps)
    worker.talk = lambda worker: ([], [question.key for question in worker.questions])
    task.abort()
    with pytest.raises(Aborted):
        list(steps)


def test_an_answer_fails_with_the_worker_that_gives_it_and_the_trials_go_on() -> None:
    worker = Scripted("worker 1")
    pool = Pool(worker)
    steps = pool.answer(CHAT, {}, {}, lambda files: None, Work(pool.events.append))
    next(steps)

    def dies_once(worker: Scripted) -> tuple[list[Said], list[int]]:
        worker.talk = lambda worker: ([], [])
        raise WorkerLost("killed")

    worker.talk = dies_once
    with pytest.raises(HereticError, match=r"worker 1 .* was lost while it answered \(killed\): ask again"):
        list(steps)
    assert len(pool.measure(jobs(2))) == 2


def test_with_the_search_its_answers_end() -> None:
    worker = Scripted("worker 1")
    pool = Pool(worker)
    steps = pool.answer(CHAT, {}, {}, lambda files: None, Work(pool.events.append))
    next(steps)
    pool.close()
    with pytest.raises(HereticError, match="the search has ended"):
        list(steps)
