"""What a worker does: it loads the run's model, takes jobs in, measures them in a pool of its own, and tells what it
found. It runs in a process of its own, on this machine or on another one, and writes nothing to the run folder."""

from __future__ import annotations

import logging
import os
import platform
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from heretic_tui.commands import Answering
from heretic_tui.control import Control
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.measuring.job import Job, failures_of
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
from heretic_tui.engine.memory import memory_in_use
from heretic_tui.engine.session.answers import Answers, answer_by
from heretic_tui.engine.session.scratch import scratch_folder
from heretic_tui.engine.session.workbench import Workbench, open_workbench
from heretic_tui.engine.session.workers.bundle import Bundle, put_files
from heretic_tui.engine.session.workers.burden import Burden
from heretic_tui.errors import HereticError, one_line
from heretic_tui.events import Event, FullAnswersFound, Measured, Notice, Progress
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.work import Work

# Seconds that a caller waits for something to be told.
_WAIT = 0.2
# Of what a worker has not told yet, so many lines of its log are kept.
_LINES = 500

log = logging.getLogger(__name__)


class MeasuringWorker:
    """Measures jobs on a thread of its own; `exchange` tells it of them, and what it found.

    Args:
        bundle: what it is given of the run.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._control = Control()
        self._control.serve, self._control.spare = self._step, self._spare
        self._work = Work(self._hear, self._control)
        # None: there is something to answer.
        self._queue: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._given_up: set[int] = set()
        # What is asked beside the trials, and who answers it.
        self._asked: dict[int, Question] = {}
        self._new: dict[Answering, Question] = {}
        self._answers: dict[int, Answers] = {}
        self._bench: Workbench | None = None
        self._burden = Burden()
        self._paused = False
        self._keys: dict[Job, int] = {}
        # What is told next, by the measuring thread and by loggers.
        self._turn = threading.Lock()
        self._news = threading.Event()
        self._state, self._reason, self._device = LOADING, "", ""
        self._found: list[Found] = []
        self._events: list[Event] = []
        self._said: list[Said] = []
        self._answered: list[int] = []
        self._lines: list[str] = []
        self._steps = 0
        self._pool: FastPool | None = None
        threading.Thread(target=self._run, name="measuring", daemon=True).start()

    def exchange(self, orders: Orders) -> News:
        """Take orders, and tell what there is to tell: at once where a job has ended, else after a moment."""
        self._given_up.update(orders.given_up)
        for order in orders.jobs:
            self._queue.put(order)
        for question in orders.questions:
            self._asked[question.key] = self._new[question.asked] = question
            # It wakes a worker that is paused, and knows which edit that is to be tried is the latest.
            self._control.send(question.asked)
            self._queue.put(None)
        for key in orders.withdrawn:
            if withdrawn := self._asked.get(key):
                self._control.cancel(withdrawn.asked)
        self._paused = orders.paused
        if self._bench:
            self._hold()
        self._news.wait(_WAIT)
        memory, burden = memory_in_use(), self._burden.now()
        with self._turn:
            self._news.clear()
            found, self._found = self._found, []
            events, self._events = self._events, []
            lines, self._lines = self._lines, []
            said, self._said = self._said, []
            answered, self._answered = self._answered, []
            return News(
                state=self._state,
                reason=self._reason,
                host=platform.node(),
                pid=os.getpid(),
                device=self._device,
                found=found,
                events=events,
                lines=lines,
                steps=self._steps,
                tokens=sum(self._pool.tokens.values()) if self._pool else 0,
                used=memory.used,
                total=memory.total,
                load=burden.load,
                temperature=burden.temperature,
                said=said,
                answered=answered,
            )

    def _hold(self) -> None:
        (self._control.pause if self._paused else self._control.resume)()

    # The measuring thread

    def _run(self) -> None:
        with self._output_told():
            try:
                with scratch_folder() as folder:
                    self._bench = bench = open_workbench(self._bundle.unpack(folder), self._work)
                    pool = bench.baseline.pool
                    self._pool = pool if isinstance(pool, FastPool) else None
                    self._device = str(bench.model.device)
                    # The model is loaded while the search is paused too: it may be asked something.
                    self._hold()
                    self._change(READY)
                    self._measure(bench)
            except HereticError as error:
                # Whatever it is told of, it would fail the same way once more.
                self._change(REFUSES, one_line(error))
            except BaseException as error:
                log.exception("the worker failed")
                self._change(FAILED, one_line(error))

    def _measure(self, bench: Workbench) -> None:
        pool = bench.baseline.pool
        while True:
            while not self._keys or not self._queue.empty():
                # Between trials nobody else takes answers further.
                more = not self._keys and self._answer()
                if (order := self._next_order(wait=not more)) is not None:
                    self._take_in(order, bench)
            if ended := pool.work_on(lambda: not self._queue.empty()):
                if ended.whole:
                    with failures_of(ended):
                        bench.baseline.add_checked(ended)
                self._tell(self._keys.pop(ended), ended)

    def _next_order(self, wait: bool) -> Order | None:
        try:
            return self._queue.get(block=wait)
        except queue.Empty:
            return None

    def _take_in(self, order: Order, bench: Workbench) -> None:
        job = Job(order.number, {}, 0)
        with failures_of(job):
            begun = bench.job(order.number, order.parameters)
            order.apply(begun)
            begun.given_up = lambda: order.key in self._given_up
            self._keys[begun] = order.key
            bench.baseline.pool.start(begun)
        if job.error:
            self._tell(order.key, job)

    def _tell(self, key: int, job: Job) -> None:
        with self._turn:
            self._found.append(Found.of(key, job))
        self._given_up.discard(key)
        self._news.set()

    def _change(self, state: str, reason: str = "") -> None:
        with self._turn:
            self._state, self._reason = state, reason
        self._news.set()

    def _step(self) -> bool:
        self._steps += 1
        # Before there is a model nothing is answered.
        return self._bench is not None and self._answer()

    # What is asked beside the trials

    def _answer(self) -> bool:
        """Take each answer a step further. Returns whether there is more of it."""
        bench = self._bench
        assert bench
        while command := self._control.next_command():
            assert isinstance(command, Answering)
            question = self._new.pop(command)
            put_files(bench.run.folder, question.files)
            state = RunState(trials={number: TrialRecord(number, edit) for number, edit in question.trials.items()})
            work = Work(partial(self._hear_answer, question.key), self._control)
            answers = self._answers[question.key] = Answers(lambda: answer_by(bench), state, self._control, work)
            answers.ask(question.asked)
        for key, answers in list(self._answers.items()):
            if not answers.turn():
                del self._answers[key], self._asked[key]
                with self._turn:
                    self._answered.append(key)
                self._news.set()
        return bool(self._answers)

    def _spare(self) -> bool:
        # Each is asked.
        return sum(answers.spare() for answers in self._answers.values()) > 0

    def _hear_answer(self, key: int, event: Event) -> None:
        files = {}
        if isinstance(event, FullAnswersFound) and self._bench:
            folder = self._bench.run.folder
            path = folder.full_answers(event.trial, event.harmless)
            if path.is_file():
                files[path.relative_to(folder.path).as_posix()] = path.read_bytes()
        with self._turn:
            self._said.append(Said(key, event, files))
        self._news.set()

    def _hear(self, event: Event) -> None:
        self._steps += 1
        # Phases and the base model were told by the session.
        if isinstance(event, Measured | Notice | Progress) and not (isinstance(event, Progress) and not event.judged):
            with self._turn:
                if isinstance(event, Progress):
                    # Only the latest tells something.
                    self._events = [other for other in self._events if not isinstance(other, Progress)]
                self._events.append(event)

    # What libraries print and log

    @contextmanager
    def _output_told(self) -> Iterator[None]:
        """Within the block what is logged and printed is told, a line each."""
        handler = _Handler(self)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        root, before = logging.getLogger(), (sys.stdout, sys.stderr)
        root.addHandler(handler)
        sys.stdout = sys.stderr = _Lines(self)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
            root.removeHandler(handler)

    def add_line(self, line: str) -> None:
        """Tell a line of the log."""
        with self._turn:
            self._lines = [*self._lines[-_LINES:], line]


class _Handler(logging.Handler):
    def __init__(self, worker: MeasuringWorker) -> None:
        super().__init__()
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        self._worker.add_line(self.format(record))


class _Lines:
    """A stream that tells whole lines."""

    encoding = "utf-8"

    def __init__(self, worker: MeasuringWorker) -> None:
        self._worker = worker
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                self._worker.add_line(line)
        return len(text)

    def flush(self) -> None:
        """Nothing waits but the last line, which has not ended."""

    def isatty(self) -> bool:
        return False
