"""What a run will take of memory, disk and time, reckoned before it starts: one computation for whoever shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from heretic_tui.events import Compared
from heretic_tui.files import folder_size
from heretic_tui.run.earlier import EarlierTimes, times_of
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.record import Planned
from heretic_tui.run.speeds import Speed

# Share of the memory of a GPU that a model can fill: the rest is the driver's, and what lies between blocks.
_USABLE = 0.9
# Share of what is free that kept states may take on a GPU (engine/measuring/prefill.py).
KEPT_SHARE = 0.15
# States of this share of the layers are kept, and keys and values of all that are decoded.
_KEPT_LAYERS = 0.8
# What the phase that finds the batch size takes for each size: at least so many seconds, or as long as so many steps.
_SIZED, _SIZING = 0.4, 4
# Bytes of a number in what a run keeps: residuals, and log-probabilities of the original model.
_RESIDUAL, _PROBABILITY = 2, 4


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a model takes, in bytes.

    Attributes:
        weights: in the dtype that is tried first, or in fewer bits.
        by_bits: the weights in 16, 8 and 4 bits, with what stays whole.
        edits: products of all matrices with all directions (edits/bank.py); they are kept as far as `edits_share` of
            the free memory holds them.
        token: keys and values of one token of one line of the cache; None where the configuration does not tell.
        state: hidden state of one token at one layer.
        layers, hidden, vocabulary: numbers of them; no bytes.
    """

    weights: int
    by_bits: Mapping[int, int]
    edits: int
    token: int | None
    edits_share: float
    state: int
    layers: int
    hidden: int
    vocabulary: int


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is to be computed.

    Attributes:
        rows: of the largest batch.
        batches: that are under way at once, where layers are spread over several cards.
        longest: tokens of the longest prompt.
        response: tokens of a response.
        evaluation: tokens of all evaluation prompts.
        harmful: of those, the ones of prompts that are decoded.
        training: tokens of the prompts that directions are made from.
        prompts: how many evaluation prompts there are.
        decoded: how many of them are decoded.
        tried: how many every layer is tried on when the layers are analysed, once for each direction method.
    """

    rows: int
    longest: int
    response: int
    batches: int = 1
    evaluation: int = 0
    harmful: int = 0
    training: int = 0
    prompts: int = 0
    decoded: int = 0
    tried: int = 0

    @property
    def usual(self) -> int:
        """Tokens of an evaluation prompt, in the mean."""
        return math.ceil(self.evaluation / self.prompts) if self.prompts else self.longest


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What lies in the memory of the devices while trials are measured, in bytes: weights, edits, cache and kept states
    of one model, and of all workers together `whole`.

    Attributes:
        cache: keys and values of the largest batch, of as many as are under way; 0 where they are not known.
        kept: states of the original model that no trial computes again; those of a GPU that are too many for it lie in
            the memory of the machine.
        rows: how many a batch can have, at most: of those that were asked for, as far as there is room; 0: not even
            the weights fit. None where a row's size is not known.
        free: what there is, for all workers.
        models: how many there are, one of each worker.
    """

    weights: int
    edits: int
    cache: int
    kept: int
    rows: int | None
    free: int
    models: int = 1

    @property
    def whole(self) -> int:
        return self.models * (self.weights + self.edits + self.cache + self.kept)

    @property
    def fits(self) -> bool:
        """Whether everything does, with the largest batch."""
        return self.whole <= self.free

    @property
    def fits_smaller(self) -> bool:
        """Whether it does with smaller batches."""
        return self.rows is not None and self.rows > 0


