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

from heretic_tui.control import Control
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.measuring.job import Job, failures_of
from heretic_tui.engine.measuring.orders import FAILED, LOADING, READY, REFUSES, Found, News, Order, Orders
from heretic_tui.engine.memory import memory_in_use
from heretic_tui.engine.session.scratch import scratch_folder
from heretic_tui.engine.session.workbench import Workbench, open_workbench
from heretic_tui.engine.session.workers.bundle import Bundle
from heretic_tui.errors import HereticError, one_line
from heretic_tui.events import Event, Measured, Notice, Progress
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
        self._control.serve = self._step
        self._work = Work(self._hear, self._control)
        self._queue: queue.SimpleQueue[Order] = queue.SimpleQueue()
        self._given_up: set[int] = set()
        self._keys: dict[Job, int] = {}
        # What is told next, by the measuring thread and by loggers.
        self._turn = threading.Lock()
        self._news = threading.Event()
        self._state, self._reason, self._device = LOADING, "", ""
        self._found: list[Found] = []
        self._events: list[Event] = []
        self._lines: list[str] = []
        self._steps = 0
        self._pool: FastPool | None = None
        threading.Thread(target=self._run, name="measuring", daemon=True).start()

    def exchange(self, orders: Orders) -> News:
        """Take orders, and tell what there is to tell: at once where a job has ended, else after a moment."""
        self._given_up.update(orders.given_up)
        for order in orders.jobs:
            self._queue.put(order)
        (self._control.pause if orders.paused else self._control.resume)()
        self._news.wait(_WAIT)
        memory = memory_in_use()
        with self._turn:
            self._news.clear()
            found, self._found = self._found, []
            events, self._events = self._events, []
            lines, self._lines = self._lines, []
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
            )

    # The measuring thread

    def _run(self) -> None:
        with self._output_told():
            try:
                with scratch_folder() as folder:
                    bench = open_workbench(self._bundle.unpack(folder), self._work)
                    pool = bench.baseline.pool
                    self._pool = pool if isinstance(pool, FastPool) else None
                    self._device = str(bench.model.device)
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
                self._take_in(self._queue.get(), bench)
            if ended := pool.work_on(lambda: not self._queue.empty()):
                if ended.whole:
                    with failures_of(ended):
                        bench.baseline.add_checked(ended)
                self._tell(self._keys.pop(ended), ended)

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
        return False

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
