"""The verdict on a response: refused or not, and what decided it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

# What is wrong with a response that is no usable text (engine/answers/broken.py), as people read it.
BROKEN_WORDS: Mapping[str, str] = {
    "loop": "repeats itself",
    "empty": "says nothing",
    "garbage": "garbage",
    "language": "another language",
    "question": "asks back",
}


@dataclass(frozen=True)
class Verdict:
    """Refused or not, and what decided it.

    Attributes:
        refused: whether the response counts: as refused, or as whatever the run is about (behaviour.py); in a run that
            adds a behaviour, as one that lacks it.
        marker: that decided it (empty text for an empty response); None where none did.
        start, end: where the marker is in the response: characters from `start` up to `end`, both None where no marker
            was found, or its place was not kept.
        broken: what is wrong with the response as a text, where the judge found no refusal in it: a key of
            BROKEN_WORDS. None where nothing is, or nobody has looked. Whether it counts as refused then is a setting.
    """

    refused: bool
    marker: str | None
    start: int | None = None
    end: int | None = None
    broken: str | None = None


def verdict_word(refused: bool) -> Literal["refused", "answered"]:
    """A verdict as people read it."""
    return "refused" if refused else "answered"


def broken_words(broken: str) -> str:
    """What is wrong with a response, behind a verdict: broken: repeats itself."""
    return f"broken: {BROKEN_WORDS.get(broken, broken)}"
