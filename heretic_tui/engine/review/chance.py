"""What chance can do to means and to the agreement of judges: intervals, and whether the difference of two paired
samples is within it. (Of shares and counts: heretic_tui/shares.py.) NumPy and SciPy alone.

Two samples are paired where they hold, at each place, what two models made of the same prompt. Where there are several
values of a prompt (sampled answers), its mean is one value: answers to one prompt are not independent of each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtrit

from heretic_tui.shares import LEVEL, Interval, share_interval

# Of fewer values than these a bootstrap says nothing: it draws from what it has, and knows no other.
FEWEST = 8
# With so many, what the seed changes of a bound is about a hundredth of the interval's width.
DRAWS = 10_000
# What rounding leaves of figures that are equal, as a share of them.
_ROUNDING = 8 * float(np.finfo(np.float64).eps)
# Numbers that are drawn at once: 16 MiB of indices.
_AT_ONCE = 2**21


@dataclass(frozen=True)
class Agreement:
    """How far two judges agree.

    Attributes:
        kappa: Cohen's: 0 for no more agreement than by chance, 1 for agreement in all cases. None where both judges
            give all cases the same verdict, so that nothing can be told from chance.
        interval: of kappa; None where there is no kappa.
    """

    kappa: float | None
    interval: Interval | None


@dataclass(frozen=True)
class MeanDifference:
    """How the means of two paired samples differ.

    Attributes:
        difference: the mean of the second less that of the first.
        interval: of the difference; None where the values are too few (`FEWEST`) to tell.
    """

    difference: float
    interval: Interval | None

    @property
    def within_chance(self) -> bool:
        """Whether no difference at all is as well possible; also where the values are too few to tell."""
        return self.interval is None or 0.0 in self.interval


def mean_interval(values: ArrayLike, seed: int) -> Interval | None:
    """Bootstrap interval of the mean of independent values, (values,); None for fewer than `FEWEST`.

    Bias-corrected and accelerated (BCa), since divergences are skewed, at a level that is widened by as much as
    Student's t is wider than the normal distribution: a plain bootstrap of few values is too narrow.

    Args:
        seed: the same values and seed give the same interval.

    Raises:
        ValueError: for values that are not finite, or not in one dimension.
    """
    array = _finite(values)
    count = len(array)
    if count < FEWEST:
        return None
    offsets = array - array.mean()
    spread = float((offsets**2).sum())
    # Equal values, but for the rounding of their mean.
    if spread <= (_ROUNDING * float(np.abs(array).max())) ** 2 * count:
        return Interval(float(array.mean()), float(array.mean()))
    means = np.sort(_drawn(offsets, seed, _means_of_resamples))
    below = (np.searchsorted(means, 0.0, "left") + np.searchsorted(means, 0.0, "right")) / (2 * len(means))
    bias = float(ndtri(np.clip(below, 1 / len(means), 1 - 1 / len(means))))
    acceleration = float((offsets**3).sum()) / (6 * spread**1.5)
    z = expanded_z(count)
    low, high = (
        float(np.quantile(means, ndtr(bias + (bias + side) / (1 - acceleration * (bias + side))))) for side in (-z, z)
    )
    return Interval(float(array.mean()) + low, float(array.mean()) + high)


def expanded_z(count: int) -> float:
    """The distance from the middle of a bootstrap interval of a mean to its bounds, in standard errors as the
    bootstrap of `count` values finds them: they are too small by √((count − 1) / count)."""
    return float(stdtrit(count - 1, (1 + LEVEL) / 2)) * math.sqrt(count / (count - 1))


def agreement(first: Sequence[Hashable], second: Sequence[Hashable]) -> Agreement | None:
    """How far two judges agree on the same cases, whatever their verdicts are called; None where there is no case.

    The interval rests on the large-sample error of kappa (Fleiss, Cohen and Everitt 1969). That is zero where the
    judges agree in all cases, however few: there it is what Wilson's interval of the agreement makes of kappa.

    Raises:
        ValueError: where one judge has judged more cases than the other.
    """
    if len(first) != len(second):
        raise ValueError(f"verdicts on {len(first)} and on {len(second)} cases cannot be compared")
    total = len(first)
    if not total:
        return None
    labels = {label: place for place, label in enumerate(dict.fromkeys([*first, *second]))}
    table = np.zeros((len(labels), len(labels)))
    for one, other in zip(first, second, strict=True):
        table[labels[one], labels[other]] += 1 / total
    by_first, by_second = table.sum(axis=1), table.sum(axis=0)
    alike = sum(one == other for one, other in zip(first, second, strict=True))
    share, expected = alike / total, float(by_first @ by_second)
    if len(labels) == 1:
        return Agreement(None, None)
    kappa = (share - expected) / (1 - expected)
    if alike == total:
        lowest = share_interval(alike, total)
        assert lowest
        return Agreement(kappa, Interval(max(-1.0, (lowest.low - expected) / (1 - expected)), 1.0))
    on = np.diag(table)
    agreeing = float((on * (1 - (by_first + by_second) * (1 - kappa)) ** 2).sum())
    pairs = (by_second[:, None] + by_first[None, :]) ** 2 * table
    differing = (1 - kappa) ** 2 * float(pairs.sum() - np.diag(pairs).sum())
    variance = (agreeing + differing - (kappa - expected * (1 - kappa)) ** 2) / (total * (1 - expected) ** 2)
    half = float(ndtri((1 + LEVEL) / 2)) * math.sqrt(max(0.0, variance))
    return Agreement(kappa, Interval(max(-1.0, kappa - half), min(1.0, kappa + half)))


def mean_difference(first: ArrayLike, second: ArrayLike, seed: int) -> MeanDifference:
    """How the means of two paired samples differ, (prompts,) each.

    Were both alike, the difference at a prompt could as well have the other sign: the interval holds all that this
    does not rule out (a test of random signs, turned around: Hartigan 1969). No shape of the differences is assumed,
    and of values that are 0 or 1 it says what McNemar's exact test does; a bootstrap tells too many apart, where most
    of a few differences are small and some are large.

    Args:
        seed: the same values and seed give the same interval.

    Raises:
        ValueError: where one holds more prompts than the other, none are there, or values are not finite.
    """
    one, other = _finite(first), _finite(second)
    _check_pairs(one, other)
    if not len(one):
        raise ValueError("no values to compare")
    differences = other - one
    # Equal figures, but for their rounding.
    scale = max(float(np.abs(one).max()), float(np.abs(other).max()))
    differences[np.abs(differences) <= _ROUNDING * scale] = 0.0
    interval = None if len(differences) < FEWEST else _signs_interval(differences, seed)
    return MeanDifference(float(differences.mean()), interval)


def _signs_interval(values: NDArray[np.float64], seed: int) -> Interval:
    """Where the middle of symmetric values lies. With random signs their sum is more than it is with their own just
    where the mean of those that change their sign is below the middle; so this takes the means of random parts."""
    means = _drawn(values, seed, _means_of_parts)
    # Differences that cancel each other, but for rounding.
    means[np.abs(means) <= _ROUNDING * float(np.abs(values).max())] = 0.0
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def _means_of_parts(values: NDArray[np.float64], generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Means of parts that hold each value as likely as not, and at least one: (parts,), up to `count`."""
    chosen = generator.random((count, len(values)), dtype=np.float32) < 0.5
    chosen = chosen[chosen.any(axis=1)]
    means: NDArray[np.float64] = (chosen @ values) / chosen.sum(axis=1)
    return means


def _means_of_resamples(values: NDArray[np.float64], generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Means of samples that are drawn with replacement, (count,)."""
    means: NDArray[np.float64] = values[generator.integers(0, len(values), size=(count, len(values)))].mean(axis=1)
    return means


def _drawn(
    values: NDArray[np.float64],
    seed: int,
    draw: Callable[[NDArray[np.float64], np.random.Generator, int], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """So many (`DRAWS`) means as are drawn, in parts that fit into memory."""
    generator = np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // len(values))
    return np.concatenate([draw(values, generator, min(rows, DRAWS - start)) for start in range(0, DRAWS, rows)])


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError("expected finite values in one dimension")
    return array


def _check_pairs(one: NDArray[np.generic], other: NDArray[np.generic]) -> None:
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"samples of the shapes {one.shape} and {other.shape} are not paired")
