"""Lists and tables as a flag or a variable writes them, in one text or several. What is no text is for pydantic."""

from __future__ import annotations

from contextlib import suppress
from typing import TypeGuard

from heretic_tui.errors import UsageError
from heretic_tui.files import parse_json


def names_in(value: object) -> object:
    """Names, with commas between them or as JSON."""
    value = _listed(value)
    if _are_texts(value):
        return [word.strip() for part in value for word in part.split(",") if word.strip()]
    return value


def texts_in(value: object) -> object:
    """Texts that may hold commas: one, or several as JSON.

    Raises:
        ValueError: for an empty one.
    """
    value = _listed(value)
    if _are_texts(value) and not all(part.strip() for part in value):
        # Every response holds an empty one.
        raise ValueError
    return value


def _listed(value: object) -> object:
    if not isinstance(value, str):
        return value
    words = None
    with suppress(UsageError):
        words = parse_json(value, "it")
    return words if isinstance(words, list) else [value]


def _are_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def pairs_in(value: object) -> object:
    """Pairs, as OPENER=>BLOCK each.

    Raises:
        ValueError: for one that has no sign, or nothing before it.
    """
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        return value
    pairs = [tuple(item.split("=>", 1)) if isinstance(item, str) else item for item in value]
    if any(len(pair) != 2 or not pair[0] for pair in pairs if isinstance(pair, tuple | list)):
        raise ValueError
    return pairs


def table_in(value: object) -> object:
    """A table, as NAME=VALUE each, with commas between them in one text.

    Raises:
        ValueError: for one that has no sign, or nothing behind it.
    """
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list):
        return value
    pairs = [item.partition("=") if isinstance(item, str) else ("", "", "") for item in value]
    if any(not sign or not behind for _, sign, behind in pairs):
        raise ValueError
    return {name.strip(): behind.strip() for name, _, behind in pairs}
