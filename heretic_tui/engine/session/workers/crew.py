"""The workers of a run as actors of Ray: started on this machine or on a cluster that runs, told of jobs, and ended."""

from __future__ import annotations

import logging
import math
import os
import re
import secrets
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

import torch

from heretic_tui.engine.measuring.cluster_pool import LOOKS, ClusterPool, WorkerLost
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.orders import News, Orders
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.trial_bench import TrialBench
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.engine.session.workers.bundle import Bundle
from heretic_tui.engine.session.workers.worker import MeasuringWorker
from heretic_tui.errors import UsageError, one_line
from heretic_tui.machine import processors
from heretic_tui.parameters import Parameters
from heretic_tui.settings.schema import Settings
from heretic_tui.words import counted
from heretic_tui.work import Work

if TYPE_CHECKING:
    import ray
    from ray.actor import ActorHandle

_NO_GPU = "there is no GPU to start a worker on: trials are measured by this process"
# Characters of a reason.
_LONGEST = 200
# Bytes of the object store beyond what the workers are given of the run.
_STORE = 1 << 28


class RayWorker:
    """A worker that is an actor of Ray.

    Args:
        name: what people call it.
        bundle: what it is given, in the object store.
        processors, gpus: that it has for itself.
    """

    def __init__(self, name: str, bundle: ray.ObjectRef[Bundle], processors: float, gpus: float) -> None:
        self.name = name
        self._bundle = bundle
        self._needs = {"num_cpus": processors, "num_gpus": gpus}
        self._actor: ActorHandle[MeasuringWorker] | None = None
        self.answer: ray.ObjectRef[News] | None = None

    def start(self) -> None:
        import ray

        self.answer = None
        made = ray.remote(MeasuringWorker).options(**self._needs).remote(self._bundle)
        self._actor = cast("ActorHandle[MeasuringWorker]", made)

    def exchange(self, orders: Orders) -> bool:
        if self.answer is not None or self._actor is None:
            return False
        self.answer = self._actor.exchange.remote(orders)
        return True

    def news(self) -> News | None:
        import ray

        if self.answer is None:
            return None
        try:
            found = ray.get(self.answer, timeout=0)
        except ray.exceptions.GetTimeoutError:
            return None
        except ray.exceptions.RayError as error:
            raise WorkerLost(_why(error)) from error
        self.answer = None
        return found

    def stop(self) -> None:
        import ray

        if self._actor is not None:
            ray.kill(self._actor, no_restart=True)
        self._actor = self.answer = None


def _why(error: Exception) -> str:
    """What Ray says of an actor that is dead, in a few words: it tells everything that it knows of the process."""
    text = " ".join(str(error).split())
    if detail := re.search(r"Worker exit detail: ([^.]+)", text):
        return f"its process died ({detail[1]})"
    return one_line(error)[:_LONGEST]


class Crew:
    """The workers of a run.

    Attributes:
        bench: by which trials are measured.
    """

    def __init__(self, bench: TrialBench, pool: ClusterPool, ours: bool) -> None:
        self.bench = bench
        self._pool = pool
        self._ours = ours

    def hold(self) -> None:
        """Tell the workers where the work is paused, or goes on."""
        self._pool.hold()

    def close(self) -> None:
        """End the workers, and Ray where it was started for them."""
        self._pool.close()
        _end_ray(self._ours)


def begin_crew(bench: Workbench, begun: bool, work: Work) -> Crew | None:
    """Start the workers that the settings ask for; None where they ask for none, or for one a GPU and there is none.

    Args:
        bench: the model made ready in this process. Nothing of what is returned refers to the model.
        begun: whether the run has any trials: it goes on with as many in hand as it began with then.

    Raises:
        UsageError: where Ray is not there, or cannot be reached.
    """
    settings, run = bench.run.settings, bench.run
    if settings.workers == "0":
        return None
    if settings.workers == "auto" and settings.ray_address is None and not torch.cuda.is_available():
        work.note(_NO_GPU)
        return None
    evaluation, baseline = bench.baseline.evaluation, bench.baseline
    openings = bench.openings if evaluation.metrics.openings else None
    bundle = Bundle.of(run)
    ours = _begin_ray(settings, sum(map(len, bundle.files.values())))
    try:
        workers = _workers(settings, bundle)
        if not workers:
            work.note(_NO_GPU)
            _end_ray(ours)
            return None
        trials, looks = _in_hand(run, baseline.trials_at_once, len(workers), begun, work)
        share = max(1, math.ceil(trials / len(workers)))
        pool = ClusterPool(workers, share, len(evaluation.bad), partial(_wait, workers), work)
        pool.begin()
    except BaseException:
        _end_ray(ours)
        raise
    measured = TrialBench(
        run=run,
        evaluation=evaluation,
        responses=baseline.responses,
        figures=baseline.figures,
        pool=pool,
        trials_at_once=trials,
        looks_at_once=looks,
        job=_ordered,
        # Workers do so themselves.
        add_checked=lambda job: None,
        find_openings=lambda: openings,
    )
    return Crew(measured, pool, ours)


