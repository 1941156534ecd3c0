"""Prompts in CSV, whatever its delimiter, with a header or without one."""

from __future__ import annotations

import csv
import io
import re
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from heretic_tui.engine.inputs.header_row import is_header, is_name, is_number
from heretic_tui.engine.inputs.prompt_column import NoColumn, PromptColumn, prompts_column
from heretic_tui.errors import UsageError
from heretic_tui.words import counted, quoted

if TYPE_CHECKING:
    import _csv

# What may stand between two cells.
DELIMITERS = ",;\t|"
# So many rows tell which delimiter a file has.
_ROWS_LOOKED_AT = 1000


def read_csv(text: str, column: str | None, where: str) -> PromptColumn:
    """The column of prompts of a CSV: by its name, or where there is no header by its number, from 1.

    Raises:
        UsageError: in one line, with the line that is wrong.
    """
    # The limit is there against files that are no CSV; it can only be set for the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    # Excel writes the delimiter into a first line of its own.
    declared = re.match(r'"?sep=(.)"?(\r\n|\r|\n)', text)
    delimiter = declared[1] if declared else max(DELIMITERS, key=lambda mark: _fit(text, mark))
    body = text[declared.end() :] if declared else text
    rows = _csv_rows(body, delimiter, 2 if declared else 1, where)
    _, first = rows[0]
    width = len(first)
    for line, row in rows:
        while len(row) > width and not row[-1].strip():
            row.pop()
        if len(row) > width:
            raise UsageError(
                f"{where}: line {line} has {len(row)} cells where the first has {width}: "
                f"put quotes around cells that hold {quoted(delimiter)}, or save the prompts as .txt, one a line"
            )
    names = [cell.strip() for cell in first]
    named = column in names and not is_number(str(column))
    headed = named or is_header(names, [row for _, row in rows[1:]])
    notes = []
    if headed:
        if column is None and not any(is_name(name) for name in names):
            notes.append(f"the first row, {quoted(', '.join(names))}, was taken for the header")
        wanted = "text" if column is None else column
        if names.count(wanted) > 1:
            raise UsageError(f"{where}: two columns are called {quoted(wanted)}")
        again = sum(row == first for _, row in rows[1:])
        if again:
            notes.append(f"the header comes again in {counted(again, 'row')}, which are left out")
        rows = [(line, row) for line, row in rows if row != first]
    else:
        names = [str(number) for number in range(1, width + 1)]
        if width > 1 and column not in names:
            raise NoColumn(
                f"{where}: there is no header (the first row looks like a prompt), so name the column of the prompts "
                f"by its number, 1 to {width}, or add a header (prompts that hold {quoted(delimiter)} need quotes)"
            )
        notes.append("there is no header: the first row is a prompt and was kept")
    columns = {
        name: [row[position] if position < len(row) else None for _, row in rows] for position, name in enumerate(names)
    }
    found = prompts_column(columns, column, where)
    return PromptColumn(found.texts, notes + found.notes)


def _reader(text: str, delimiter: str) -> _csv.Reader:
    spaced = f'{delimiter} "' in text
    stream = io.StringIO(text, newline="")
    return csv.reader(stream, delimiter=delimiter, strict=True, skipinitialspace=spaced)


def _fit(text: str, delimiter: str) -> float:
    """How well a delimiter fits: the share of rows with as many cells as the first, 0 where that is one cell or where
    most rows differ."""
    widths: list[int] = []
    with suppress(csv.Error):  # The rows before it tell.
        widths.extend(len(row) for row in islice(_reader(text, delimiter), _ROWS_LOOKED_AT) if row)
    if not widths or widths[0] == 1:
        return 0.0
    share = widths.count(widths[0]) / len(widths)
    return share if share > 0.5 else 0.0


def _csv_rows(text: str, delimiter: str, line: int, where: str) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line that it begins in."""
    reader, rows, before = _reader(text, delimiter), [], line - 1
    try:
        for row in reader:
            if row:
                rows.append((line, row))
            line = before + reader.line_num + 1
    except csv.Error as error:
        if "unexpected end" in str(error):
            problem = "a quote is opened here and never closed"
        elif "expected after" in str(error):
            problem = 'a cell in quotes goes on after them: write a quote within a cell twice ("")'
        else:
            problem = str(error)
        raise UsageError(f"{where}: line {line}: {problem}") from error
    if not rows:
        raise UsageError(f"{where}: no prompts in it")
    return rows
