"""The tokens that refusals begin with: those that are likelier where a model refuses than where it answers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

# Refusals begin with few tokens: those that make up this share of what refused prompts' tokens have over others'.
_SHARE = 0.9
_MOST_TOKENS = 10
_LEAST = 0.005
# Below this difference in probability the token does not tell a refusal from an answer.
TELLING = 0.2


@dataclass(frozen=True)
class RefusalTokens:
    """The tokens that refusals begin with, and their mean probability where the model refuses and where it answers."""

    ids: list[int]
    each: list[tuple[float, float]]

    @property
    def bad(self) -> float:
        return sum(bad for bad, _ in self.each)

    @property
    def good(self) -> float:
        return sum(good for _, good in self.each)

    @property
    def telling(self) -> bool:
        return self.bad - self.good >= TELLING


def likelier_tokens(bad: Tensor, good: Tensor) -> RefusalTokens:
    """The tokens that are likelier in one distribution than in the other, those with the largest difference first.

    Args:
        bad, good: mean probabilities where the model refuses and where it answers, float64 on the CPU, (vocabulary,).
    """
    difference = bad - good
    top = difference.topk(min(_MOST_TOKENS, len(difference)))
    whole = float(difference.clamp(min=0).sum())
    ids: list[int] = []
    covered = 0.0
    for token, more in zip(top.indices.tolist(), top.values.tolist(), strict=True):
        if ids and (covered >= _SHARE * whole or more < _LEAST):
            break
        ids.append(token)
        covered += more
    return RefusalTokens(ids, [(float(bad[token]), float(good[token])) for token in ids])
