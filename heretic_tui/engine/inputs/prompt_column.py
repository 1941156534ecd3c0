"""The column of prompts of a source: which it is, the texts in it, and what is wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from heretic_tui.engine.inputs.header_row import is_number, is_prose
from heretic_tui.engine.inputs.turns import all_conversations_as_text, last_user_turn, turns_of
from heretic_tui.errors import UsageError, one_line
from heretic_tui.words import counted, plain, quoted

_NOTHING = ("nan", "none", "null", "n/a", "<na>")
# Far beyond what any prompt of a study of refusals has, and beyond what a forward pass has memory for.
_LONGEST = 131_072
# So many names or rows are listed in a message.
_LISTED = 10


class NoColumn(UsageError):
    """A source has no column of a name."""


@dataclass
class PromptColumn:
    """The prompts of a source, row by row (empty where a row has none), and what the user should know of them."""

    texts: list[str]
    notes: list[str] = field(default_factory=list)


def only_train(split: str | None, where: str) -> None:
    """Raise a UsageError for a split that a file, or a data set without splits, does not have."""
    if split not in (None, "train"):
        raise UsageError(f"{where}: a file has one split, train, and no {quoted(split)}")


def prompts_column(columns: Mapping[str, Iterable[object]], column: str | None, where: str) -> PromptColumn:
    """The column of prompts among several: the one named, else `text`, else the only one. Of conversations (lists of
    role and content, or of from and value) the last user turn is read.

    Raises:
        UsageError: no such column, or one that holds something else than texts.
    """
    names = list(columns)
    notes = []
    if column is None:
        column = "text" if "text" in names else names[0] if len(names) == 1 else None
        if column is None:
            raise UsageError(f"{where}: which column holds the prompts? There are {names_listed(names)}")
        if column != "text" and re.search("[;\t|]", column):
            raise UsageError(
                f"{where}: its only column is called {quoted(column)}: the delimiter was not found out; "
                "name the file itself, or save it with commas"
            )
        if is_prose(column):
            notes.append(f"the column is called {quoted(column)}: if that is a prompt, the file lacks a header")
    if column not in names:
        raise NoColumn(f"{where}: no column {quoted(column)}; there are {names_listed(names)}")
    try:
        values = list(columns[column])
    except Exception as error:  # what a library raises while it decodes is its own affair
        raise UsageError(f"{where}: column {quoted(column)} cannot be read: {one_line(error)}") from error
    if all_conversations_as_text(values, column, where):
        values = [json.loads(value) if isinstance(value, str) and value else value for value in values]
    texts = []
    conversations = False
    for number, value in enumerate(values, start=1):
        if value is None or isinstance(value, str):
            texts.append(value or "")
        elif (turns := turns_of(value)) is not None:
            conversations = True
            texts.append(last_user_turn(turns))
        elif isinstance(value, list | dict):
            what = "lists" if isinstance(value, list) else "objects"
            raise UsageError(f"{where}: column {quoted(column)} holds {what}, no texts (row {number}: {quoted(value)})")
        else:
            raise UsageError(f"{where}: row {number} of column {quoted(column)} is no text but {quoted(str(value))}")
    if conversations:
        notes.append(f"column {quoted(column)} holds conversations: the last user turn of each is read")
    if column == "instruction" and "input" in columns:
        more = sum(isinstance(value, str) and bool(value.strip()) for value in columns["input"])
        if more:
            notes.append(f"column 'input' goes on where 'instruction' ends in {counted(more, 'row')}, and is not read")
    found = checked_texts(texts, f" of column {quoted(column)}", where)
    return PromptColumn(found.texts, notes + found.notes)


def checked_texts(texts: list[str], of_column: str, where: str) -> PromptColumn:
    """Texts with notes on those that are hardly prompts.

    Args:
        of_column: what is said behind a row's number; empty for lines of text.

    Raises:
        UsageError: for a text that is too long, or holds half a character.
    """
    for number, text in enumerate(texts, start=1):
        if len(text) > _LONGEST:
            raise UsageError(
                f"{where}: row {number}{of_column} has {len(text):,} characters; more than {_LONGEST:,} are no prompt "
                f"(is a quote or a line end missing?): {quoted(text, 40)}"
            )
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = f"\\u{ord(text[error.start]):04x}"
            raise UsageError(
                f"{where}: row {number}{of_column} holds half a character ({half}, whose other half is missing): "
                "it was cut; mend the row or take it out"
            ) from error
    notes = []
    if texts and all(is_number(text) for text in texts if text.strip()):
        notes.append(f"there are nothing but numbers in {of_column.removeprefix(' of ') or 'its lines'}")
    if nothing := [number for number, text in enumerate(texts, start=1) if text.strip().lower() in _NOTHING]:
        notes.append(
            f"{quoted(texts[nothing[0] - 1].strip())} is all that stands in {rows_listed(nothing)}: is it an empty "
            "cell that was written as text?"
        )
    return PromptColumn(texts, notes)


def rows_listed(rows: Sequence[int]) -> str:
    """row 3, or rows 3, 5, 7, …"""
    words = ", ".join(f"{row:,}" for row in rows[:_LISTED]) + (", …" if len(rows) > _LISTED else "")
    return f"row{'s' if len(rows) > 1 else ''} {words}"


def names_listed(names: Sequence[object]) -> str:
    """The first of some names, and how many more there are."""
    words = ", ".join(plain(str(name)[:40]) for name in names[:_LISTED])
    return (words or "none") + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
