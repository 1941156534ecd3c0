"""Words and figures for people: durations, sizes, and text that cannot steer a terminal."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable


def duration(seconds: float) -> str:
    """9.4 s, 1:05, 2:03:04."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"


def quantity(number: float) -> str:
    """135 M, 8.03 G, 2,100."""
    for limit, letter in ((1e9, "G"), (1e6, "M")):
        if number >= limit:
            return f"{number / limit:.3g} {letter}"
    return f"{number:,.0f}"


def ranges(numbers: Iterable[int]) -> str:
    """2, 3, 4, 7 as "2-4, 7"."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in spans)


def plain(text: str) -> str:
    """Text with control and formatting characters made visible, so that no prompt, model or file name can move the
    cursor, change colours or hide something."""
    return "".join(
        character if not unicodedata.category(character).startswith("C") else f"\\x{ord(character):02x}"
        for character in text
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """`: did you mean 'x'?`, or nothing where no known name is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else ""
