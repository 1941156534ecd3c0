"""Prompt sets: from a Hub dataset, a dataset folder, or a file; checked before the model is loaded."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from heretic_tui.engine.inputs.prompt_column import NoColumn, PromptColumn, only_train, prompts_column, rows_listed
from heretic_tui.engine.inputs.prompt_files import read_file
from heretic_tui.errors import UsageError, one_line
from heretic_tui.files import user_path
from heretic_tui.settings.prompt_sets import KEPT_SET, PROMPT_FILES, PromptSet
from heretic_tui.words import counted, quoted

# Fewer prompts than this say little about a direction.
_FEW = 8


@dataclass(frozen=True)
class Prompt:
    """What the user says, and the system prompt it goes with (empty: none)."""

    text: str
    system_prompt: str


PromptSets = Mapping[str, tuple[Prompt, ...]]


@dataclass
class PromptList:
    """A loaded set, and what the user should know about it."""

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
    _, lower, upper = _parse_split(spec.split, where)
    found = _read(spec, name, where)
    rows = found.texts
    low, high = _bound(lower, 0, len(rows)), _bound(upper, len(rows), len(rows))
    notes = [f"{name}: {note}" for note in found.notes]
    if upper and upper.isdigit() and int(upper) > len(rows):
        there, wanted = counted(max(0, len(rows) - low), "prompt"), int(upper) - low
        notes.append(f"{name}: only {there} where {spec.split} asks for {wanted}")
    texts = [text for text in rows[low:high] if text.strip()]
    at = f" at {spec.split}" if spec.split else ""
    if not texts:
        raise UsageError(f"{where}: no prompts in it{at}")
    if empty := [number for number, text in enumerate(rows[low:high], start=low + 1) if not text.strip()]:
        counts = ", and counted by the slice" if at else ""
        notes.append(
            f"{name}: {len(empty)} of {counted(len(rows[low:high]), 'row')} are empty, left out{counts}: "
            f"{rows_listed(empty)}"
        )
    system = system_prompt if spec.system_prompt is None else spec.system_prompt
    return PromptList([Prompt(f"{spec.prefix}{text}{spec.suffix}", system) for text in texts], notes)


def kept_set(text: str) -> PromptSet:
    """A set of the setting `keep_prompts`: a file, a folder or a Hub data set, perhaps with # and a split behind it, as
    in org/maths#train[:200]."""
    dataset, sign, split = text.rpartition("#")
    # A file's name may hold the sign.
    if not sign or user_path(text).exists():
        return PromptSet(dataset=text)
    return PromptSet(dataset=dataset, split=split)


def whole_kept(text: str) -> str:
    """The same set of `keep_prompts`, a file or folder by its absolute path, so that a run finds it from any folder.

    Raises:
        UsageError: when it means a path and nothing lies there.
    """
    spec = kept_set(text)
    path = local_path(spec.dataset, "keep_prompts")
    if path is None:
        return text
    return f"{path}#{spec.split}" if spec.split else str(path)


def load_beside(spec: PromptSet, name: str, column: str) -> list[str] | None:
    """What another column of a set's source says of each of its prompts, in the order of `load_prompt_set`; None where
    there is no such column.

    Raises:
        UsageError: where the column holds something else than texts, or the source cannot be read.
    """
    where = f"{name}: {spec.dataset}"
    _, lower, upper = _parse_split(spec.split, where)
    texts = _read(spec, name, where).texts
    if spec.dataset.lower().endswith(".txt"):
        return None
    try:
        beside = _read(spec.model_copy(update={"column": column}), name, where).texts
    except NoColumn:
        return None
    low, high = _bound(lower, 0, len(texts)), _bound(upper, len(texts), len(texts))
    return [said for text, said in zip(texts[low:high], beside[low:high], strict=True) if text.strip()]


def sliced(prompts: Sequence[Prompt], split: str | None, name: str) -> Sequence[Prompt]:
    """The part of some prompts that a slice without a split's name means.

    Raises:
        UsageError: for what is none.
    """
    _, lower, upper = _parse_split(split, name)
    return prompts[_bound(lower, 0, len(prompts)) : _bound(upper, len(prompts), len(prompts))]


def _read(spec: PromptSet, name: str, where: str) -> PromptColumn:
    """The column of a set's source, all rows of its split."""
    split, _, _ = _parse_split(spec.split, where)
    path = local_path(spec.dataset, name)
    if path is None:
        return _read_hub(spec, split, where)
    if path.is_dir():
        return _read_folder(path, split, spec.column, where)
    return read_file(path, split, spec.column, where)


