"""The verdict on a response: refused or not, and what decided it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Verdict:
    """Refused or not, the marker that decided it (empty text for an empty response), and where it is in the
    response: characters from `start` up to `end`, both None where no marker was found, or its place was not kept."""

    refused: bool
    marker: str | None
    start: int | None = None
    end: int | None = None


def verdict_word(refused: bool) -> Literal["refused", "answered"]:
    """A verdict as people read it."""
    return "refused" if refused else "answered"
