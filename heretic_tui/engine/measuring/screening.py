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

import numpy as np
import torch
from torch import Tensor

from heretic_tui.engine.measuring.calibration import Calibration
from heretic_tui.engine.measuring.checked import of_first_tokens, per_prompt
from heretic_tui.engine.measuring.job import Evaluation, Job, Pool, SetName, timed
from heretic_tui.engine.measuring.odds import compared
from heretic_tui.engine.measuring.openings import Openings
from heretic_tui.engine.measuring.verdict_odds import VerdictOdds, left_out
from heretic_tui.work import Work

# Standard errors within which a trial is decoded, by the setting.
ERRORS: Mapping[str, float] = {"safe": 2.0, "fast": 1.0}
# The shares of the prompts that are looked at before it is asked again whether the trial is beaten, and the fewest
# prompts: errors from fewer cannot be believed.
_PARTS = (0.125, 0.25, 0.5, 1.0)
_FEWEST = 12
# In which order prompts are looked at: any, but always the same, and none that a file may have (by kind, by length).
_ORDER = 20261128

# Parts of the decoded trials that are left out in turn, to find how far expectations are off.
_FOLDS = 16
# Digits of an estimate of refusals, and of how responses begin: what lies behind them depends on what else was in a
# batch.
_DIGITS, _OPENING_DIGITS = 1, 4

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
        openings: of the prompts that were looked at, in their order, the probability that the response begins like a
            refusal.
        looked_at: prompts of each set that they rest on.
    """

    figures: Mapping[str, Value]
    openings: Sequence[float]
    looked_at: Mapping[str, int]


class Expectation:
    """What is expected of trials that are not decoded, by those that were.

    Args:
        openings: of the base model and of decoded trials, the probability that a response begins like a refusal, by bad
            evaluation prompt.
        refused: their verdicts.
    """

    def __init__(self, openings: Sequence[Sequence[float]], refused: Sequence[Sequence[bool]]) -> None:
        known, verdicts = np.array(openings, dtype=np.float64), np.array(refused, dtype=np.bool_)
        self._prompts = known.shape[1]
        self._odds = VerdictOdds(known, verdicts)
        by_others = left_out(known, verdicts, _FOLDS)
        points = [(float(one), int(other)) for one, other in zip(by_others, verdicts.sum(axis=1), strict=True)]
        self._calibration = Calibration(points, self._prompts)

    def refusals(self, openings: Sequence[float]) -> Value:
        """The refusals that are to be expected of a trial, with the error of that.

        Args:
            openings: of the prompts that were looked at, in their order.
        """
        rows = looked_at(self._prompts, len(openings))
        chances = torch.from_numpy(self._odds.chances(np.array(openings, dtype=np.float64), rows))
        value, error = float(chances.mean()) * self._prompts, 0.0
        if len(rows) < self._prompts:
            error = _error_of_mean(chances, self._prompts) * self._prompts
        refusals, own = self._calibration.estimate(value)
        return Value(round(refusals, _DIGITS), round(math.hypot(own, error), _DIGITS))


def expected(openings: Sequence[float], prompts: int) -> Value:
    """Expected refusals by how responses begin alone: what the figure of that name is."""
    part = torch.tensor(openings, dtype=torch.float64)
    if len(openings) == prompts:
        return Value(float(part.sum()))
    return Value(float(part.mean()) * prompts, _error_of_mean(part, prompts) * prompts)


def rounded(openings: Sequence[float]) -> list[float]:
    """How responses begin, as it is kept."""
    return [round(chance, _OPENING_DIGITS) for chance in openings]


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
        # It has to refuse one prompt less to be better; what is best already cannot be better.
        in_counted = (counted.value - refusals + 0.5) / counted.error if refusals > 0 else math.inf
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


def looked_at(prompts: int, count: int) -> list[int]:
    """The prompts of a set that are looked at first, in their order.

    Args:
        count: of as many as some parts have.
    """
    found: list[int] = []
    for part in parts_of(prompts):
        if len(found) >= count:
            break
        found += part
    return sorted(found)


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
        with timed(job, evaluation.openings_stage, work):
            if rows_bad:
                refused[rows_bad] = openings.per_prompt(pool, job, rows_bad)
        seen["good"] += rows_good
        seen["bad"] += rows_bad
        whole = len(seen["good"]) == good
        figures = _figures(evaluation, values, seen["good"], whole)
        if figures is None:
            continue
        begun = rounded(refused[sorted(seen["bad"])].tolist())
        cheap = Cheap(figures, begun, {name: len(rows) for name, rows in seen.items()})
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


def _error_of_mean(part: Tensor, of: int) -> float:
    """The standard error of a mean over `of` prompts that is estimated from a part of them: drawn without putting back,
    and wider for a small part, whose deviation is itself uncertain."""
    count = len(part)
    deviation = float(part.std(correction=1)) if count > 1 else math.inf
    return deviation / math.sqrt(count) * math.sqrt(1 - count / of) * (1 + 2 / count)