def local_path(dataset: str, name: str) -> Path | None:
    """Where a set lies on this machine, as an absolute path; None for a data set on the Hub.

    Raises:
        UsageError: when the text means a path and nothing lies there, or nothing that can be read.
    """
    try:
        path = user_path(dataset)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    try:
        if dataset.strip() and (path.is_file() or path.is_dir()):
            return path.resolve()
        there = path.exists()
    except OSError as error:
        raise UsageError(f"{name}: {dataset}: cannot be read: {error.strerror}") from error
    if there:
        raise UsageError(f"{name}: {quoted(dataset, 200)} is neither a file nor a folder: save the prompts as a file")
    if path.suffix.lower() in PROMPT_FILES or dataset.startswith((".", "/", "~")) or dataset.count("/") > 1:
        raise UsageError(f"{name}: {dataset}: no such file or folder")
    return None


def check_sets(sets: Mapping[str, PromptList]) -> tuple[dict[str, PromptList], list[str]]:
    """Take duplicates, and whatever an evaluation set holds too, out of the direction sets.

    Returns:
        The sets, and a note for everything that was taken out or looks wrong.

    Raises:
        UsageError: when a direction set is empty after that, or good and bad prompts are the same.
    """
    notes: list[str] = []
    checked = dict(sets)
    keys = {name: {key_of(prompt) for prompt in found.prompts} for name, found in sets.items()}
    for good, bad in _PAIRS:
        if good in sets and bad in sets and keys[good] == keys[bad]:
            raise UsageError(f"{good} and {bad} hold the same prompts: there is no difference to find a direction in")
    for name in sets:
        if name.startswith(KEPT_SET) and keys[name] == keys.get("good_prompts"):
            raise UsageError(f"{name} holds the prompts of good_prompts: there is nothing in it that could be kept")
    evaluation = {key for name in sets if _is_evaluation(name) for key in keys[name]}
    for name, found in sets.items():
        unique = list(dict.fromkeys(found.prompts))
        twice = len(found.prompts) - len(unique)
        if _is_evaluation(name):
            if twice:
                notes.append(f"{name}: {_occur(twice)} more than once and count so")
            continue
        if twice:
            notes.append(f"{name}: {counted(twice, 'duplicate')} left out")
        kept = [prompt for prompt in unique if key_of(prompt) not in evaluation]
        if len(kept) < len(unique):
            first = next(prompt for prompt in unique if key_of(prompt) in evaluation)
            notes.append(
                f"{name}: {counted(len(unique) - len(kept), 'prompt')} left out because the evaluation sets hold the "
                f"same, but for blanks and case (the first: {quoted(first.text)})"
            )
        if not kept:
            raise UsageError(f"{name}: every prompt of it is in the evaluation sets too, none is left")
        if len(kept) < _FEW:
            few = "1 prompt is" if len(kept) == 1 else f"{len(kept)} prompts are"
            notes.append(f"{name}: {few} few; directions from so few are mostly noise")
        checked[name] = PromptList(kept, found.notes)
    for good, bad in _PAIRS:
        if good in checked and bad in checked:
            notes += _in_both(checked[good].prompts, checked[bad].prompts, good, bad)
    return checked, notes


def _is_evaluation(name: str) -> bool:
    # Prompts to keep have the name of a file.
    return "evaluation" in name and not name.startswith(KEPT_SET)


_PAIRS = (("good_prompts", "bad_prompts"), ("good_evaluation_prompts", "bad_evaluation_prompts"))


def _in_both(good: Iterable[Prompt], bad: Iterable[Prompt], good_name: str, bad_name: str) -> list[str]:
    known = {key_of(prompt) for prompt in good}
    both = [prompt for prompt in bad if key_of(prompt) in known]
    if not both:
        return []
    what = "figures on it say less" if "evaluation" in bad_name else "the direction is made from a smaller difference"
    return [
        f"{bad_name}: {_occur(len(both))} in {good_name} too, so that {what} (the first: {quoted(both[0].text)}); "
        "take them out of one of the sets"
    ]


def _occur(number: int) -> str:
    return f"{counted(number, 'prompt')} occur{'s' if number == 1 else ''}"


