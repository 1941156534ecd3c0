"""What expected refusals say of refusals: learnt from trials that were measured both ways, with an honest error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

# Points are left out one at a time up to this number, and every so many-th together beyond it.
_FOLDS = 48
# Points that are to be near enough for their residuals to count fully: a third of all, from the first to the second
# number. Of few points those far away say nothing of a place that has one beside it.
_FEWEST_NEAR, _NEAR = 2, 4
# Residuals that are assumed before any is known, and their size: a share of what chance alone would make of verdicts
# that are independent of each other.
_ASSUMED, _SIZE = 1.0, 0.6
# With more points than these the first and the last one are left out of the error.
_ENDS = 4
# Where no point lies near, a smooth curve decides: it counts as a point of this weight in each hundredth of the range.
_TRUST, _GRID = 0.25, 100
# What is assumed of that curve before there are points, its slope and offset in log-odds, and how firmly; so many
# verdicts each point counts as, fewer than it has: the verdicts of one edit are not independent of each other.
_CURVE, _FIRMNESS, _VERDICTS = np.array([1.3, 0.0]), np.diag([4.0, 2.0]), 40.0
# Newton's steps end below this size. More refusals expected never make fewer.
_STILL, _FLATTEST = 1e-9, 0.05
# Verdicts are whole numbers: no estimate is surer than this.
_LEAST = 0.5


class Calibration:
    """Refusals as they follow from expected refusals: the more are expected, the more (or as many) are measured.

    The standard error rests on how far each point is from what the others say of it: those near the place count most,
    few points make it larger, and so does a place beyond all points. It is made so that about 95 % of trials are within
    two standard errors.

    Args:
        points: expected refusals and refusals measured, of the base model and of trials in full.
        prompts: number of bad evaluation prompts.
    """

    def __init__(self, points: Sequence[tuple[float, int]], prompts: int) -> None:
        self._prompts = prompts
        # In an order of their own, so that a sum does not depend on which trial ended first.
        ordered = np.array(sorted(points), dtype=np.float64).reshape(-1, 2)
        self._expected, self._measured = ordered[:, 0], ordered[:, 1]
        self._curve = _fitted(self._expected, self._measured, prompts)
        self._residuals = self._left_out()

    def estimate(self, expected: float) -> tuple[float, float]:
        """The refusals that so many expected ones let measure, and their standard error (above 0)."""
        if not len(self._expected):
            # Nothing is known but the figure's own scale.
            value = min(max(expected, 0.0), float(self._prompts))
            return value, max(self._by_chance(value), _LEAST) * _inflated(_ASSUMED)
        value = float(np.interp(expected, *self._curve))
        return value, self._error(expected, value)

    def _error(self, expected: float, value: float) -> float:
        distances = np.abs(self._expected - expected)
        near = min(max(_FEWEST_NEAR, min(_NEAR, len(distances) // 3)), len(distances))
        width = float(np.sort(distances)[near - 1]) + 1.0
        weights = np.exp(-0.5 * (distances / width) ** 2)
        if len(distances) > _ENDS:
            # Without the first or the last point the curve ends before it: how far it is off there says nothing of
            # places between points.
            weights[[0, -1]] = 0.0
        known = float(weights.sum())
        squares = float((weights * self._residuals**2).sum()) + _ASSUMED * (_SIZE * self._by_chance(value)) ** 2
        error = np.sqrt(squares / (known + _ASSUMED)) * _inflated(known + _ASSUMED)
        # Beyond the points nothing says how the curve goes on: as far as the figure itself goes on, at most.
        beyond = max(self._expected[0] - expected, expected - self._expected[-1], 0.0)
        return float(max(np.hypot(error, beyond / 2), _LEAST))

    def _left_out(self) -> Values:
        """How far each point is from what is fitted without it."""
        count = len(self._expected)
        residuals = np.zeros(count)
        if count < 2:
            # One point says nothing of the error.
            return residuals + self._by_chance(self._prompts / 2)
        folds = np.arange(count) % min(count, _FOLDS)
        for fold in range(min(count, _FOLDS)):
            out, others = folds == fold, folds != fold
            curve = _fitted(self._expected[others], self._measured[others], self._prompts)
            residuals[out] = self._measured[out] - np.interp(self._expected[out], *curve)
        return residuals

    def _by_chance(self, value: float) -> float:
        """The standard deviation of a count of prompts that are refused independently, value of them in the mean."""
        share = min(max(value / self._prompts, 1 / (self._prompts + 2)), 1 - 1 / (self._prompts + 2))
        return float(np.sqrt(self._prompts * share * (1 - share)))


def _fitted(expected: Values, measured: Values, prompts: int) -> tuple[Values, Values]:
    """The isotonic curve through points: places in order, and values, linear between them. Where points lie far apart
    it follows a smooth curve that fits all of them."""
    # It takes a third of a second to import, and no first trial waits for it.
    from scipy.optimize import isotonic_regression

    grid = np.linspace(0.0, prompts, _GRID + 1)
    places, which = np.unique(np.concatenate([expected, grid]), return_inverse=True)
    values = np.concatenate([measured, _smooth(expected, measured, prompts, grid)])
    weights = np.concatenate([np.ones(len(expected)), np.full(len(grid), _TRUST)])
    # Points of one place count as one, of their mean.
    weight = np.bincount(which, weights)
    mean = np.bincount(which, weights * values) / weight
    return places, np.clip(isotonic_regression(mean, weights=weight).x, 0.0, prompts)


def _smooth(expected: Values, measured: Values, prompts: int, at: Values) -> Values:
    """The log-odds of a refusal as a line of the expected log-odds, at some places (Platt 1999): by penalised
    likelihood, with Newton's steps."""
    line = _CURVE.copy()
    features = np.stack([_log_odds(expected, prompts), np.ones_like(expected)], axis=1)
    shares = measured / prompts

    def loss(tried: Values) -> float:
        odds = features @ tried
        unlikely = np.logaddexp(0.0, odds) - shares * odds
        return float(_VERDICTS * unlikely.sum() + (tried - _CURVE) @ _FIRMNESS @ (tried - _CURVE) / 2)

    for _ in range(50):
        found = _shares(features @ line)
        slope = _VERDICTS * features.T @ (shares - found) - _FIRMNESS @ (line - _CURVE)
        curvature = _VERDICTS * features.T @ (features * (found * (1 - found))[:, None]) + _FIRMNESS
        step, before = np.linalg.solve(curvature, slope), loss(line)
        # A whole step may go too far, and the next ones ever farther; a small enough part of it never does.
        while loss(line + step) > before and np.abs(step).max() > _STILL:
            step = step / 2
        line = line + step
        if np.abs(step).max() <= _STILL:
            break
    return np.asarray(prompts * _shares(max(line[0], _FLATTEST) * _log_odds(at, prompts) + line[1]), dtype=np.float64)


def _log_odds(expected: Values, prompts: int) -> Values:
    return np.asarray(np.log((expected + 0.5) / (prompts - expected + 0.5)), dtype=np.float64)


def _shares(log_odds: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -12, 12))), dtype=np.float64)


def _inflated(points: float) -> float:
    """How much wider an error is that rests on few points, so that two of it hold 95 %: as Student's t against the
    normal distribution, about (Peizer and Pratt's form to first order)."""
    return 1.0 + 1.5 / max(points - 0.5, 0.5)
