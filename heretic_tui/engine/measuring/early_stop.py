"""Where a trial that is being decoded has lost, and what it is known to have by then: the same on every machine.

Which prompts a batch decodes first, and how far, depends on its size, on what else is in it and on the clock. What a
search learns must not. So a schedule is simulated: prompts begin in the order of the odds, as many as
probably decide the matter; all that have begun go on by the same number of tokens; then further ones may begin. The
trial has lost at the first step of this schedule at which enough refusals are certain. What was decoded beyond that
step does not count.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from heretic_tui.engine.measuring.odds import Odds
from heretic_tui.engine.metrics.base import Response
from heretic_tui.engine.model.decoding import LOOK_EVERY

# Prompts are begun until this many times the refusals that are missing are expected of them: a few too many cost less
# than another round.
_MARGIN = 1.25

Responses = Sequence[Response | None]


class EarlyStop:
    """Follows the schedule of one trial as far as its responses are known.

    Args:
        odds: what earlier trials tell, None where nothing is known.
        value: of the objective that is known before the first refusal.
        to_lose: the number of refusals at which it has lost.
        rows: number of prompts.

    Attributes:
        lost: whether a step was reached at which enough refusals are certain.
    """

    def __init__(self, odds: Odds | None, value: float, to_lose: int, rows: int) -> None:
        self._odds = odds
        self._value = value
        self._to_lose = to_lose
        self._waiting = list(odds.order) if odds else list(range(rows))
        self._now = 0
        # The step at which each prompt began, in the order in which they did.
        self._begun: dict[int, int] = {}
        self._open: list[int] = []
        self._refused: dict[int, int] = {}
        self._answered: dict[int, int] = {}
        # No step after this one is needed: what is decoded already is enough to lose at it.
        self._last: float = math.inf
        # Behind one without refusals a trial has lost before its first token.
        self.lost = to_lose <= 0
        self._begin()

    def follow(self, responses: Responses, tokens: Mapping[int, int]) -> bool:
        """Take the steps for which all is known. Returns whether further prompts have begun.

        Args:
            responses: by prompt; None where the verdict is not certain yet.
            tokens: that the undecided prompts have got.
        """
        before = len(self._begun)
        while not self.lost and self._open:
            now = self._now + LOOK_EVERY
            if any(responses[row] is None and tokens.get(row, 0) < now - self._begun[row] for row in self._open):
                break
            self._now = now
            for row in list(self._open):
                response = responses[row]
                if response and _settled_after(response) <= now - self._begun[row]:
                    self._open.remove(row)
                    (self._refused if response.verdict.refused else self._answered)[row] = response.tokens
            self.lost = len(self._refused) >= self._to_lose
            if not self.lost:
                self._begin()
        if not self.lost:
            self._last = self._enough_at(responses)
        return len(self._begun) > before

    @property
    def begun(self) -> Sequence[int]:
        """Prompts that have to be decoded, in their order."""
        return list(self._begun)

    def wanted(self, row: int) -> float:
        """Tokens of a prompt that can still matter, at most."""
        return self._last - self._begun.get(row, 0)

    def counts(self, row: int) -> bool:
        """Whether the verdict on a prompt was certain at the latest step."""
        return row in self._refused or row in self._answered

    def likely(self, responses: Responses, waiting: Sequence[int]) -> int:
        """How many of the prompts that wait are probably needed, going by all that is decoded: for batches that are
        decoded to their end."""
        refused = sum(response is not None and response.verdict.refused for response in responses)
        chances = self._chances()
        missing, count = _MARGIN * (self._to_lose - refused), 0
        for row in waiting:
            if missing <= 0:
                break
            missing -= chances.get(row, 0.0)
            count += 1
        return count

    def estimate(self) -> float:
        """Expected refusals, from what was certain at the latest step and how far each prompt had come."""
        return len(self._refused) + sum(self._chances().values())

    def _begin(self) -> None:
        chances = self._chances()
        missing = _MARGIN * (self._to_lose - len(self._refused)) - sum(chances[row] for row in self._open)
        while self._waiting and missing > 0:
            row = self._waiting.pop(0)
            self._begun[row] = self._now
            self._open.append(row)
            missing -= chances[row]

    def _chances(self) -> dict[int, float]:
        """For each prompt that is undecided at the latest step, the probability that it will be refused."""
        undecided = {row: self._now - self._begun[row] for row in self._open} | dict.fromkeys(self._waiting, 0)
        if self._odds is None:
            return dict.fromkeys(undecided, 0.0)
        return self._odds.chances(self._value, self._refused, self._answered, undecided)

    def _enough_at(self, responses: Responses) -> float:
        """The step at which the refusals that are known are enough, if no earlier one is."""
        steps = sorted(
            _step(self._begun[row] + _settled_after(response))
            for row in self._begun
            if (response := responses[row]) and response.verdict.refused
        )
        return steps[self._to_lose - 1] if len(steps) >= self._to_lose else math.inf


def _settled_after(response: Response) -> int:
    """Tokens after which a verdict is certain; where the response had ended by itself, one more: its end."""
    return response.tokens + response.whole


def _step(tokens: int) -> int:
    return math.ceil(tokens / LOOK_EVERY) * LOOK_EVERY