def key_of(prompt: Prompt) -> tuple[str, str]:
    """What two prompts that say the same have in common: blanks, case and Unicode's ways to write a letter apart."""
    text = unicodedata.normalize("NFKC", prompt.text).casefold()
    return " ".join(text.split()), prompt.system_prompt


def digest(sets: Mapping[str, PromptList]) -> str:
    """SHA-256 over all prompts, so that a run knows whether they are still the same. Of those to keep neither their
    files' names nor their order matters."""
    record: dict[str, object] = {}
    kept: list[list[tuple[str, str]]] = []
    for name, found in sorted(sets.items()):
        prompts = [(p.system_prompt, p.text) for p in found.prompts]
        if name.startswith(KEPT_SET):
            kept.append(prompts)
        else:
            record[name] = prompts
    if kept:
        record[KEPT_SET] = sorted(kept)
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()


# Twelve digits are more than any set has; Python does not read numbers of thousands.
_SPLIT = re.compile(r"(?P<split>[^\[\]]*)(?:\[(?P<low>\d{1,12}%?)?:(?P<high>\d{1,12}%?)?\])?")


def _parse_split(text: str | None, where: str) -> tuple[str | None, str | None, str | None]:
    """Split name, first and last bound (as written); None where not given."""
    match = _SPLIT.fullmatch(text or "")
    if match is None:
        raise UsageError(f"{where}: {quoted(text)} is no split; write train, train[:400], [10:20] or [:10%]")
    for bound in (match["low"], match["high"]):
        if bound and bound.endswith("%") and int(bound[:-1]) > 100:
            raise UsageError(f"{where}: {quoted(text)} goes beyond 100%")
    return match["split"].strip() or None, match["low"], match["high"]


def _bound(text: str | None, default: int, rows: int) -> int:
    if text is None:
        return default
    return round(rows * int(text[:-1]) / 100) if text.endswith("%") else min(int(text), rows)


# Datasets


def _read_folder(path: Path, split: str | None, column: str | None, where: str) -> PromptColumn:
    import datasets

    try:
        saved = (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file()
        loaded = datasets.load_from_disk(str(path)) if saved else datasets.load_dataset(str(path))
    except Exception as error:
        # The library says that it failed, and in the cause why.
        reason = error.__cause__ if type(error).__name__ == "DatasetGenerationError" and error.__cause__ else error
        raise UsageError(f"{where}: cannot be read as a dataset: {one_line(reason)}") from error
    if isinstance(loaded, datasets.DatasetDict):
        if split is None and len(loaded) == 1:
            split = next(iter(loaded))
        if split not in loaded:
            raise UsageError(f"{where}: {_no_split(split)}; there are {', '.join(map(str, loaded))}")
        loaded = loaded[split]
    else:
        only_train(split, where)
    found = _dataset_column(loaded, column, where)
    kinds = {file.suffix.lower() for file in path.iterdir() if file.suffix.lower() in PROMPT_FILES}
    if not saved and len(kinds) > 1:
        found.notes.append(f"the folder holds {' and '.join(sorted(kinds))}, of which one kind is read: name the file")
    return found


def _read_hub(spec: PromptSet, split: str | None, where: str) -> PromptColumn:
    import datasets

    try:
        # The slice is taken here, not by the library: it would be an error where there are fewer prompts.
        loaded = datasets.load_dataset(spec.dataset, split=split or "train", revision=spec.commit)
    except ValueError as error:
        # The library's own message lists the splits.
        raise UsageError(f"{where}: {one_line(error)}") from error
    except Exception as error:
        text = one_line(error)
        if type(error).__name__ == "DatasetNotFoundError":
            text = "no such file, and no such dataset on the Hub (a private or gated one needs HF_TOKEN)"
        elif isinstance(error, ConnectionError | OSError) or "offline" in text.lower():
            text = f"no such file, and the Hub cannot be reached ({text})"
        raise UsageError(f"{where}: {text}") from error
    return _dataset_column(loaded, spec.column, where)


class _Table(Protocol):
    """What is needed of a data set of the library, which has no annotations."""

    column_names: list[str]

    def __getitem__(self, name: str) -> Iterable[object]: ...


def _dataset_column(dataset: _Table, column: str | None, where: str) -> PromptColumn:
    return prompts_column({name: dataset[name] for name in dataset.column_names}, column, where)


def _no_split(split: str | None) -> str:
    return "name the split" if split is None else f"no split {quoted(split)}"
