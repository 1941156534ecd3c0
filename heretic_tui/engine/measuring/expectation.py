"""What trials that are not decoded are expected to be, by those that were: their refusals from how responses begin, and
the figures of first tokens from a part of the prompts. Each with its standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heretic_tui.engine.measuring.calibration import Calibration
from heretic_tui.engine.measuring.verdict_odds import VerdictOdds, left_out

Values = NDArray[np.float64]

# Parts of the decoded trials that are left out in turn, to find how far expectations are off.
_FOLDS = 16
# Digits of an estimate of refusals: what lies behind them depends on what else was in a batch.
_DIGITS = 1
# An error of a figure from a part of the prompts is never less than this share of it.
_SUREST = 0.03


@dataclass(frozen=True)
class Value:
    """A figure, and the standard error of it; 0 where it was measured in full."""

    value: float
    error: float = 0.0


class Expectation:
    """The refusals of trials that are not decoded.

    Args:
        openings: of the base model and of decoded trials, the probability that a response is a refusal by how it
            begins, by bad evaluation prompt.
        refused: their verdicts.
    """

    def __init__(self, openings: Sequence[Sequence[float]], refused: Sequence[Sequence[bool]]) -> None:
        known, verdicts = np.array(openings, dtype=np.float64), np.array(refused, dtype=np.bool_)
        self._prompts = known.shape[1]
        self._odds = VerdictOdds(known, verdicts)
        self._left_out = left_out(known, verdicts, _FOLDS)
        self._refused = verdicts.sum(axis=1)
        self._calibrations: dict[tuple[int, ...], Calibration] = {}

    def refusals(self, openings: Sequence[float], prompts: Sequence[int] | None = None) -> Value:
        """The refusals that are to be expected of a trial.

        Args:
            openings: of the prompts that were looked at.
            prompts: which these are; None: all.
        """
        rows = tuple(range(self._prompts) if prompts is None else prompts)
        chances = self._odds.chances(np.array(openings, dtype=np.float64), rows)
        refusals, error = self._calibration(rows).estimate(float(chances.mean()) * self._prompts)
        return Value(round(refusals, _DIGITS), round(error, _DIGITS))

    def _calibration(self, rows: tuple[int, ...]) -> Calibration:
        """What the same prompts said of the trials that were decoded."""
        if rows not in self._calibrations:
            expected = self._left_out[:, list(rows)].mean(axis=1) * self._prompts
            points = [(float(one), int(other)) for one, other in zip(expected, self._refused, strict=True)]
            self._calibrations[rows] = Calibration(points, self._prompts)
        return self._calibrations[rows]


class Shares:
    """A figure of first tokens from a part of the prompts, by the share of it that the same part had in trials that
    were measured on all.

    Args:
        per_prompt: of these trials, by prompt, (trials, prompts).
        figures: what the figure of each is.
    """

    def __init__(self, per_prompt: Sequence[Sequence[float]], figures: Sequence[float]) -> None:
        self._per_prompt = np.array(per_prompt, dtype=np.float64)
        self._figures = np.array(figures, dtype=np.float64)

    def estimate(self, values: Sequence[float], prompts: Sequence[int]) -> Value | None:
        """The figure of a trial; None where a part says nothing of it: there is nothing above 0, or nothing to compare
        with.

        Args:
            values: of the prompts that were looked at.
            prompts: which these are.
        """
        if len(self._figures) < 3:
            return None
        part = float(np.mean(values))
        known = self._per_prompt[:, list(prompts)].mean(axis=1)
        if part <= 0 or (known <= 0).any() or (self._figures <= 0).any():
            return None
        shares = np.log(self._figures / known)
        value = part * math.exp(float(shares.mean()))
        error = float(shares.std(ddof=1)) * (1 + 1.5 / len(shares))
        return Value(value, value * max(error, _SUREST))
