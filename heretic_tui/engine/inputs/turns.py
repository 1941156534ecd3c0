"""Conversations in the place of prompts: their turns, and what the user said last."""

from __future__ import annotations

import re
from collections.abc import Sequence

from heretic_tui.errors import UsageError
from heretic_tui.files import parse_json
from heretic_tui.words import quoted


def turns_of(value: object) -> list[tuple[object, object]] | None:
    """Role and content of each turn of a conversation; None when it is none."""
    if isinstance(value, dict):
        # A list of objects, as some tables keep it: an object of lists.
        for role, content in (("role", "content"), ("from", "value")):
            roles, contents = value.get(role), value.get(content)
            if isinstance(roles, list) and isinstance(contents, list) and len(roles) == len(contents):
                return list(zip(roles, contents, strict=True))
        return None
    if not isinstance(value, list) or not value:
        return None
    turns = []
    for turn in value:
        if not isinstance(turn, dict):
            return None
        if "role" in turn and "content" in turn:
            turns.append((turn["role"], turn["content"]))
        elif "from" in turn and "value" in turn:
            turns.append((turn["from"], turn["value"]))
        else:
            return None
    return turns


def last_user_turn(turns: list[tuple[object, object]]) -> str:
    """The text of the last turn of a user; empty where there is none, or it is not text."""
    for role, content in reversed(turns):
        if role in ("user", "human"):
            if isinstance(content, list):
                parts = [part.get("text") for part in content if isinstance(part, dict)]
                content = "\n".join(part for part in parts if isinstance(part, str))
            return content if isinstance(content, str) else ""
    return ""


def all_conversations_as_text(values: Sequence[object], column: str, where: str) -> bool:
    """Whether every cell holds a conversation written as JSON, as a CSV has them."""
    filled = [value for value in values if value]
    cells = [value for value in filled if isinstance(value, str) and value.lstrip().startswith("[{")]
    if not cells or len(cells) < len(filled):
        return False
    try:
        return all(turns_of(parse_json(cell, where)) for cell in cells)
    except UsageError:
        if all(re.match(r"\s*\[\{\s*'(role|from|content|value)'", cell) for cell in cells):
            raise UsageError(
                f"{where}: column {quoted(column)} holds conversations written as Python lists: save them as JSON"
            ) from None
        return False
