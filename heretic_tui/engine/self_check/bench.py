"""A short check that this machine computes exactly, and how fast: a model is made ready as for a search, and edits of
it are measured both ways, which must give the same."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.measuring.fast_pool import FastPool
from heretic_tui.engine.measuring.job import Job, Pool
from heretic_tui.engine.measuring.open_pool import open_pool
from heretic_tui.engine.measuring.plain_pool import PlainPool
from heretic_tui.engine.measuring.speculation import StepCost
from heretic_tui.engine.memory import PeakMemory, free_memory
from heretic_tui.engine.session.phases.batch_size import choose_batch_size
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.scratch import scratch_folder
from heretic_tui.engine.session.workbench import Workbench, open_workbench
from heretic_tui.events import Event, Notice, PhaseFinished
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work

# Edits that are measured, and the batch that the base model is measured with before the best one is known.
_EDITS, _FIRST_BATCH = 4, 8
# By how much a figure may differ between the two ways, in float32 and in 16 bits (engine/measuring/open_pool.py has the
# same for a single token), and the share of the responses that may: rounding decides between tokens that are as likely.
_ROUNDING, _ROUNDING_16 = 1e-4, 5e-2
_OTHERS, _OTHERS_16 = 0.02, 0.15


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What was measured of one model.

    Attributes:
        name: of the model, with no path.
        phases: seconds by phase.
        step_seconds: seconds of a decoding step by the number of rows.
        tokens_per_second: of decoding, with the best of these.
        fast: whether trials are measured the fast way; `notes` say why not.
        together: whether several share a batch.
        edits, responses: how many were measured both ways.
        kl, kl_apart: the largest KL divergence of an edit, and the largest difference of one between the two ways.
        verdicts_apart, texts_apart: of the responses, those that differ.
        fast_seconds, plain_seconds: of all edits, by the way of measuring.
        memory: bytes that it took at most (memory.py: PeakMemory); None where that is not known.
        planned: bytes that the plan of the run reckons with; None where it could not be made.
        exact: whether both ways give the same but for rounding.
    """

    name: str
    quantization: str
    dtype: str
    device: str
    parameters: int
    phases: dict[str, float]
    step_seconds: dict[int, float]
    batch_size: int
    tokens_per_second: float
    fast: bool
    together: bool
    edits: int
    responses: int
    kl: float
    kl_apart: float
    verdicts_apart: int
    texts_apart: int
    fast_seconds: float
    plain_seconds: float
    memory: int | None
    planned: int | None
    exact: bool
    notes: list[str] = field(default_factory=list)


def bench(name: str, settings: Settings, work: Work) -> Bench:
    """Measure one model.

    Args:
        name: what it is called in the result.

    Raises:
        HereticError: for a model that cannot be loaded or measured here.
        torch.OutOfMemoryError: where a single row is too much.
        Aborted: from the control.
    """
    settings = settings.model_copy(update={"batch_size": _FIRST_BATCH, "keep_residuals": False, "screening": "off"})
    inputs, phases, notes = check_inputs(settings), {}, []

    def listen(event: Event) -> None:
        if isinstance(event, PhaseFinished):
            phases[event.phase] = event.seconds
        if isinstance(event, Notice) and event.level != "info":
            notes.append(event.text)

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    peak = PeakMemory()
    with scratch_folder() as folder:
        made = open_workbench(RunInputs.of(inputs.settings, inputs.sets, folder), work.heard_by(listen))
        found = _measured(name, made, phases, notes, peak, work)
    del made
    free_memory()
    return found


def _measured(
    name: str, made: Workbench, phases: dict[str, float], notes: list[str], peak: PeakMemory, work: Work
) -> Bench:
    model, settings, evaluation = made.model, made.run.settings, made.baseline.evaluation
    tokens = [row for rows in made.tokens.values() for row in rows]
    size, seconds = choose_batch_size(model, tokens, settings.max_batch_size, settings.max_response_length, work)
    model.batch_size = size
    told: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Notice):
            told.append(event.text)

    pool, together = open_pool(model, evaluation, StepCost(seconds), work.heard_by(listen))
    described = model.describe(settings.quantization)
    edits = _edits(made)
    # The first passes also load kernels, and keep the base model's states, once a run.
    _run(pool, [made.job(None, edits[0])], work)
    one, fast_seconds = _run(pool, [made.job(None, each) for each in edits], work)
    other, plain_seconds = _run(PlainPool(model, evaluation, work), [made.job(None, each) for each in edits], work)
    whole = model.dtype == torch.float32 and settings.quantization == "none"
    pairs = [pair for a, b in zip(one, other, strict=True) for pair in zip(a.responses, b.responses, strict=True)]
    said = [(a, b) for a, b in pairs if a and b]
    verdicts = sum(a.verdict.refused != b.verdict.refused for a, b in said)
    texts = sum(a.text != b.text for a, b in said)
    kls = [
        (evaluation.figures(a)["kl_divergence"], evaluation.figures(b)["kl_divergence"])
        for a, b in zip(one, other, strict=True)
    ]
    apart = max(abs(a - b) for a, b in kls)
    exact = apart <= (_ROUNDING if whole else _ROUNDING_16) * max(1.0, *(b for _, b in kls))
    exact = exact and max(verdicts, texts) <= (_OTHERS if whole else _OTHERS_16) * len(said) + 1
    return Bench(
        name=name,
        quantization=settings.quantization,
        dtype=described.dtype,
        device=described.device,
        parameters=described.parameters,
        phases=phases,
        step_seconds={rows: round(each, 6) for rows, each in seconds.items()},
        batch_size=size,
        tokens_per_second=round(size / seconds[size], 1) if size in seconds else 0.0,
        fast=isinstance(pool, FastPool),
        together=together,
        edits=len(edits),
        responses=len(said),
        kl=max(b for _, b in kls),
        kl_apart=apart,
        verdicts_apart=verdicts,
        texts_apart=texts,
        fast_seconds=round(fast_seconds, 3),
        plain_seconds=round(plain_seconds, 3),
        memory=peak.bytes(),
        planned=made.run.record.planned.memory if made.run.record.planned else None,
        exact=exact,
        notes=[*notes, *told],
    )


def _edits(made: Workbench) -> list[Parameters]:
    """Edits from a weak one to one of all layers."""
    depth = made.model.depth
    found = []
    for number in range(1, _EDITS + 1):
        share = number / _EDITS
        kernel = Kernel(share, depth / 2, 0.5 * share, max(1.0, depth * share))
        index = None if number % 2 else depth * 0.6
        found.append(Parameters(index, dict.fromkeys(made.model.anatomy.components, kernel)))
    return found


def _run(pool: Pool, jobs: Sequence[Job], work: Work) -> tuple[list[Job], float]:
    """The jobs measured, and how long it took."""
    start = time.perf_counter()
    for job in jobs:
        pool.start(job)
    for _ in jobs:
        work.checkpoint()
        pool.advance()
    for job in jobs:
        if job.error:
            raise job.error
    return list(jobs), time.perf_counter() - start
