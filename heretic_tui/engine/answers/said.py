"""What a model says to somebody: a response without special tokens, and without what the model only thought."""

from __future__ import annotations

import re
from collections.abc import Sequence


class Said:
    """Cuts what is said to nobody.

    Args:
        thinking: pairs (opener, closer) of thinking blocks, which are cut, closed or not.
        special_tokens: of the model's tokenizer.
    """

    def __init__(self, thinking: Sequence[tuple[str, str]] = (), special_tokens: Sequence[str] = ()) -> None:
        # One after the other.
        self._cuts = [
            *(re.compile(f"{re.escape(opener)}.*?(?:{re.escape(closer)}|$)", re.DOTALL) for opener, closer in thinking),
            *(re.compile(re.escape(token)) for token in special_tokens if token),
        ]

    def text(self, response: str) -> str:
        """
        Args:
            response: special tokens visible.
        """
        for cut in self._cuts:
            response = cut.sub("", response)
        return response

    def places(self, response: str) -> list[int]:
        """For each character of `text(response)`, its place in the response."""
        kept, text = list(range(len(response))), response
        for cut in self._cuts:
            for gone in reversed(list(cut.finditer(text))):
                del kept[gone.start() : gone.end()]
            text = cut.sub("", text)
        return kept


def thinking_blocks(skips: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Openers and closers, of the setting `chain_of_thought_skips`: openers and closed blocks."""
    return [(opener, closed.removeprefix(opener)) for opener, closed in skips]
