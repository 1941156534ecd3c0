"""What earlier trials tell about a running one: which prompts decide first, at how many refusals it has lost, and how
many it would have had."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from heretic_tui.engine.metrics.base import Response

_TINY = 1e-9
# Weight of the unweighted rates, in measurements of the same value of the other objective.
_PRIOR = 0.2
# Measurements that the odds are computed from, besides the base model's: more change little, and cost time.
_REMEMBERED = 256
# Digits beyond these depend on what else was in a batch.
_DIGITS = 5


def compared(value: float) -> float:
    """A figure as trials are compared by it, and as the search is told it."""
    return round(value, _DIGITS)


def refusals_to_lose(front: Sequence[tuple[float, int]], value: float) -> int | None:
    """The number of refusals at which a trial with this value is certain to be dominated; None where it cannot be.

    Args:
        front: value and refusals of trials that are fully measured.
        value: of the other objective, which is known before the first refusal.
    """
    own = compared(value)
    bars = [refusals + (compared(other) == own) for other, refusals in front if compared(other) <= own]
    return min(bars, default=None)


@dataclass(frozen=True)
class Past:
    """One measurement in full: the value of its other objective and, by prompt, the tokens after which a refusal was
    certain, None for an answer."""

    value: float
    delays: Sequence[int | None]


class Odds:
    """How the prompts were decided in some measurements, the base model's among them.

    Attributes:
        order: rows in the order in which they are best decoded: those first that are refused most often, then soonest.
    """

    def __init__(self, past: Sequence[Past]) -> None:
        self._past = past
        by_row = list(zip(*(measured.delays for measured in past), strict=True))
        found = [[tokens for tokens in delays if tokens is not None] for delays in by_row]
        # One measurement more, half refused: nothing is certain after a few trials.
        self._rates = [(len(delays) + 0.5) / (len(past) + 1) for delays in found]
        soonest = [sum(delays) / len(delays) if delays else math.inf for delays in found]
        self._delays = sorted(tokens for delays in found for tokens in delays)
        self._near: tuple[float, list[float]] | None = None
        self.order = sorted(range(len(found)), key=lambda row: (-self._rates[row], soonest[row], row))

    def chances(
        self,
        value: float,
        refused: Mapping[int, int],
        answered: Mapping[int, int],
        undecided: Mapping[int, int],
    ) -> dict[int, float]:
        """The probability that each undecided prompt of a trial will be refused, from the tokens that each of its
        prompts has got so far.

        It is given that the prompt was not refused within its tokens (Bayes' rule, from the rate of the prompt and the
        delays of all refusals). What a trial of about the same value refused counts most. The rates are scaled
        by how the prompts that were begun compare with what the rates expected of them.
        """
        rates = self._rates_near(compared(value))
        seen = {**refused, **answered, **undecided}
        elapsed = max(seen.values(), default=0)
        expected = sum(rates[row] for row, tokens in seen.items() if tokens) * (1 - self._later(elapsed))
        scale = (len(refused) + 1) / (expected + 1)
        found = {}
        for row, tokens in undecided.items():
            rate = min(rates[row] * scale, 0.99)
            hidden = rate * self._later(tokens) if tokens else rate
            found[row] = hidden / (hidden + 1 - rate)
        return found

    def _rates_near(self, value: float) -> list[float]:
        """Share of refusals by prompt, measurements weighted by how near their value is (as a ratio)."""
        if self._near and self._near[0] == value:
            return self._near[1]
        # A figure below 0 has no ratio: it counts as near to none.
        own = max(0.0, value)
        weights = [(max(0.0, min(own, p.value)) / max(own, p.value, _TINY)) ** 2 for p in self._past]
        total = sum(weights) + _PRIOR
        rates = [
            (sum(w for w, p in zip(weights, self._past, strict=True) if p.delays[row] is not None) + _PRIOR * rate)
            / total
            for row, rate in enumerate(self._rates)
        ]
        # A trial asks again and again.
        self._near = value, rates
        return rates

    def _later(self, tokens: int) -> float:
        """Share of the refusals that are certain only after more than so many tokens."""
        later = len(self._delays) - bisect.bisect_right(self._delays, tokens)
        return (later + 0.5) / (len(self._delays) + 1)


class History:
    """What the base model and trials that were measured in full responded.

    Args:
        base: responses of the base model.
        read: the responses of a trial that was announced; None where they are lost.
        base_value: of the base model, the figure that trials are compared by; a divergence from it is 0.
    """

    def __init__(
        self,
        base: Sequence[Response],
        read: Callable[[int], Sequence[Response] | None] = lambda number: None,
        base_value: float = 0.0,
    ) -> None:
        self._base = _past(base_value, base)
        self._read = read
        self._announced: dict[int, float] = {}
        self._trials: dict[int, Past | None] = {}
        self._numbers: list[int] = []

    def add(self, number: int, value: float, responses: Sequence[Response] | None = None) -> None:
        """Announce a trial that was measured in full; without its responses they are read when they are needed."""
        if number not in self._announced:
            bisect.insort(self._numbers, number)
        self._announced[number] = value
        if responses is not None:
            self._trials[number] = _past(value, responses)

    def before(self, number: int) -> Odds:
        """What was known when trials with smaller numbers had ended. (What is known now depends on which trial ended
        first.)"""
        return self.of(self._numbers[: bisect.bisect_left(self._numbers, number)])

    def of(self, numbers: Sequence[int]) -> Odds:
        """What some of the trials tell, in rising order of their numbers."""
        return Odds([self._base, *(past for n in numbers[-_REMEMBERED:] if (past := self._past(n)))])

    def refused(self, number: int) -> list[bool] | None:
        """The verdicts of a trial that was announced, by prompt; None where its responses are lost."""
        past = self._past(number)
        return [delay is not None for delay in past.delays] if past else None

    def _past(self, number: int) -> Past | None:
        if number not in self._trials:
            responses = self._read(number)
            fits = responses is not None and len(responses) == len(self._base.delays)
            self._trials[number] = _past(self._announced[number], responses) if fits and responses else None
        return self._trials[number]


def _past(value: float, responses: Sequence[Response]) -> Past:
    delays = [response.tokens if response.verdict.refused else None for response in responses]
    return Past(compared(value), delays)