def _ordered(number: int, parameters: Parameters | None) -> Job:
    """A trial as a worker is told of it, which makes the edits."""
    return Job(number, {}, 0, parameters)


def _in_hand(run: RunInputs, each: int, workers: int, begun: bool, work: Work) -> tuple[int, int]:
    """How many trials are in hand while their responses are decoded, and how many of those that are only looked at.
    What is asked for depends on it, so it is kept in the run's record, and what a run began with holds.

    Args:
        each: how many one model has in hand, or all workers that the run began with.
    """
    record = run.record
    if not record.workers and not begun:
        # One worker alone goes the same way as a process without.
        looks = 1 if workers == 1 else LOOKS * workers
        each *= workers
        run.folder.save_record(replace(record, workers=workers, trials_at_once=each, looks_at_once=looks))
        return each, looks
    if each < workers:
        work.note(f"this run goes on as it began, with {counted(each, 'trial')} in hand: some workers will wait")
    return each, record.looks_at_once


def _workers(settings: Settings, bundle: Bundle) -> list[RayWorker]:
    """The workers that the settings ask for, none of them started.

    Raises:
        UsageError: where this machine has not the GPUs for them. (A cluster may grow.)
    """
    import ray

    there = ray.cluster_resources()
    gpus = settings.worker_gpus if there.get("GPU") else 0.0
    count = int(there.get("GPU", 0.0) // settings.worker_gpus) if settings.workers == "auto" else int(settings.workers)
    if not count:
        return []
    if settings.ray_address is None and gpus * count > there.get("GPU", 0.0):
        raise UsageError(
            f"{counted(count, 'worker')} of {gpus:g} GPUs each need {gpus * count:g}, and there are "
            f"{there['GPU']:g}: ask for fewer (--workers), or let them share (--worker-gpus)"
        )
    # Without a GPU the processors compute: each has its share of them, and as many threads.
    share = there.get("CPU", 1.0) / count
    cores = 1.0 if gpus and share >= 1 else float(int(share)) if share >= 1 else share
    held = ray.put(bundle)
    return [RayWorker(f"worker {number}", held, cores, gpus) for number in range(1, count + 1)]


def _wait(workers: Sequence[RayWorker], seconds: float) -> None:
    """Until a worker has answered, or so many seconds."""
    import ray

    if answers := [worker.answer for worker in workers if worker.answer is not None]:
        ray.wait(answers, num_returns=1, timeout=seconds)
    else:
        time.sleep(seconds)


def _begin_ray(settings: Settings, needed: int) -> bool:
    """Have Ray at hand: a cluster that runs, or one that is started on this machine. Returns whether it is to be ended
    with the run.

    Args:
        needed: bytes that its object store has to hold.

    Raises:
        UsageError: where it is not there, or cannot be reached.
    """
    # Nothing is sent to anybody; and no token is written to the home folder for a cluster that ends with the run.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if settings.ray_address is None:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ImportError as error:
        raise UsageError("workers need Ray: pip install 'heretic-tui[cluster]'") from error
    if ray.is_initialized():
        return False
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        start = partial(ray.init, log_to_driver=False, logging_level=logging.ERROR)
        if settings.ray_address is None:
            start(num_cpus=processors(), include_dashboard=False, object_store_memory=needed + _STORE)
        else:
            start(address=settings.ray_address)
    except Exception as error:
        # Whatever its processes, its sockets or the network may say.
        where = f"at {settings.ray_address} cannot be reached" if settings.ray_address else "cannot be started"
        raise UsageError(f"Ray {where}: {one_line(error)}") from error
    finally:
        # It takes the handlers of signals, which are ours: a first one ends the search, not the process.
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return True


def _end_ray(ours: bool) -> None:
    import ray

    if ours:
        ray.shutdown()
