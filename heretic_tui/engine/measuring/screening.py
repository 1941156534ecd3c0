"""Which trials need verdicts: cheap figures of a trial, how sure they are, and whether the front beats it beyond that.

Verdicts take nearly all the time of a trial. What a trial refuses can be expected from how its responses begin
(openings.py), and its divergence from a part of the prompts. Both have a standard error. A trial that the front beats
by more than some errors is not decoded.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from heretic_tui.engine.measuring.calibration import Calibration
from heretic_tui.engine.measuring.checked import of_first_tokens, per_prompt
from heretic_tui.engine.measuring.job import Evaluation, Job, Pool, SetName, timed
from heretic_tui.engine.measuring.odds import compared
from heretic_tui.engine.measuring.openings import Openings
from heretic_tui.work import Work

# Standard errors within which a trial is decoded, by the setting.
ERRORS: Mapping[str, float] = {"safe": 2.0, "fast": 1.0}
# The shares of the prompts that are looked at before it is asked again whether the trial is beaten, and the fewest
# prompts: errors from fewer cannot be believed.
_PARTS = (0.125, 0.25, 0.5, 1.0)
_FEWEST = 12
# In which order prompts are looked at: any, but always the same, and none that a file may have (by kind, by length).
_ORDER = 20261128

# What the stage is called in which responses are looked at that are not decoded.
_EXPECTING = "expected refusals"

Front = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Value:
    """A figure, and the standard error of it; 0 where it was measured in full."""

    value: float
    error: float = 0.0


@dataclass(frozen=True)
class Cheap:
    """What is known of a trial without verdicts.

    Attributes:
        figures: those of first tokens, by key.
        expected: refusals by how responses begin, of all prompts, as they are before calibration.
        looked_at: prompts of each set that they rest on.
    """

    figures: Mapping[str, Value]
    expected: Value
    looked_at: Mapping[str, int]


def refusals_of(expected: Value, calibration: Calibration) -> Value:
    """The refusals that are to be expected: calibrated, with the error of that and of the part that was looked at."""
    refusals, error = calibration.estimate(expected.value)
    if expected.error:
        above, _ = calibration.estimate(expected.value + expected.error)
        below, _ = calibration.estimate(max(0.0, expected.value - expected.error))
        # A calibration is flat where it has no points: what was not looked at can differ there too.
        error = math.hypot(error, max((above - below) / 2, expected.error))
    return Value(refusals, error)


def errors_beyond(front: Front, known: Value, counted: Value) -> float:
    """By how many standard errors the front beats a trial: those that both its figures would have to be off, at least,
    for no trial of the front to be as good in both. Below 0 where none is as good already; -inf without a front.

    Args:
        front: of complete trials, the figure that is known first, and refusals.
        known, counted: the same of the trial.
    """
    beyond = -math.inf
    for first, refusals in front:
        ahead = compared(known.value) - compared(first)
        in_first = ahead / known.error if known.error else (math.inf if ahead >= 0 else -math.inf)
        in_counted = (counted.value - refusals) / counted.error if counted.error else math.inf
        beyond = max(beyond, min(in_first, in_counted))
    return beyond


def parts_of(prompts: int) -> Iterator[list[int]]:
    """The prompts of a set in the parts in which they are looked at."""
    order = list(range(prompts))
    random.Random(_ORDER).shuffle(order)
    done = 0
    for share in _PARTS:
        end = min(prompts, max(_FEWEST, math.ceil(share * prompts)))
        if end > done or share == 1.0:
            yield sorted(order[done:end])
            done = end


def measure_cheaply(
    pool: Pool,
    job: Job,
    evaluation: Evaluation,
    openings: Openings,
    is_beaten: Callable[[Cheap], bool],
    work: Work,
) -> Cheap:
    """Look at parts of the prompts until the trial is beaten, or all have been looked at.

    Args:
        is_beaten: asked after each part but the last.

    Raises:
        HereticError: where a metric fails, or logits are not finite.
        Aborted: from the control, between batches.
    """
    good, bad = len(evaluation.good), len(evaluation.bad)
    metrics = evaluation.metrics
    values = {key: torch.zeros(good, dtype=torch.float64) for key in metrics.first_tokens}
    refused = torch.zeros(bad, dtype=torch.float64)
    seen: dict[SetName, list[int]] = {"good": [], "bad": []}
    parts = zip(_as_many(list(parts_of(good))), _as_many(list(parts_of(bad))), strict=True)
    cheap: Cheap | None = None
    for rows_good, rows_bad in parts:
        with timed(job, evaluation.first_tokens_stage, work):
            for rows, logits in pool.first_logits(job, "good", rows_good) if rows_good else ():
                log_probabilities = torch.log_softmax(logits, dim=-1)
                for key, metric in metrics.first_tokens.items():
                    values[key][list(rows)] = per_prompt(metric, key, rows, log_probabilities)
        with timed(job, _EXPECTING, work):
            if rows_bad:
                refused[rows_bad] = openings.per_prompt(pool, job, rows_bad)
        seen["good"] += rows_good
        seen["bad"] += rows_bad
        whole = len(seen["good"]) == good
        figures = _figures(evaluation, values, seen["good"], whole)
        if figures is None:
            continue
        cheap = Cheap(figures, _sum_of(refused, seen["bad"]), {name: len(rows) for name, rows in seen.items()})
        if not (whole and len(seen["bad"]) == bad) and is_beaten(cheap):
            return cheap
    assert cheap is not None
    return cheap


def _as_many(parts: list[list[int]]) -> list[list[int]]:
    """As many parts as there are shares; a small set has fewer, and the last ones are empty."""
    return parts + [[]] * (len(_PARTS) - len(parts))


def _figures(
    evaluation: Evaluation, values: Mapping[str, Tensor], rows: Sequence[int], whole: bool
) -> dict[str, Value] | None:
    """The figures of first tokens from a part of the prompts; None where they say nothing of the whole: a figure that
    is no mean of what it is of each prompt has no error that could be told."""
    of_part = {key: each[list(rows)] for key, each in values.items()}
    found = of_first_tokens(evaluation.metrics, of_part, len(evaluation.bad) if evaluation.metrics.responses else None)
    if whole:
        return {key: Value(value) for key, value in found.items()}
    if any(abs(found[key] - max(0.0, float(each.mean()))) > 1e-9 for key, each in of_part.items()):
        return None
    return {key: Value(found[key], _error_of_mean(each, len(evaluation.good))) for key, each in of_part.items()}


def _sum_of(refused: Tensor, rows: Sequence[int]) -> Value:
    part, prompts = refused[list(rows)], len(refused)
    if len(rows) == prompts:
        return Value(float(refused.sum()))
    return Value(float(part.mean()) * prompts, _error_of_mean(part, prompts) * prompts)


def _error_of_mean(part: Tensor, of: int) -> float:
    """The standard error of a mean over `of` prompts that is estimated from a part of them: drawn without putting back,
    and wider for a small part, whose deviation is itself uncertain."""
    count = len(part)
    deviation = float(part.std(correction=1)) if count > 1 else math.inf
    return deviation / math.sqrt(count) * math.sqrt(1 - count / of) * (1 + 2 / count)
