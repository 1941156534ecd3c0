"""Which screens there are, each with its key and its place in the line at the top."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual.screen import Screen


@dataclass(frozen=True)
class Mode:
    """A screen of its own key.

    Attributes:
        name: by which the application knows it.
        make: makes the screen when it is first shown.
    """

    key: str
    name: str
    title: str
    make: Callable[[], Screen[None]]
