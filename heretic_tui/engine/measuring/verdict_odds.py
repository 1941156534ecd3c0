"""What the beginning of a response says of its verdict: learnt, prompt by prompt, from trials that were decoded.

The probability that a response begins like a refusal is no probability that it is one: what is most likely comes out,
so the one rises slowly from edit to edit where the other leaps; and prompts differ in where it does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

# Log-odds beyond these are those of rounding.
_MOST = 9.0
# How firmly it is assumed that the log-odds are those of the beginning: of the slope (1), of the offset (0), and of
# what each prompt adds (0).
_SLOPE, _OFFSET, _PROMPT = 0.05, 0.05, 0.5
_STEPS = 40


class VerdictOdds:
    """The log-odds of a refusal as a line of those of its beginning, with an offset for each prompt: logistic
    regression with a penalty, by Newton's steps.

    Args:
        beginnings: the probability that the response begins like a refusal, by trial and prompt, (trials, prompts).
        refused: its verdict, the same shape.
    """

    def __init__(self, beginnings: Values, refused: NDArray[np.bool_]) -> None:
        log_odds, wanted = _log_odds(beginnings), refused.astype(np.float64)
        self._slope, self._offset = 1.0, 0.0
        self._prompts = np.zeros(log_odds.shape[1])
        for _ in range(_STEPS):
            chances = _chances(self._slope * log_odds + self._offset + self._prompts)
            weights, missing = chances * (1 - chances) + 1e-9, wanted - chances
            # The prompts' offsets stand in one row each: they are solved for, and put in (Schur's complement).
            by_prompt = np.stack([(weights * log_odds).sum(axis=0), weights.sum(axis=0)])
            own = weights.sum(axis=0) + _PROMPT
            cross = float((weights * log_odds).sum())
            both = np.array(
                [
                    [float((weights * log_odds**2).sum()) + _SLOPE, cross],
                    [cross, float(weights.sum()) + _OFFSET],
                ]
            )
            rise = np.array(
                [
                    float((missing * log_odds).sum()) - _SLOPE * (self._slope - 1),
                    float(missing.sum()) - _OFFSET * self._offset,
                ]
            )
            rise_of_prompts = missing.sum(axis=0) - _PROMPT * self._prompts
            shared = by_prompt / own
            step = np.linalg.solve(both - shared @ by_prompt.T, rise - shared @ rise_of_prompts)
            of_prompts = (rise_of_prompts - step @ by_prompt) / own
            # Far from the solution a full step can lead further away.
            size = min(1.0, 2.0 / max(float(np.abs(step).max()), float(np.abs(of_prompts).max()), 1e-12))
            self._slope += size * float(step[0])
            self._offset += size * float(step[1])
            self._prompts = self._prompts + size * of_prompts
            if size == 1.0 and max(float(np.abs(step).max()), float(np.abs(of_prompts).max())) < 1e-8:
                break
        if self._slope <= 0:
            # The more a response begins like a refusal the less it is one: nothing was learned.
            self._slope, self._offset, self._prompts = 1.0, 0.0, np.zeros_like(self._prompts)

    def chances(self, beginnings: Values, prompts: Sequence[int]) -> Values:
        """The probability that responses to some prompts are refusals, from how they begin, (prompts,)."""
        return _chances(self._slope * _log_odds(beginnings) + self._offset + self._prompts[list(prompts)])


def left_out(beginnings: Values, refused: NDArray[np.bool_], folds: int) -> Values:
    """The probability that each response is a refusal, by the other trials alone, (trials, prompts).

    Args:
        folds: so many parts of the trials are left out in turn.
    """
    trials, prompts = beginnings.shape
    found = np.zeros((trials, prompts))
    part = np.arange(trials) % min(trials, folds)
    for fold in range(min(trials, folds)):
        out, others = part == fold, part != fold
        odds = VerdictOdds(beginnings[others], refused[others])
        for trial in np.flatnonzero(out):
            found[trial] = odds.chances(beginnings[trial], range(prompts))
    return found


def _log_odds(beginnings: Values) -> Values:
    with np.errstate(divide="ignore"):
        odds = np.log(beginnings) - np.log1p(-np.minimum(beginnings, 1 - 1e-12))
    return np.asarray(np.clip(odds, -_MOST, _MOST), dtype=np.float64)


def _chances(log_odds: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -30, 30))), dtype=np.float64)