def memory_plan(needs: Needs, load: Load, free: int, weights: int | None = None, models: int = 1) -> MemoryPlan:
    """What lies where.

    Args:
        free: bytes on the devices that the weights go to.
        weights: bytes of them; None: as they are loaded.
        models: how many share what is free, each with as much of it.
    """
    own, every = needs.weights if weights is None else weights, free
    free //= models
    room = max(0, free - own)
    edits = min(needs.edits, round(needs.edits_share * room))
    row = load.batches * (load.longest + load.response) * needs.token if needs.token and load.longest else 0
    states = _KEPT_LAYERS * needs.layers * needs.state * load.evaluation + (needs.token or 0) * load.harmful
    kept = min(round(states), round(KEPT_SHARE * max(0, room - edits)))
    left = free - own - edits - kept
    rows = None if not row else 0 if left < row else min(load.rows, left // row)
    cache = row * load.rows
    return MemoryPlan(weights=own, edits=edits, cache=cache, kept=kept, rows=rows, free=every, models=models)


@dataclass(frozen=True, kw_only=True)
class WorkersPlan:
    """What workers are reckoned to bring.

    Attributes:
        count: how many there are; 0: one process does everything.
        pace: how many times as many trials they measure as one process does in the same time.
        share: of what is free on the machine's GPUs, or in its memory, they have so much.
    """

    count: int = 0
    pace: float = 1.0
    share: float = 1.0


def workers_plan(count: int, each: float, gpus: int) -> WorkersPlan:
    """Workers on this machine: each GPU that they have is as fast as one process is on one, whoever shares it.
    Processors compute for one process alone as fast as for several that share them.

    Args:
        count: how many workers there are.
        each: GPUs of one of them.
        gpus: of the machine.
    """
    if not count or not gpus:
        return WorkersPlan(count=count)
    return WorkersPlan(count=count, pace=min(count, math.ceil(count * each)), share=min(1.0, count * each / gpus))


def gpus_needed(needs: Needs, load: Load, total: int) -> dict[int, int]:
    """How many GPUs it takes so that the weights fit in 16, 8 and 4 bits, with what a batch of one row needs beside
    them. (More of them make larger batches.)

    Args:
        total: bytes of one GPU.
    """
    found = {}
    for bits, weights in needs.by_bits.items():
        row = (load.longest + load.response) * (needs.token or 0)
        edits = min(needs.edits, round(needs.edits_share * _USABLE * total))
        found[bits] = max(1, math.ceil((weights + edits + row) / (_USABLE * total)))
    return found


@dataclass(frozen=True, kw_only=True)
class DiskPlan:
    """Bytes on the disk.

    Attributes:
        run: what a run keeps in its folder: residuals of all prompts where they are kept, and the original model's
            log-probabilities of first tokens. (Responses are small.)
        export: a merged model.
    """

    run: int
    export: int


def disk_plan(needs: Needs, kept: Mapping[str, int], residuals: bool, stored: int) -> DiskPlan:
    """
    Args:
        kept: prompts of each set.
        residuals: whether they are kept.
        stored: bytes of the model's weight files.
    """
    # As the store of residuals has them: one place more than there are layers.
    states = _RESIDUAL * sum(kept.values()) * (needs.layers + 1) * needs.hidden if residuals else 0
    first = _PROBABILITY * kept.get("good_evaluation_prompts", 0) * needs.vocabulary
    return DiskPlan(run=states + first, export=stored or needs.by_bits[16])


@dataclass(frozen=True, kw_only=True)
class TimePlan:
    """Seconds that a run takes on this machine.

    Attributes:
        first: to the first trial.
        trial: for each.
        search, analysis: from the first on, and of the layers after it.
        at_most: whether trials take less where they are screened or cut short, which no probe can know.
    """

    first: float
    trial: float
    search: float
    analysis: float
    at_most: bool = False

    @property
    def whole(self) -> float:
        return self.first + self.search + self.analysis


def time_as_before(times: EarlierTimes, trials: int, workers: WorkersPlan, gpus: int) -> TimePlan:
    """As an earlier run of the model took, with as many workers as it had.

    Args:
        gpus: of the machine.
    """
    trial = times.trial * workers_plan(times.workers, times.worker_gpus, gpus).pace / workers.pace
    return TimePlan(first=times.preparation, trial=trial, search=trials * trial, analysis=times.analysis)


def time_by_speed(
    speed: Speed, load: Load, stored: int, batch_size: int, trials: int, workers: WorkersPlan
) -> TimePlan:
    """As long as it takes to read and decode what there is, at the speed that a probe found. Workers load the model
    once more.

    Args:
        stored: bytes of the model's weight files.
        batch_size: that is set; 0: it is found out.
    """
    steps = speed.steps
    rows = min(steps, key=lambda rows: abs(rows - batch_size) if batch_size else steps[rows] / rows)
    decoding = load.decoded * load.response * steps[rows] / rows
    evaluation = load.evaluation / speed.reading + decoding
    loading = stored / speed.loading if speed.loading else 0.0
    sizing = 0.0 if batch_size else sum(max(_SIZED, _SIZING * each) for each in steps.values())
    trial = evaluation / workers.pace
    return TimePlan(
        first=(2 if workers.count else 1) * loading + sizing + load.training / speed.reading + evaluation,
        trial=trial,
        search=trials * trial,
        # Three interventions in every layer, behind which half of the layers are computed in the mean.
        analysis=1.5 * speed.layers * load.tried * load.usual / speed.reading,
        at_most=True,
    )


def compare_plan(planned: Planned, times: EarlierTimes | None, peak: int | None, disk: int) -> list[Compared]:
    """A plan beside what came of it; without what neither tells.

    Args:
        times: what the run took.
        peak: bytes of memory in use at most; None where that was not measured.
        disk: bytes of the run folder.
    """
    rows = [
        Compared(
            name="first trial",
            unit="s",
            planned=planned.first,
            was=times.preparation if times else None,
            at_most=planned.at_most,
        ),
        Compared(
            name="a trial",
            unit="s",
            planned=planned.trial,
            was=times.trial if times else None,
            at_most=planned.at_most,
        ),
        Compared(name="memory", unit="bytes", planned=planned.memory, was=peak),
        Compared(name="run folder", unit="bytes", planned=planned.disk, was=disk),
    ]
    return [row for row in rows if row.planned is not None or (row.unit == "s" and row.was is not None)]


def plan_of(folder: RunFolder) -> list[Compared]:
    """What was planned for a run beside what came of it; empty for runs of versions that made no plan.

    Raises:
        HereticError: when its record or its journal cannot be read.
    """
    record = folder.read_record()
    if record.planned is None:
        return []
    # What people export into it is no part of the run.
    disk = folder_size(folder.path, without=folder.path / "exports")
    return compare_plan(record.planned, times_of(folder), record.peak_memory, disk)
