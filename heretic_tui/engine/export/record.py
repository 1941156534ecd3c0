"""reproduce.json: what an export needs to be built again, and what of a stranger's record is believed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from heretic_tui.engine.inputs.check import SETS
from heretic_tui.errors import UsageError
from heretic_tui.figures import figures_of_before, values_of_before
from heretic_tui.files import read_json
from heretic_tui.run.places import recall
from heretic_tui.settings.record import from_record
from heretic_tui.settings.schema import PROMPT_FILES, Settings, deciding
from heretic_tui.words import quoted

FORMAT = 3
# Versions before wrote these, without `figures`: KL divergence and refusals each in a field of its own.
_BEFORE = (1, 2)

# What a record may name, and where this machine may have it.
_SOURCES = ("model", *SETS)

_Short = Annotated[str, Field(max_length=300)]
_Text = Annotated[str, Field(max_length=1000)]
_Moment = Annotated[_Short, AfterValidator(lambda text: datetime.fromisoformat(text) and text)]
_Count = Annotated[int, Field(ge=0, le=2**31)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Identity(_Part):
    settings: dict[str, Any]
    model: _Short
    prompts: _Short


class _Figure(_Part):
    name: _Short
    short: _Short
    meaning: _Text
    counted: bool
    digits: int = Field(ge=0, le=9)
    lowest: float | None
    verb: _Short
    participle: _Short
    key: _Short


class _Figures(_Part):
    figures: dict[_Short, float | int]
    prompts: _Count | None


class _Trial(_Figures):
    number: _Count


class _Record(_Part):
    """Every field that is read back; others are dropped when files are built again."""

    format: int
    model: _Short
    model_commit: _Short | None = None
    local: list[_Short] = []
    identity: _Identity
    settings: dict[str, Any]
    seed: _Count | None = None
    batch_size: int = Field(ge=1, le=100_000)
    response_prefix: str
    clock: _Moment | None = None
    dtype: _Short = ""
    loaded_as: _Short | None = None
    run: _Short = ""
    kind: Literal["merged", "adapter"]
    dora: bool
    parameters: dict[str, Any]
    coverage: _Short = ""
    figures: list[_Figure]
    base: _Figures
    trial: _Trial
    exported: _Figures | None = None
    not_measured: _Text | None = None
    versions: dict[_Short, _Short] = {}
    files: dict[Annotated[str, Field(pattern=r"^[\w.-]{1,200}$")], _Short]


def sources(settings: Settings) -> dict[str, Any]:
    """What a record says of model, prompts and settings: of what lies on this machine the name, of settings those that
    decide the files. (No path, no storage, no password: the record is passed on with the files.)"""
    kept = {
        **deciding(settings),
        "model": settings.model,
        "model_commit": settings.model_commit,
        "max_shard_size": settings.max_shard_size,
        **{name: getattr(settings, name).model_dump(mode="json") for name in SETS},
    }
    local = [name for name in _SOURCES if _lies_here(_source(kept, name))]
    for name in local:
        _set_source(kept, name, Path(_source(kept, name)).name)
    return {"model": kept["model"], "local": local, "settings": kept}


def places(settings: Settings) -> dict[str, str]:
    """Where on this machine what `sources` gives by name lies."""
    found = {"model": settings.model, **{name: getattr(settings, name).dataset for name in SETS}}
    return {name: os.path.abspath(place) for name, place in found.items() if _lies_here(place)}


def without_paths(text: str) -> str:
    """A message as a record may hold it: of paths the last part."""
    return re.sub(r"(?<![\w.~/])[~.]{0,2}/[^\s:'\"]*/(?=[^\s/])", "", text)


def read_record(file: Path) -> dict[str, Any]:
    """The record of an export, checked field by field.

    Args:
        file: reproduce.json, or the folder that it lies in.

    Raises:
        UsageError: when it cannot be read, or is no such record.
    """
    path = file / "reproduce.json" if file.is_dir() else file
    try:
        content = read_json(path)
    except FileNotFoundError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if not isinstance(content, dict) or not {"format", "settings", "parameters"} <= set(content):
        raise UsageError(f"{path} is not a reproduce.json of heretic-tui")
    if content["format"] not in (*_BEFORE, FORMAT) or isinstance(content["format"], bool):
        raise UsageError(f"{path} has format {quoted(content['format'])}; this version reads the formats 1 to {FORMAT}")
    if content["format"] in _BEFORE:
        content = _by_name(content)
    try:
        record = _Record.model_validate(content).model_dump()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(word)[:40] for word in first["loc"][:3])
        if first["type"] == "missing":
            raise UsageError(f"{path} is damaged: {quoted(place)} is missing") from error
        raise UsageError(f"{path} is damaged: {quoted(place)} cannot be {quoted(first['input'])}") from error
    for name in ("clock", "loaded_as", "exported", "not_measured"):
        if record[name] is None:
            del record[name]
    return record


def _by_name(content: Mapping[str, Any]) -> dict[str, Any]:
    """A record of the time before with its figures by name."""
    settings = content["settings"]
    length = settings.get("max_response_length", 100) if isinstance(settings, dict) else 100
    found = {**content, "figures": [asdict(figure) for figure in figures_of_before(length)]}
    for name in ("base", "trial", "exported"):
        if isinstance(part := content.get(name), dict):
            needed = ("refusals",) if name == "base" else ("refusals", "kl_divergence")
            if lacking := [key for key in needed if part.get(key) is None]:
                found[name] = {key: value for key, value in part.items() if key != lacking[0]}
                continue
            compared = {"kl_divergence": 0.0} if name == "base" else {}
            found[name] = {**part, "figures": {**compared, **values_of_before(part, *needed)}}
    return found


def settings_of(record: Mapping[str, Any], own: Settings, given: Mapping[str, str], where: str) -> Settings:
    """The settings to build an export again with.

    Of data a record may name a model and prompts, on the Hub or by a file's name; where that file lies is for this
    person to say, or for this machine to know, as it does after an export. Devices are this machine's.

    Args:
        own: this person's settings.
        given: places of the model and the sets, by setting name.
        where: the record's file, for messages.

    Raises:
        UsageError: for settings that are none, a place that is not known, or code that must be allowed first.
    """
    settings = dict(record["settings"])
    known = recall(record["identity"])
    for name in _SOURCES:
        named = _source(settings, name)
        if not isinstance(named, str) or not named:
            raise UsageError(f"{where} does not name {name}")
        place = given.get(name)
        if place is None and (name in record["local"] or _is_path(named)):
            place = known.get(name, "")
            if record["format"] == 1 and not os.path.exists(place):
                # Records of the time before hold the whole path.
                place = named
            if not os.path.exists(place):
                raise UsageError(
                    f"{where} knows {name} by its name alone, {quoted(Path(named).name)}: "
                    f"say where it lies with --{name.replace('_', '-')} PATH"
                )
        if place is not None:
            _set_source(settings, name, place)
        elif name == "model" and record["model_commit"]:
            settings["model_commit"] = record["model_commit"]
    devices = {"device_map": own.device_map, "max_memory": own.max_memory}
    return from_record({**settings, **devices}, own, where)


def _source(settings: Mapping[str, Any], name: str) -> Any:
    value = settings.get(name)
    if name == "model":
        return value
    return value.get("dataset") if isinstance(value, dict) else None


def _set_source(settings: dict[str, Any], name: str, place: str) -> None:
    settings[name] = place if name == "model" else {**settings[name], "dataset": place}


def _is_path(source: str) -> bool:
    """Whether a model or a set is named as a path, and not as something on the Hub."""
    return source.startswith(("/", ".", "~")) or Path(source).suffix.lower() in PROMPT_FILES


def _lies_here(source: str) -> bool:
    return _is_path(source) or os.path.exists(source)
