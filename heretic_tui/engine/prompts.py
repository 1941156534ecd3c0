"""Prompt sets: from a Hub dataset, a dataset folder, or a file; checked before the model is loaded."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heretic_tui.errors import UsageError
from heretic_tui.runtime.text import plain
from heretic_tui.settings import PromptSet

FILE_KINDS = (".txt", ".json", ".jsonl", ".csv", ".parquet")

# Fewer prompts than this say little about a direction.
_FEW = 8


@dataclass(frozen=True)
class Prompt:
    """What the user says, and the system prompt it goes with (empty: none)."""

    text: str
    system_prompt: str


@dataclass
class PromptList:
    """A loaded set, and what a person should know about it."""

    prompts: list[Prompt]
    notes: list[str] = field(default_factory=list)


def load_prompt_set(spec: PromptSet, name: str, system_prompt: str) -> PromptList:
    """Read a set.

    Args:
        name: the setting's name, for messages.
        system_prompt: for sets that bring none of their own.

    Raises:
        UsageError: in one line, with the set, what is wrong with it, and what there is instead.
    """
    where = f"{name}: {spec.dataset}"
    split, lower, upper = _parse_split(spec.split, where)
    path = Path(spec.dataset).expanduser()
    if path.is_file():
        rows = _read_file(path, split, spec.column, where)
    elif path.is_dir():
        rows = _read_folder(path, split, spec.column, where)
    elif path.suffix.lower() in FILE_KINDS or spec.dataset.startswith((".", "/", "~")):
        raise UsageError(f"{where}: no such file or folder")
    else:
        rows = _read_hub(spec, split, where)
    low, high = _bound(lower, 0, len(rows)), _bound(upper, len(rows), len(rows))
    notes = []
    if upper and upper.isdigit() and int(upper) > len(rows):
        notes.append(f"{name}: only {len(rows) - low} prompts where {spec.split} asks for {int(upper) - low}")
    texts = [text for text in rows[low:high] if text.strip()]
    if not texts:
        raise UsageError(f"{where}: no prompts in it" + (f" at {spec.split}" if spec.split else ""))
    system = system_prompt if spec.system_prompt is None else spec.system_prompt
    return PromptList([Prompt(f"{spec.prefix}{text}{spec.suffix}", system) for text in texts], notes)


def check_sets(sets: Mapping[str, PromptList]) -> tuple[dict[str, PromptList], list[str]]:
    """Take duplicates, and whatever an evaluation set holds too, out of the direction sets.

    Returns:
        The sets, and a note for everything that was taken out or looks wrong.

    Raises:
        UsageError: when a direction set is empty after that, or good and bad prompts are the same.
    """
    notes: list[str] = []
    checked = dict(sets)
    for good, bad in (("good_prompts", "bad_prompts"), ("good_evaluation_prompts", "bad_evaluation_prompts")):
        if good in sets and bad in sets and set(sets[good].prompts) == set(sets[bad].prompts):
            raise UsageError(f"{good} and {bad} hold the same prompts: there is no difference to find a direction in")
    evaluation = {p for name, found in sets.items() if "evaluation" in name for p in found.prompts}
    for name, found in sets.items():
        unique = list(dict.fromkeys(found.prompts))
        if "evaluation" in name:
            if len(unique) < len(found.prompts):
                notes.append(f"{name}: {len(found.prompts) - len(unique)} prompts occur more than once and count so")
            continue
        if len(unique) < len(found.prompts):
            notes.append(f"{name}: {len(found.prompts) - len(unique)} duplicates were left out")
        kept = [prompt for prompt in unique if prompt not in evaluation]
        if len(kept) < len(unique):
            first = next(prompt for prompt in unique if prompt in evaluation)
            notes.append(
                f"{name}: {len(unique) - len(kept)} prompts were left out because the evaluation sets hold them too "
                f"(the first: {_short(first.text)})"
            )
        if not kept:
            raise UsageError(f"{name}: every prompt of it is in the evaluation sets too, none is left")
        if len(kept) < _FEW:
            notes.append(f"{name}: {len(kept)} prompts are few; directions from so few are mostly noise")
        checked[name] = PromptList(kept, found.notes)
    return checked, notes


def digest(sets: Mapping[str, PromptList]) -> str:
    """SHA-256 over all prompts, so that a run knows whether they are still the same."""
    record = {name: [(p.system_prompt, p.text) for p in found.prompts] for name, found in sorted(sets.items())}
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()


_SPLIT = re.compile(r"(?P<split>[^\[\]]*)(?:\[(?P<low>\d+%?)?:(?P<high>\d+%?)?\])?")


def _parse_split(text: str | None, where: str) -> tuple[str | None, str | None, str | None]:
    """Split name, first and last bound (as written); None where not given."""
    match = _SPLIT.fullmatch(text or "")
    if match is None:
        raise UsageError(f"{where}: {text!r} is no split; write train, train[:400], [10:20] or [:10%]")
    return match["split"].strip() or None, match["low"], match["high"]


def _bound(text: str | None, default: int, rows: int) -> int:
    if text is None:
        return default
    return round(rows * int(text[:-1]) / 100) if text.endswith("%") else min(int(text), rows)


def _short(text: str, length: int = 60) -> str:
    text = plain(text)
    return repr(text if len(text) <= length else text[: length - 1] + "…")


# Files


def _read_file(path: Path, split: str | None, column: str | None, where: str) -> list[str]:
    kind = path.suffix.lower()
    if kind not in FILE_KINDS:
        raise UsageError(f"{where}: files that can be read are {', '.join(FILE_KINDS)}")
    if kind == ".parquet":
        _only_train(split, where)
        return _column(_read_parquet(path, where), column, where)
    text = _read_text(path, where)
    if kind == ".json":
        return _column(_json_table(text, split, where), column, where)
    _only_train(split, where)
    if kind == ".txt":
        return [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
    if kind == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""))
        rows = list(reader)
        return _column({key: [row[key] for row in rows] for key in reader.fieldnames or []}, column, where)
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise UsageError(f"{where}: line {number} is not JSON: {error}") from error
    return _column(_table(records, where), column, where)


def _only_train(split: str | None, where: str) -> None:
    if split not in (None, "train"):
        raise UsageError(f"{where}: a file has one split, train, and no {split!r}")


def _read_text(path: Path, where: str) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{where}: cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{where}: not UTF-8 at line {line} (byte {error.start}): convert it first") from error
    if (position := text.find("\0")) >= 0:
        raise UsageError(f"{where}: a NUL byte in line {text.count(chr(10), 0, position) + 1}: this is no text file")
    if not text.strip():
        raise UsageError(f"{where}: the file is empty")
    return text


def _json_table(text: str, split: str | None, where: str) -> dict[str, list[Any]]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{where}: not valid JSON: {error}") from error
    if isinstance(content, list):
        _only_train(split, where)
        return _table(content, where)
    if isinstance(content, dict):
        # {"train": [{"text": ...}, ...]} or {"text": ["...", ...]}
        if split and isinstance(content.get(split), list):
            return _table(content[split], where)
        if split is None and "train" in content and isinstance(content["train"], list):
            return _table(content["train"], where)
        if split is not None:
            _only_train(split, where)
        if content and all(isinstance(value, list) for value in content.values()):
            return content
    raise UsageError(f"{where}: expected a list of prompts, a list of objects, or columns of prompts")


def _table(records: Sequence[Any], where: str) -> dict[str, list[Any]]:
    if all(isinstance(record, str) for record in records):
        return {"text": list(records)}
    if not all(isinstance(record, dict) for record in records):
        raise UsageError(f"{where}: expected either strings or objects throughout")
    keys = dict.fromkeys(key for record in records for key in record)
    return {key: [record.get(key) for record in records] for key in keys}


def _read_parquet(path: Path, where: str) -> dict[str, list[Any]]:
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path).to_pydict()
    except Exception as error:
        raise UsageError(f"{where}: cannot be read as parquet: {str(error).splitlines()[0]}") from error


def _column(table: Mapping[str, Sequence[Any]], column: str | None, where: str) -> list[str]:
    """The prompts' column: the one named, else `text`, else the only one."""
    names = list(table)
    if column is None:
        column = "text" if "text" in names else names[0] if len(names) == 1 else None
    if column is None:
        raise UsageError(f"{where}: which column holds the prompts? There are {', '.join(names) or 'none'}")
    if column not in names:
        raise UsageError(f"{where}: no column {column!r}; there are {', '.join(map(str, names)) or 'none'}")
    values = list(table[column])
    for number, value in enumerate(values, start=1):
        if not isinstance(value, str):
            raise UsageError(f"{where}: row {number} of column {column!r} is no text but {_short(repr(value))}")
    return values


