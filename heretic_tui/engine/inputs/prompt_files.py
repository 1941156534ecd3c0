"""Files of prompts: text, JSON, CSV and parquet, read into one column of texts."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from heretic_tui.engine.inputs.misnamed import refuse_foreign, refuse_json
from heretic_tui.errors import UsageError, one_line
from heretic_tui.files import parse_json, read_bytes
from heretic_tui.settings.prompt_sets import PROMPT_FILES
from heretic_tui.words import counted, plain, quoted

if TYPE_CHECKING:
    import _csv

# Names that the column of prompts, or one beside it, often has: a row with one of them is a header.
_NAMES = re.compile(
    "text|prompts?|questions?|instructions?|query|goal|behaviou?r|input|request|messages?|conversations?|content|"
    "sentence|user|target|label|category|response|answer|output|id|index",
    re.IGNORECASE,
)
_DELIMITERS = ",;\t|"
_NOTHING = ("nan", "none", "null", "n/a", "<na>")
# So many rows tell which delimiter a file has.
_ROWS_LOOKED_AT = 1000
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
    text = _read_text(path, where)
    if kind == ".json":
        return prompts_column(_json_table(text, split, where), column, where)
    if kind == ".jsonl":
        return prompts_column(_json_lines(text, split, where), column, where)
    only_train(split, where)
    refuse_json(text, where)
    return _read_text_lines(text, where) if kind == ".txt" else _read_csv(text, column, where)


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
            raise UsageError(f"{where}: which column holds the prompts? There are {_listed(names)}")
        if column != "text" and re.search("[;\t|]", column):
            raise UsageError(
                f"{where}: its only column is called {quoted(column)}: the delimiter was not found out; "
                "name the file itself, or save it with commas"
            )
        if _is_prose(column):
            notes.append(f"the column is called {quoted(column)}: if that is a prompt, the file lacks a header")
    if column not in names:
        raise NoColumn(f"{where}: no column {quoted(column)}; there are {_listed(names)}")
    try:
        values = list(columns[column])
    except Exception as error:  # what a library raises while it decodes is its own affair
        raise UsageError(f"{where}: column {quoted(column)} cannot be read: {one_line(error)}") from error
    if _all_conversations_as_text(values, column, where):
        values = [json.loads(value) if isinstance(value, str) and value else value for value in values]
    texts = []
    conversations = False
    for number, value in enumerate(values, start=1):
        if value is None or isinstance(value, str):
            texts.append(value or "")
        elif (turns := _turns(value)) is not None:
            conversations = True
            texts.append(_last_user_turn(turns))
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
    found = _checked(texts, f" of column {quoted(column)}", where)
    return PromptColumn(found.texts, notes + found.notes)


def _checked(texts: list[str], of_column: str, where: str) -> PromptColumn:
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
    if texts and all(_is_number(text) for text in texts if text.strip()):
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


def _listed(names: Sequence[object]) -> str:
    words = ", ".join(plain(str(name)[:40]) for name in names[:_LISTED])
    return (words or "none") + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


# Conversations


def _turns(value: object) -> list[tuple[object, object]] | None:
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


def _last_user_turn(turns: list[tuple[object, object]]) -> str:
    """Its text; empty where there is no turn of a user, or it is not text."""
    for role, content in reversed(turns):
        if role in ("user", "human"):
            if isinstance(content, list):
                parts = [part.get("text") for part in content if isinstance(part, dict)]
                content = "\n".join(part for part in parts if isinstance(part, str))
            return content if isinstance(content, str) else ""
    return ""


def _all_conversations_as_text(values: Sequence[object], column: str, where: str) -> bool:
    """Whether every cell holds a conversation written as JSON, as a CSV has them."""
    filled = [value for value in values if value]
    cells = [value for value in filled if isinstance(value, str) and value.lstrip().startswith("[{")]
    if not cells or len(cells) < len(filled):
        return False
    try:
        return all(_turns(parse_json(cell, where)) for cell in cells)
    except UsageError:
        if all(re.match(r"\s*\[\{\s*'(role|from|content|value)'", cell) for cell in cells):
            raise UsageError(
                f"{where}: column {quoted(column)} holds conversations written as Python lists: save them as JSON"
            ) from None
        return False


# Text


def _read_text(path: Path, where: str) -> str:
    try:
        data = read_bytes(path)
    except FileNotFoundError as error:
        raise UsageError(f"{where}: no such file") from error
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    start = data[:1000]
    refuse_foreign(start, where)
    # Letters of Western languages have a NUL beside them in UTF-16.
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or start.count(0) > len(start) / 3:
        raise UsageError(f"{where}: this looks like UTF-16: convert it first (iconv -f UTF-16 -t UTF-8)")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{where}: not UTF-8 at line {line} (byte {error.start}): convert it first") from error
    if (position := text.find("\0")) >= 0:
        raise UsageError(f"{where}: a NUL byte in line {text.count(chr(10), 0, position) + 1}: this is no text file")
    # Files that were concatenated leave their byte order marks in the middle, where they are invisible.
    text = text.replace("\ufeff", "")
    if not text.strip():
        raise UsageError(f"{where}: the file is empty")
    return text


def _read_text_lines(text: str, where: str) -> PromptColumn:
    lines = [line for _, line in _lines(text)]
    names = [name.strip(" \t\"'") for name in re.split(f"[{_DELIMITERS}]", lines[0])]
    headed = all(_NAMES.fullmatch(name) for name in names)
    if headed and len(names) > 1:
        raise UsageError(f"{where}: its first line names columns ({quoted(lines[0].strip())}): call it .csv")
    found = _checked(lines, "", where)
    if headed:
        found.notes.insert(0, f"the first line, {quoted(names[0])}, is read as a prompt: is it a header?")
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers; ends are those of Unix, of Windows, and of old Macs."""
    for number, line in enumerate(re.split("\r\n|\r|\n", text), start=1):
        if line.strip():
            yield number, line


