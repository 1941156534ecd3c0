"""Files that are something else than their names say: found by how they begin, before their lines pass for prompts."""

from __future__ import annotations

import re
from contextlib import suppress

from heretic_tui.errors import UsageError
from heretic_tui.files import parse_json

# What a file begins with that is not what its name says, and what to do.
_FOREIGN = (
    (b"version https://git-lfs.github.com/spec/", "only a pointer to the file (Git LFS): fetch it with git lfs pull"),
    (b"PAR1", "parquet: call it .parquet"),
    (b"PK\x03\x04", "a ZIP archive or an Excel sheet: unpack it, or save it as CSV"),
    (b"\x1f\x8b", "compressed (gzip): unpack it first"),
    (b"SQLite format 3\0", "an SQLite database: save the prompts as CSV"),
    (b"%PDF-", "a PDF: save the prompts as text"),
)


def refuse_foreign(start: bytes, where: str, but: bytes = b"") -> None:
    """Raise a UsageError for a file of another kind.

    Args:
        start: its first bytes.
        but: the mark that it may begin with.
    """
    for mark, what in _FOREIGN:
        if start.startswith(mark) and mark != but:
            raise UsageError(f"{where}: this is {what}")
    if re.match(rb"\s*(<!doctype html|<html)", start, re.IGNORECASE):
        raise UsageError(f"{where}: this is a web page, not the file itself: download the raw file")


def refuse_json(text: str, where: str) -> None:
    """Raise a UsageError for JSON that is called text or CSV."""
    text = text.strip()
    if text[0] not in "{[":
        return
    lines = [line for line in text.split("\n", 20) if line.strip()][:10]
    if all(_is_json(line) for line in lines):
        raise UsageError(f"{where}: its lines are JSON: call it .jsonl")
    if _is_json(text):
        raise UsageError(f"{where}: this is JSON: call it .json")


def _is_json(text: str) -> bool:
    with suppress(UsageError):
        return isinstance(parse_json(text, "it"), dict | list)
    return False