# Datasets


def _read_folder(path: Path, split: str | None, column: str | None, where: str) -> list[str]:
    import datasets

    try:
        saved = (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file()
        loaded = datasets.load_from_disk(str(path)) if saved else datasets.load_dataset(str(path))
    except Exception as error:
        raise UsageError(f"{where}: cannot be read as a dataset: {str(error).strip().splitlines()[0]}") from error
    if not isinstance(loaded, datasets.DatasetDict):
        _only_train(split, where)
        return _dataset_column(loaded, column, where)
    if split is None and len(loaded) == 1:
        split = next(iter(loaded))
    if split not in loaded:
        raise UsageError(f"{where}: {_no_split(split)}; there are {', '.join(map(str, loaded))}")
    return _dataset_column(loaded[split], column, where)


def _read_hub(spec: PromptSet, split: str | None, where: str) -> list[str]:
    import datasets

    try:
        # The slice is taken here, not by the library: it would be an error where there are fewer prompts.
        loaded = datasets.load_dataset(spec.dataset, split=split or "train", revision=spec.commit)
    except ValueError as error:
        # The library's own message lists the splits.
        raise UsageError(f"{where}: {str(error).strip().splitlines()[0]}") from error
    except Exception as error:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if type(error).__name__ == "DatasetNotFoundError":
            text = "no such file, and no such dataset on the Hub (a private or gated one needs HF_TOKEN)"
        elif isinstance(error, ConnectionError | OSError) or "offline" in text.lower():
            text = f"no such file, and the Hub cannot be reached ({text})"
        raise UsageError(f"{where}: {text}") from error
    return _dataset_column(loaded, spec.column, where)


def _dataset_column(dataset: Any, column: str | None, where: str) -> list[str]:
    return _column({name: dataset[name] for name in dataset.column_names}, column, where)


def _no_split(split: str | None) -> str:
    return "name the split" if split is None else f"no split {split!r}"
