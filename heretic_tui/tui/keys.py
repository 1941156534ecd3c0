"""What keys are called on screen, the vim keys of whatever scrolls, stepping through a few choices, and numbers that
are typed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from textual.binding import Binding

Choice = TypeVar("Choice")

_NAMES = {"escape": "esc", "slash": "/", "question_mark": "?", "plus": "+", "number_sign": "#"}


def key_words(key: str) -> str:
    """A key of Textual's as people know it."""
    return _NAMES.get(key.strip(), key.strip())


def scroll_bindings(line: int, page: int) -> list[Binding]:
    """For an action `scroll(lines)`."""
    return [
        Binding("j,down", f"scroll({line})", "Down", show=False),
        Binding("k,up", f"scroll(-{line})", "Up", show=False),
        Binding("ctrl+d,pagedown", f"scroll({page})", "Page down", show=False),
        Binding("ctrl+u,pageup", f"scroll(-{page})", "Page up", show=False),
    ]


def next_choice(choices: Sequence[Choice], now: Choice) -> Choice:
    """The choice that follows, the first after the last."""
    return choices[(choices.index(now) + 1) % len(choices)]


def typed_number(text: str) -> int | None:
    """A whole number of at most six digits, None where another text was typed: superscripts are digits too, and no
    numbers; a thousand nines are a number, and too long to be read."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) <= 6 else None
