"""Which trials need verdicts: trials are looked at on a part of the prompts, without decoding, and are decoded where
the front does not beat them by more than the error of what is expected of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np

from heretic_tui.engine.measuring.expectation import Value
from heretic_tui.engine.measuring.job import Part
from heretic_tui.engine.measuring.odds import compared

# The share of the prompts that every trial is looked at on, and the fewest prompts.
_FIRST_PART, _FEWEST = 0.25, 12

Member = TypeVar("Member")
Front = Sequence[tuple[float, float]]
# By the key of a figure, its value for each prompt that was looked at.
PerPrompt = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Plan:
    """The prompts of both sets in the order in which they are looked at."""

    good: Sequence[int]
    bad: Sequence[int]

    def part_from(self, seen: int) -> Part:
        """The prompts that come next: the first of both sets, then the rest of the good ones.

        Args:
            seen: so many of the good prompts have been looked at, and not all of them.
        """
        if seen:
            return Part(self.good[seen:], [])
        return Part(self.good[: size(len(self.good))], self.bad[: size(len(self.bad))])


def size(prompts: int) -> int:
    """How many prompts of a set belong to the first part."""
    return min(prompts, max(_FEWEST, math.ceil(_FIRST_PART * prompts)))


def plan_of(first: Sequence[Sequence[float]], openings: Sequence[Sequence[float]]) -> Plan:
    """The good prompts that have most of a figure come first, since a few have nearly all of it. The bad ones are taken
    at even distances from those that are hardly ever refused to those that always are.

    Args:
        first: of some trials, the figure of first tokens by good prompt.
        openings: of the same, by bad prompt the probability that the response is a refusal.
    """
    values = np.array(first, dtype=np.float64)
    shares = values / np.maximum(values.mean(axis=1, keepdims=True), 1e-12)
    good = np.argsort(-np.round(shares.mean(axis=0), 6), kind="stable").tolist()
    ranked = np.argsort(np.round(np.array(openings, dtype=np.float64).mean(axis=0), 6), kind="stable").tolist()
    # Every fourth, then those half way between, then the rest.
    bad = [*ranked[2::4], *ranked[0::4], *ranked[1::2]]
    return Plan(good, bad)


def evenly(members: Sequence[Member], count: int) -> list[Member]:
    """So many of some trials or prompts, or all, from the whole length of their list."""
    count = min(count, len(members))
    return [members[place * len(members) // count] for place in range(count)]


def errors_beyond(front: Front, known: Value, counted: Value) -> float:
    """By how many standard errors the front beats a trial: the quantile of the normal distribution for the probability
    that some trial of the front is as good in both figures. Below 0 where that is less likely than not; -inf without a
    front.

    Args:
        front: of complete trials, the figure that is known first, and refusals.
        known, counted: the same of the trial; their errors are independent of each other.
    """
    # Between the first figures of two trials of the front, those with lower ones count: fewer refusals than the fewest
    # of them are needed to be better, one prompt less (and nothing is less than none).
    free, below, fewest = 0.0, 0.0, math.inf
    for first, refusals in [*sorted(front), (math.inf, 0.0)]:
        up_to = _below(first, known)
        free += (up_to - below) * (_below(fewest - 0.5, counted) if fewest > 0 else 0.0)
        below, fewest = up_to, min(fewest, refusals)
    if 0.0 < free < 1.0:
        return -NormalDist().inv_cdf(free)
    return math.inf if free <= 0.0 else -math.inf


def _below(limit: float, figure: Value) -> float:
    """The probability that a figure is below a limit."""
    excess = compared(figure.value) - compared(limit)
    if not figure.error or math.isinf(limit):
        return float(excess < 0)
    return math.erfc(excess / figure.error / math.sqrt(2)) / 2
