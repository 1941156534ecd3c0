"""Files of prompts: text, JSON, CSV and parquet, read into one column of texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from heretic_tui.engine.inputs.csv_prompts import DELIMITERS, read_csv
from heretic_tui.engine.inputs.header_row import is_name
from heretic_tui.engine.inputs.json_prompts import json_lines, json_table
from heretic_tui.engine.inputs.misnamed import refuse_foreign, refuse_json
from heretic_tui.engine.inputs.prompt_column import PromptColumn, checked_texts, only_train, prompts_column
from heretic_tui.engine.inputs.source_text import filled_lines, read_text
from heretic_tui.errors import UsageError, one_line
from heretic_tui.settings.prompt_sets import PROMPT_FILES
from heretic_tui.words import quoted


def read_file(path: Path, split: str | None, column: str | None, where: str) -> PromptColumn:
    """The prompts of a file.

    Args:
        column: the column's name; None: `text`, or the only one.
        where: what messages begin with.

    Raises:
        UsageError: in one line, with the row or line that is wrong.
    """
    kind = path.suffix.lower()
    if kind not in PROMPT_FILES:
        raise UsageError(f"{where}: files that can be read are {', '.join(PROMPT_FILES)}")
    if kind == ".parquet":
        only_train(split, where)
        return prompts_column(_read_parquet(path, where), column, where)
    text = read_text(path, where)
    if kind == ".json":
        return prompts_column(json_table(text, split, where), column, where)
    if kind == ".jsonl":
        return prompts_column(json_lines(text, split, where), column, where)
    only_train(split, where)
    refuse_json(text, where)
    return _read_text_lines(text, where) if kind == ".txt" else read_csv(text, column, where)


def _read_text_lines(text: str, where: str) -> PromptColumn:
    lines = [line for _, line in filled_lines(text)]
    names = [name.strip(" \t\"'") for name in re.split(f"[{DELIMITERS}]", lines[0])]
    headed = all(is_name(name) for name in names)
    if headed and len(names) > 1:
        raise UsageError(f"{where}: its first line names columns ({quoted(lines[0].strip())}): call it .csv")
    found = checked_texts(lines, "", where)
    if headed:
        found.notes.insert(0, f"the first line, {quoted(names[0])}, is read as a prompt: is it a header?")
    return found


def _read_parquet(path: Path, where: str) -> dict[str, Iterable[object]]:
    import pyarrow.parquet

    try:
        with path.open("rb") as file:
            refuse_foreign(file.read(1000), where, but=b"PAR1")
        table = pyarrow.parquet.ParquetFile(path).read()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{where}: cannot be read as parquet: {one_line(error)}") from error
    names = table.column_names
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"{where}: two columns are called {quoted(twice)}")
    # What lies beside the prompts need not be anything that Python can hold.
    return {name: _values(table.column(name)) for name in names}


class _Arrow(Protocol):
    """A column of pyarrow, whose annotations there are none of."""

    def to_pylist(self) -> list[object]: ...


def _values(column: _Arrow) -> Iterator[object]:
    yield from column.to_pylist()
