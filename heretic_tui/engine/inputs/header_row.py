"""What tells a row that names columns from a row of prompts."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Names that the column of prompts, or one beside it, often has: a row with one of them is a header.
_NAMES = re.compile(
    "text|prompts?|questions?|instructions?|query|goal|behaviou?r|input|request|messages?|conversations?|content|"
    "sentence|user|target|label|category|response|answer|output|id|index",
    re.IGNORECASE,
)


def is_name(text: str) -> bool:
    """Whether columns are often called so."""
    return _NAMES.fullmatch(text) is not None


def is_header(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a first row names columns. Names are short, and a column of numbers has none for its name."""
    if any(is_name(name) for name in names):
        return True
    if any(is_prose(name) for name in names):
        return False
    return not any(
        is_number(name) and all(is_number(row[position]) for row in rows if position < len(row))
        for position, name in enumerate(names)
    )


def is_prose(text: str) -> bool:
    """Whether a text is a sentence, or too long for a name."""
    ends = text.rstrip("\"'»”)").endswith((".", "?", "!", "…", "。", "？", "！"))
    return ends or len(text) > 40 or len(text.split()) > 3


def is_number(text: str) -> bool:
    """Whether a text is a number and nothing else."""
    return re.fullmatch(r"\s*[+-]?\d+([.,]\d+)?\s*", text) is not None
