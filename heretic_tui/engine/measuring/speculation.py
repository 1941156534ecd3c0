"""Guesses at what comes next in a response, from what earlier trials answered to the same prompt.

Where a decoding step costs the same for a few tokens more (it is bound by reading the weights), a line takes several
guessed tokens through the model at once; those that the model would have chosen are kept, so the result is the greedy
one (Leviathan et al. 2023, "Fast Inference from Transformers via Speculative Decoding", with earlier responses in place
of a draft model).
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Mapping, Sequence

from heretic_tui.engine.inputs.tokens import Tokens

_REMEMBERED = 12
_BLOCKS = (1, 2, 4, 8)
# A block is taken where it is expected to be this much faster than one token at a time: an estimate may be wrong.
_WORTHWHILE = 1.1
# Weight of the latest step in the running share of guesses that were right.
_FRESH = 0.2


class StepCost:
    """Seconds of a decoding step by the number of tokens in it, from a few that were measured.

    Args:
        measured: seconds by tokens; empty where nothing was measured.
    """

    def __init__(self, measured: Mapping[int, float]) -> None:
        self._sizes = sorted(measured)
        self._seconds = [measured[size] for size in self._sizes]

    def __bool__(self) -> bool:
        return len(self._sizes) > 1

    def __call__(self, tokens: int) -> float:
        """Between two measured sizes the logarithms go in a straight line; beyond them, seconds as tokens do."""
        sizes, seconds = self._sizes, self._seconds
        if tokens >= sizes[-1]:
            return seconds[-1] * tokens / sizes[-1]
        place = max(1, bisect.bisect_left(sizes, tokens))
        (a, b), (s, t) = sizes[place - 1 : place + 1], seconds[place - 1 : place + 1]
        share = math.log(tokens / a) / math.log(b / a)
        between: float = s * (t / s) ** share
        return between


class Speculation:
    """Remembers responses by prompt, and says how many tokens are worth guessing.

    Args:
        rows: number of prompts.
    """

    def __init__(self, rows: int, cost: StepCost) -> None:
        self._known: list[deque[Tokens]] = [deque(maxlen=_REMEMBERED) for _ in range(rows)]
        self._cost = cost
        self._right = 0.5

    def add(self, row: int, response: Tokens) -> None:
        """Remember what was answered to a prompt."""
        if response not in self._known[row]:
            self._known[row].appendleft(response)

    def guess(self, row: int, response: Tokens, count: int) -> Tokens:
        """Up to `count` tokens that may follow: those of the latest response that began in the same way."""
        if count <= 0:
            return []
        length = len(response)
        for known in self._known[row]:
            if len(known) > length and known[:length] == response:
                return known[length : length + count]
        return []

    def block(self, lines: Sequence[tuple[int, Tokens]]) -> int:
        """Tokens that each line should take through the model in the next step, 1 where guessing saves no time.

        Args:
            lines: row and response so far of each.
        """
        if not self._cost:
            return 1
        count = len(lines)
        # The most that guessing could save, to begin with: where even that is too little, nothing else is computed.
        if all(self._cost(count * block) > block * self._cost(count) / _WORTHWHILE for block in _BLOCKS[1:]):
            return 1
        guessed = sum(bool(self.guess(row, response, 1)) for row, response in lines)
        plain = count / self._cost(count)
        best, best_rate = 1, plain * _WORTHWHILE
        for block in _BLOCKS[1:]:
            expected = count + guessed * sum(self._right**depth for depth in range(1, block))
            rate = expected / self._cost(count * block)
            if rate > best_rate:
                best, best_rate = block, rate
        return best

    def learn(self, tried: int, right: int) -> None:
        """Count the guesses of a step that were checked, and those that were right."""
        if tried:
            self._right += _FRESH * (right / tried - self._right)
