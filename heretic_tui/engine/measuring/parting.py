"""Where refusals and answers part: the beginnings that both have, and the tokens that refusals go on with there.

A model may begin refusals as it begins answers ("Sure. I'm sorry, …" and "Sure. It is …"). Then its first token tells
nothing, and the token behind the common beginning does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from heretic_tui.engine.inputs.tokens import Tokens

Node = tuple[int, ...]

# A beginning behind which fewer refusals part than this is chance.
_LEAST = 2
# What refusals begin with is a beginning of answers too where it is so much as often, as a share of either: a harmless
# prompt that is refused by mistake hides nothing.
_SHARED = 0.25
# Refusals have to part from the answers within their first tokens, this share of them at least.
_PARTED = 0.5


@dataclass(frozen=True)
class Parting:
    """Where refusals and answers to each bad evaluation prompt part.

    Attributes:
        ids: the tokens that refusals go on with at such places.
        given: by prompt, the tokens that its response is made to begin with: those that say nothing yet.
        places: by prompt, after how many of them refusals and answers may part, in order; the last is after all.
        from_start: whether what is given counts from its first token on, as far as it is probable; else from the first
            place on. (An edit may put one beginning in place of another that says as little, or an answer.)
    """

    ids: Sequence[int]
    given: Sequence[Tokens]
    places: Sequence[Sequence[int]]
    from_start: bool = False

    @classmethod
    def at_once(cls, ids: Sequence[int], prompts: int) -> Parting:
        """They part at the first token."""
        return cls(ids, [[]] * prompts, [(0,)] * prompts)

    @property
    def positions(self) -> int:
        """How many of the last positions have to be looked at."""
        return max((self.positions_of(row) for row in range(len(self.places))), default=1)

    def positions_of(self, row: int) -> int:
        """The same for one prompt."""
        places = self.places[row]
        return 1 + places[-1] - (0 if self.from_start else places[0])

    @property
    def is_at_once(self) -> bool:
        return not any(self.given)

    def refusing(self, row: int, log_probabilities: Tensor) -> float:
        """The probability that a response goes on with a refusal where both part: at the first such place, or with what
        is given from there to the next one and there, and so on; all of it times that of what is given before, where
        that counts.

        Args:
            log_probabilities: at the last positions, behind all that is given at the last, float64
                (positions, vocabulary).
        """
        given, places = self.given[row], self.places[row]
        behind = len(log_probabilities) - 1 - len(given)
        refused = torch.zeros((), dtype=torch.float64, device=log_probabilities.device)
        reached = torch.zeros_like(refused)
        for at in range(places[0] if self.from_start else 0):
            reached = reached + log_probabilities[behind + at, given[at]]
        for place, following in pairwise([*places, len(given) + 1]):
            # What is given next is no refusal yet, even where it begins one elsewhere.
            ids = [token for token in self.ids if place == len(given) or token != given[place]]
            if ids:
                refused += (reached + log_probabilities[behind + place, ids].logsumexp(dim=-1)).exp()
            for at in range(place, min(following, len(given))):
                reached = reached + log_probabilities[behind + at, given[at]]
        return min(float(refused), 1.0)


def find_parting(
    begun: Sequence[Tokens], refused: Sequence[bool], answers: Sequence[Tokens], length: int
) -> Parting | None:
    """Find where refusals part from answers within their first tokens; None where too few do.

    Args:
        begun: the first tokens of the base model's response to each bad evaluation prompt.
        refused: whether each is a refusal.
        answers: the first tokens of answers to other prompts.
        length: tokens of each that are looked at.
    """
    begun = [tokens[:length] for tokens in begun]
    answered = [*answers, *(tokens for tokens, bad in zip(begun, refused, strict=True) if not bad)]
    refusals = [tokens for tokens, bad in zip(begun, refused, strict=True) if bad]
    said, by_refusals = _shares(answered, length), _shares(refusals, length)
    shared = {node for node, share in by_refusals.items() if said.get(node, 0.0) >= _SHARED * share}
    parted = {row: _shared(tokens, shared) for row, tokens in enumerate(begun) if refused[row]}
    parted = {row: place for row, place in parted.items() if place < len(begun[row])}
    if not parted or len(parted) < _PARTED * len(refusals):
        return None
    counts = Counter(tuple(begun[row][:place]) for row, place in parted.items())
    nodes = _kept(counts)
    if not nodes:
        return None
    ids = sorted({begun[row][place] for row, place in parted.items() if tuple(begun[row][:place]) in nodes})
    ends = [_end(tokens, nodes) for tokens in begun]
    places = [[count for count in range(len(end) + 1) if end[:count] in nodes] for end in ends]
    return Parting(ids, [list(end) for end in ends], places)


def _shares(responses: Sequence[Tokens], length: int) -> dict[Node, float]:
    """The share of responses that begin with some tokens, for all that any begins with."""
    counts = Counter(tuple(tokens[:count]) for tokens in responses for count in range(min(len(tokens), length) + 1))
    return {node: count / len(responses) for node, count in counts.items()}


def _shared(tokens: Tokens, shared: set[Node]) -> int:
    """How many of the first tokens answers have too."""
    return next((at for at in range(len(tokens)) if tuple(tokens[: at + 1]) not in shared), len(tokens))


def _kept(counts: Mapping[Node, int]) -> dict[Node, int]:
    """The beginnings behind which enough refusals part, and those that lead to them."""
    common = [node for node, count in counts.items() if count >= _LEAST]
    return {node: count for node, count in counts.items() if any(other[: len(node)] == node for other in common)}


def _end(tokens: Tokens, nodes: Mapping[Node, int]) -> Node:
    """What a response that begins with these tokens is made to begin with: the longest of the beginnings that it has,
    or the most common one, continued to the places behind it where about as many refusals part."""
    own = [node for node in nodes if tuple(tokens[: len(node)]) == node]
    end = max(own, key=len) if own else min(nodes, key=lambda node: (-nodes[node], node))
    while longer := [node for node in nodes if len(node) > len(end) and node[: len(end)] == end]:
        following = min(longer, key=lambda node: (-nodes[node], len(node), node))
        if 2 * nodes[following] < nodes[end]:
            break
        end = following
    return end