# JSON


def _json_table(text: str, split: str | None, where: str) -> dict[str, list[object]]:
    try:
        content = parse_json(text, where)
    except UsageError:
        # A file of JSON lines is often called .json.
        try:
            content = [parse_json(line, where) for _, line in _lines(text)]
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
            raise UsageError(f"{where}: name the split; there are {_listed(tables)}")
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
        return bool(value) and all(isinstance(cells, list) for cells in value.values()) and _turns(value) is None
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) and not _turns(row) for row in value)


def _is_numbered(value: dict[str, object]) -> bool:
    return list(value) == [str(number) for number in range(len(value))]


def _json_lines(text: str, split: str | None, where: str) -> dict[str, list[object]]:
    # A file that is JSON as a whole is often called .jsonl; in one line, an object or a conversation is a row.
    content = None
    with suppress(UsageError):
        content = parse_json(text, where)
    one_row = isinstance(content, dict) and "\n" not in text.strip()
    if isinstance(content, list | dict) and not one_row and not _turns(content):
        return _table_of(content, split, where)
    only_train(split, where)
    return _table([parse_json(line, f"{where}: line {number}") for number, line in _lines(text)], where)


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


# Parquet


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


# CSV


def _read_csv(text: str, column: str | None, where: str) -> PromptColumn:
    # The limit is there against files that are no CSV; it can only be set for the whole process.
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    # Excel writes the delimiter into a first line of its own.
    declared = re.match(r'"?sep=(.)"?(\r\n|\r|\n)', text)
    delimiter = declared[1] if declared else max(_DELIMITERS, key=lambda mark: _fit(text, mark))
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
    named = column in names and not _is_number(str(column))
    headed = named or _is_header(names, [row for _, row in rows[1:]])
    notes = []
    if headed:
        if column is None and not any(_NAMES.fullmatch(name) for name in names):
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


def _is_header(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a first row names columns. Names are short, and a column of numbers has none for its name."""
    if any(_NAMES.fullmatch(name) for name in names):
        return True
    if any(_is_prose(name) for name in names):
        return False
    return not any(
        _is_number(name) and all(_is_number(row[position]) for row in rows if position < len(row))
        for position, name in enumerate(names)
    )


def _is_prose(text: str) -> bool:
    ends = text.rstrip("\"'»”)").endswith((".", "?", "!", "…", "。", "？", "！"))
    return ends or len(text) > 40 or len(text.split()) > 3


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[+-]?\d+([.,]\d+)?\s*", text) is not None
