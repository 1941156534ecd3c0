"""Prompts in JSON and JSON lines, in the shapes that people keep them in, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from heretic_tui.engine.inputs.prompt_column import names_listed, only_train
from heretic_tui.engine.inputs.source_text import filled_lines
from heretic_tui.engine.inputs.turns import turns_of
from heretic_tui.errors import UsageError
from heretic_tui.files import parse_json
from heretic_tui.words import quoted


def json_table(text: str, split: str | None, where: str) -> dict[str, list[object]]:
    """The columns of a JSON file, by name: of a list or an object of rows, of columns, or of splits.

    Raises:
        UsageError: for no JSON, no table, or a split that is not there.
    """
    try:
        content = parse_json(text, where)
    except UsageError:
        # A file of JSON lines is often called .json.
        try:
            content = [parse_json(line, where) for _, line in filled_lines(text)]
        except UsageError:
            content = None
        if not content or not all(isinstance(record, dict) for record in content):
            raise
    return _table_of(content, split, where)


def _table_of(content: object, split: str | None, where: str) -> dict[str, list[object]]:
    if isinstance(content, list):
        only_train(split, where)
        return _table(content, where)
    if isinstance(content, dict):
        # {"train": [{"text": ...}, ...], "test": ...}
        name = split or ("train" if "train" in content else None)
        if name in content and isinstance(content[name], list | dict):
            return _part(content[name], where)
        only_train(split, where)
        # {"text": ["...", ...]}, or {"text": {"0": "...", "1": ...}} as pandas writes it
        if content and all(isinstance(value, list) for value in content.values()):
            if not all(_is_table(value) for value in content.values()):
                return content
        elif content and all(isinstance(value, dict) and _is_numbered(value) for value in content.values()):
            return {name: list(value.values()) for name, value in content.items()}
        # {"version": 1, "data": [{"text": ...}, ...]}
        tables = [name for name, value in content.items() if _is_table(value)]
        if len(tables) == 1:
            return _part(content[tables[0]], where)
        if tables:
            raise UsageError(f"{where}: name the split; there are {names_listed(tables)}")
    raise UsageError(f"{where}: expected a list of prompts, a list of objects, or columns of prompts")


def _part(value: list[object] | dict[str, object], where: str) -> dict[str, list[object]]:
    return _table(value, where) if isinstance(value, list) else _json_table_of_columns(value, where)


def _json_table_of_columns(value: dict[str, object], where: str) -> dict[str, list[object]]:
    columns = {name: cells for name, cells in value.items() if isinstance(cells, list)}
    if not columns or len(columns) < len(value):
        raise UsageError(f"{where}: expected a list of prompts, a list of objects, or columns of prompts")
    return columns


def _is_table(value: object) -> bool:
    """A list of objects that are rows and no turns of conversations, or columns."""
    if isinstance(value, dict):
        return bool(value) and all(isinstance(cells, list) for cells in value.values()) and turns_of(value) is None
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) and not turns_of(row) for row in value)


def _is_numbered(value: dict[str, object]) -> bool:
    return list(value) == [str(number) for number in range(len(value))]


def json_lines(text: str, split: str | None, where: str) -> dict[str, list[object]]:
    """The columns of a file with a row a line.

    Raises:
        UsageError: for a line that is no JSON, rows of several kinds, or a split that is not there.
    """
    # A file that is JSON as a whole is often called .jsonl; in one line, an object or a conversation is a row.
    content = None
    with suppress(UsageError):
        content = parse_json(text, where)
    one_row = isinstance(content, dict) and "\n" not in text.strip()
    if isinstance(content, list | dict) and not one_row and not turns_of(content):
        return _table_of(content, split, where)
    only_train(split, where)
    return _table([parse_json(line, f"{where}: line {number}") for number, line in filled_lines(text)], where)


def _table(records: Sequence[object], where: str) -> dict[str, list[object]]:
    # Of lists, conversations are read; null is a row without a prompt.
    if all(record is None or isinstance(record, str | list) for record in records):
        return {"text": list(records)}
    rows = []
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise UsageError(
                f"{where}: expected either strings or objects throughout, and row {number} is {quoted(record)}"
            )
        rows.append(record)
    keys = dict.fromkeys(key for row in rows for key in row)
    return {key: [row.get(key) for row in rows] for key in keys}
