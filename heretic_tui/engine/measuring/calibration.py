"""What expected refusals say of refusals: learnt from trials that were measured both ways, with an honest error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

Values = NDArray[np.float64]

# Points are left out one at a time up to this number, and every so many-th together beyond it.
_FOLDS = 48
# Points that are to be near enough for their residuals to count fully.
_NEAR = 6
# Residuals that are assumed before any is known, each of the size that chance alone would make.
_ASSUMED = 1.0
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
        self._residuals = self._left_out()

    def estimate(self, expected: float) -> tuple[float, float]:
        """The refusals that so many expected ones let measure, and their standard error (above 0)."""
        if not len(self._expected):
            # Nothing is known but the figure's own scale.
            value = min(max(expected, 0.0), float(self._prompts))
            return value, max(self._by_chance(value), _LEAST) * _inflated(_ASSUMED)
        value = float(_fitted(self._expected, self._measured, self._prompts, np.array([expected]))[0])
        return value, self._error(expected, value)

    def _error(self, expected: float, value: float) -> float:
        distances = np.abs(self._expected - expected)
        width = float(np.sort(distances)[min(_NEAR, len(distances)) - 1]) + 1.0
        weights = np.exp(-0.5 * (distances / width) ** 2)
        known = float(weights.sum())
        squares = float((weights * self._residuals**2).sum()) + _ASSUMED * self._by_chance(value) ** 2
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
            fitted = _fitted(self._expected[others], self._measured[others], self._prompts, self._expected[out])
            residuals[out] = self._measured[out] - fitted
        return residuals

    def _by_chance(self, value: float) -> float:
        """The standard deviation of a count of prompts that are refused independently, value of them in the mean."""
        share = min(max(value / self._prompts, 1 / (self._prompts + 2)), 1 - 1 / (self._prompts + 2))
        return float(np.sqrt(self._prompts * share * (1 - share)))


def _fitted(expected: Values, measured: Values, prompts: int, at: Values) -> Values:
    """The isotonic curve through points, at some places; flat beyond them."""
    curve = IsotonicRegression(y_min=0.0, y_max=float(prompts), increasing=True, out_of_bounds="clip")
    return np.asarray(curve.fit(expected, measured).predict(at), dtype=np.float64)


def _inflated(points: float) -> float:
    """How much wider an error is that rests on few points, so that two of it hold 95 %: as Student's t against the
    normal distribution, about (Peizer and Pratt's form to first order)."""
    return 1.0 + 1.5 / max(points - 0.5, 0.5)
