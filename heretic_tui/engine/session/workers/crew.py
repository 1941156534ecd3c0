"""The workers of a run as actors of Ray: started on this machine or on a cluster that runs, told of jobs, and ended."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

import torch

from heretic_tui.commands import Answering, Chat, FullAnswers, Samples
from heretic_tui.engine.measuring.cluster_member import WorkerLost
from heretic_tui.engine.measuring.cluster_pool import LOOKS, ClusterPool
from heretic_tui.engine.measuring.job import Job
from heretic_tui.engine.measuring.orders import News, Orders
from heretic_tui.engine.memory import is_out_of_memory
from heretic_tui.engine.model.decoding import Steps
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.samples import parameters_of_trial
from heretic_tui.engine.session.trial_bench import TrialBench
from heretic_tui.engine.session.workbench import Workbench
from heretic_tui.engine.session.workers.bundle import Bundle
from heretic_tui.engine.session.workers.ray_cluster import Cluster, find_cluster
from heretic_tui.engine.session.workers.worker import MeasuringWorker
from heretic_tui.errors import HereticError, one_line
from heretic_tui.files import read_bytes, replaced
from heretic_tui.parameters import Parameters
from heretic_tui.run.state import RunState
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.workers import worker_count
from heretic_tui.words import counted
from heretic_tui.work import Work

if TYPE_CHECKING:
    import ray
    from ray.actor import ActorHandle

_NO_GPU = "there is no GPU to start a worker on: trials are measured by this process"
# Characters of a reason.
_LONGEST = 200


class RayWorker:
    """A worker that is an actor of Ray.

    Args:
        name: what people call it.
        bundle: what it is given, in the object store.
        processors, gpus: that it has for itself.
        cluster: that it runs on.
    """

    def __init__(
        self, name: str, bundle: ray.ObjectRef[Bundle], processors: float, gpus: float, cluster: Cluster
    ) -> None:
        self.name = name
        self._cluster = cluster
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
            if not self._cluster.look(at_once=True):
                # Whether it is lost is not known before the cluster is there again.
                return None
            raise WorkerLost(_why(error)) from error
        self.answer = None
        return found

    def stop(self) -> None:
        import ray

        if self._actor is not None and self._cluster.there:
            ray.kill(self._actor, no_restart=True)
        self._actor = self.answer = None


def _why(error: Exception) -> str:
    """What Ray says of an actor that is dead, in a few words: it tells everything that it knows of the process."""
    text = " ".join(str(error).split())
    if re.search(r"No module named '?heretic_tui", text):
        return "heretic-tui is not installed on its machine: pip install the same version there, and restart Ray there"
    if detail := re.search(r"Worker exit detail: ([^.]+)", text):
        return f"its process died ({detail[1]})"
    return one_line(error)[:_LONGEST]


class Crew:
    """The workers of a run.

    Attributes:
        bench: by which trials are measured.
    """

    def __init__(self, bench: TrialBench, pool: ClusterPool, cluster: Cluster) -> None:
        self.bench = bench
        self._pool = pool
        self._cluster = cluster

    def hold(self) -> None:
        """Tell the workers where the work is paused, or goes on."""
        self._pool.hold()

    def answer(self, asked: Answering, state: RunState, work: Work) -> Steps[None]:
        """Let a worker answer beside its trials. Raises as `ClusterPool.answer` does, and UsageError for a trial that
        is not there."""
        folder = self.bench.run.folder
        trials: dict[int, Parameters] = {}
        for number in _trials_of(asked):
            edit = parameters_of_trial(number, state)
            if number is not None and edit:
                trials[number] = edit
        answers, files = {}, {}
        if isinstance(asked, FullAnswers):
            # What is there already is not decoded again; only these are taken from a worker.
            paths = [folder.full_answers(trial, asked.harmless) for trial in asked.trials]
            answers = {path.relative_to(folder.path).as_posix(): path for path in paths}
            read = [*paths, *(folder.responses(trial) for trial in asked.trials)]
            files = {path.relative_to(folder.path).as_posix(): read_bytes(path) for path in read if path.is_file()}

        def keep(found: Mapping[str, bytes]) -> None:
            for name, content in found.items():
                if path := answers.get(name):
                    with replaced(path) as beside:
                        beside.write_bytes(content)

        yield from self._pool.answer(asked, trials, files, keep, work)

    def close(self) -> None:
        """End the workers, and Ray where it was started for them."""
        self._pool.close()
        self._cluster.leave()


def _trials_of(asked: Answering) -> Iterable[int | None]:
    match asked:
        case Chat():
            return [asked.trial]
        case Samples():
            return [each.trial for each in asked.asked]
        case FullAnswers():
            return asked.trials
    return []


def wants_workers(settings: Settings, work: Work) -> bool:
    """Whether trials are to be measured by workers: not where one is wanted for each GPU, and there is none. What they
    need is looked at, before a model is loaded.

    Raises:
        UsageError: where Ray is not there, or the cluster that the settings name cannot be used.
    """
    if settings.workers == "0":
        return False
    if settings.workers == "auto" and settings.ray_address is None and not torch.cuda.is_available():
        work.note(_NO_GPU)
        return False
    find_cluster(settings)
    return True


@contextmanager
def memory_beside(crew: Crew | None) -> Iterator[None]:
    """Within the block a model is loaded in this process: where memory runs out beside workers, that is told.

    Raises:
        HereticError: for that.
    """
    try:
        yield
    except (HereticError, RuntimeError) as error:
        causes = [each for each in (error, error.__cause__) if each and is_out_of_memory(each)]
        if not (crew and causes):
            raise
        raise HereticError(
            "there is no memory for another model beside the workers: ask again when the search has ended, or let "
            f"fewer workers measure (--workers) ({one_line(causes[-1])})"
        ) from error


def begin_crew(bench: Workbench, begun: bool, work: Work) -> Crew | None:
    """Start the workers that the settings ask for; None where they ask for one for each GPU and the cluster has none.

    Args:
        bench: the model made ready in this process. Nothing of what is returned refers to the model.
        begun: whether the run has any trials: it goes on with as many in hand as it began with then.

    Raises:
        UsageError: where Ray cannot be started or reached.
    """
    settings, run = bench.run.settings, bench.run
    evaluation, baseline = bench.baseline.evaluation, bench.baseline
    openings = bench.openings if evaluation.metrics.openings else None
    bundle = Bundle.of(run)
    where = f"the Ray cluster at {settings.ray_address}" if settings.ray_address else "this machine, by Ray"
    work.note(f"starting workers on {where}")
    cluster = Cluster.join(settings, sum(map(len, bundle.files.values())))
    try:
        workers = _workers(settings, bundle, cluster)
        if not workers:
            work.note(_NO_GPU)
            cluster.leave()
            return None
        trials, looks = _in_hand(run, baseline.trials_at_once, len(workers), begun, work)
        share = max(1, math.ceil(trials / len(workers)))
        pool = ClusterPool(workers, share, len(evaluation.bad), partial(_wait, workers, cluster), work)
        pool.begin()
    except BaseException:
        cluster.leave()
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
    return Crew(measured, pool, cluster)


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


def _workers(settings: Settings, bundle: Bundle, cluster: Cluster) -> list[RayWorker]:
    """The workers that the settings ask for, none of them started.

    Raises:
        UsageError: where this machine has not the GPUs for them. (A cluster may grow.)
    """
    import ray

    there = ray.cluster_resources()
    gpus = settings.worker_gpus if there.get("GPU") else 0.0
    count = worker_count(settings, there.get("GPU", 0.0))
    if not count:
        return []
    machines = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    cores = processors_of_one(machines, count)
    # Without a GPU the processors compute: each has its share of them, and as many threads.
    cores = min(cores, 1.0) if gpus else cores
    held = ray.put(bundle)
    return [RayWorker(f"worker {number}", held, cores, gpus, cluster) for number in range(1, count + 1)]


def processors_of_one(machines: Sequence[float], workers: int) -> float:
    """How many processors each of so many workers can have on machines with so many: whole ones, or a part of one
    where there are fewer than workers."""
    most = max(machines, default=1.0) or 1.0
    for cores in range(int(most), 0, -1):
        if sum(int(each // cores) for each in machines) >= workers:
            return float(cores)
    parts = 1
    while sum(int(each) * parts for each in machines) < workers and parts < workers:
        parts += 1
    return 1.0 / parts


def _wait(workers: Sequence[RayWorker], cluster: Cluster, seconds: float) -> None:
    """Until a worker has answered, or so many seconds.

    Raises:
        NoWorkersError: where none will answer any more.
    """
    import ray

    if not cluster.look():
        time.sleep(seconds)
    elif answers := [worker.answer for worker in workers if worker.answer is not None]:
        ray.wait(answers, num_returns=1, timeout=seconds)
    else:
        time.sleep(seconds)
