"""The settings in the record of an export, and settings made from such a record: it gives no local path and no
permission."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from heretic_tui.engine.directions.methods.base import direction_method
from heretic_tui.engine.inputs.prompts import kept_set
from heretic_tui.errors import UsageError
from heretic_tui.run.exports import ExportRecord
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.places import recall
from heretic_tui.run.record import Round
from heretic_tui.settings.identity import deciding
from heretic_tui.settings.prompt_sets import PROMPT_FILES, RUN_SETS
from heretic_tui.settings.record import from_record
from heretic_tui.settings.schema import Settings
from heretic_tui.words import quoted

# What a record may name, and where this machine may have it.
_SOURCES = ("model", *RUN_SETS)
# What a record does not name, and a direction method may need: in words for messages.
_OF_METHODS = {"keep_prompts": ("prompts to keep", "they lie"), "direction_file": ("a file of directions", "it lies")}


class Sources(TypedDict):
    """Fields of an `ExportRecord` that say what it was made from."""

    model: str
    local: tuple[str, ...]
    settings: dict[str, object]


def sources(settings: Settings) -> Sources:
    """What a record says of model, prompts and settings: of what lies on this machine the name, of settings those that
    decide the files. (No path, no storage, no password: the record is passed on with the files.)"""
    kept: dict[str, object] = {
        **deciding(settings),
        "model": settings.model,
        "model_commit": settings.model_commit,
        "max_shard_size": settings.max_shard_size,
        **{name: getattr(settings, name).model_dump(mode="json") for name in RUN_SETS},
    }
    named = {"model": settings.model, **{name: getattr(settings, name).dataset for name in RUN_SETS}}
    local = tuple(name for name in _SOURCES if _lies_here(named[name]))
    for name in local:
        named[name] = Path(named[name]).name
        _set_source(kept, name, named[name])
    return {"model": named["model"], "local": local, "settings": kept}


def places(settings: Settings) -> dict[str, str]:
    """Where on this machine what `sources` gives by name lies."""
    found = {"model": settings.model, **{name: getattr(settings, name).dataset for name in RUN_SETS}}
    own = {name: os.path.abspath(place) for name, place in found.items() if _lies_here(place)}
    # Both are whole paths already (inputs/check.py).
    if settings.keep_prompts:
        own["keep_prompts"] = json.dumps(settings.keep_prompts)
    if settings.direction_file is not None:
        own["direction_file"] = settings.direction_file
    return own


def settings_of_round(earlier: Round, settings: Settings, own: Settings, where: str) -> Settings:
    """The settings of an earlier round of a run.

    Args:
        settings: of the run: the model lies where that has it.
        own: the user's settings: they allow what a record cannot.
        where: the record's file, for messages.

    Raises:
        UsageError: for settings that are none.
    """
    model = {"model": settings.model, "model_commit": settings.model_commit}
    return from_record({**earlier.settings, **model, "on_top_of": None}, own, where)


def rounds_passed_on(folder: RunFolder, settings: Settings, own: Settings) -> tuple[Round, ...]:
    """The earlier rounds of a run as a record may hold them: without paths."""
    found = []
    for each in folder.read_record().rounds:
        sources_of = sources(settings_of_round(each, settings, own, str(folder.record)))
        found.append(replace(each, local=sources_of["local"], settings=sources_of["settings"]))
    return tuple(found)


def without_paths(text: str) -> str:
    """A message as a record may hold it: of paths the last part."""
    return re.sub(r"(?<![\w.~/])[~.]{0,2}/[^\s:'\"]*/(?=[^\s/])", "", text)


def settings_of(record: ExportRecord, own: Settings, given: Mapping[str, str], where: str) -> Settings:
    """The settings to build an export again with.

    Of data a record may name a model and prompts, on the Hub or by a file's name; where that file lies is for this
    person to say, or for this machine to know, as it does after an export. So it is with prompts to keep and a file of
    directions, of which a record says nothing. Devices are this machine's.

    Args:
        own: the user's settings, prompts to keep and the file of directions among them.
        given: places of the model and the sets, by setting name.
        where: the record's file, for messages.

    Raises:
        UsageError: for settings that are none, a place that is not known, or code that must be allowed first.
    """
    settings = dict(record.settings)
    known = recall(record.identity)
    for name in _SOURCES:
        named = _source(settings, name)
        if not isinstance(named, str) or not named:
            raise UsageError(f"{where} does not name {name}")
        place = given.get(name)
        if place is None and (name in record.local or _is_path(named)):
            place = known.get(name, "")
            if record.format == 1 and not os.path.exists(place):
                # Records of format 1 hold the whole path.
                place = named
            if not os.path.exists(place):
                raise UsageError(
                    f"{where} knows {name} by its name alone, {quoted(Path(named).name)}: "
                    f"say where it lies with --{name.replace('_', '-')} PATH"
                )
        if place is not None:
            _set_source(settings, name, place)
        elif name == "model" and record.model_commit:
            settings["model_commit"] = record.model_commit
    settings |= {name: getattr(own, name) for name in ("device_map", "max_memory")}
    found = from_record({**settings, "keep_prompts": [], "direction_file": None}, own, where)
    return found.model_copy(update=_what_methods_need(found, own, known, where))


def _what_methods_need(
    found: Settings, own: Settings, known: Mapping[str, str], where: str
) -> dict[str, list[str] | str | None]:
    """Prompts to keep and a file of directions, where the direction methods of a record need them.

    Raises:
        UsageError: where they do and nobody knows them.
    """
    uses = {name: direction_method(name).uses for name in found.direction_method}
    needed: dict[str, list[str] | str | None] = {}
    for setting, (what, lie) in _OF_METHODS.items():
        users = [name for name, used in uses.items() if setting in used]
        if not users:
            continue
        place = getattr(own, setting) or _recalled(setting, known)
        if not place:
            raise UsageError(
                f"{where} was made with {what} ({users[0]}), which a record does not name: say where {lie} with "
                f"--{setting.replace('_', '-')}"
            )
        needed[setting] = place
    return needed


def _recalled(setting: str, known: Mapping[str, str]) -> list[str] | str | None:
    """What this machine knows of it since the export, where it still lies there."""
    place = known.get(setting)
    if place is None or setting == "direction_file":
        return place if place and os.path.exists(place) else None
    try:
        sets = json.loads(place)
    except ValueError:
        return None
    if not isinstance(sets, list) or not all(isinstance(text, str) for text in sets):
        return None
    places = [kept_set(text).dataset for text in sets]
    return sets if all(os.path.exists(place) for place in places if _is_path(place)) else None


def settings_of_earlier(
    record: ExportRecord, earlier: Round, own: Settings, given: Mapping[str, str], where: str
) -> Settings:
    """The same for an earlier round of an export. What `given` says of a set holds where that had the same one.

    Raises:
        UsageError: as `settings_of`, and for prompts that this machine does not know and `given` cannot say.
    """
    known, places_of = recall(dict(earlier.identity)), dict(given)
    for name in RUN_SETS:
        named = _source(earlier.settings, name)
        if named == _source(record.settings, name):
            continue
        places_of.pop(name, None)
        if name in earlier.local and not os.path.exists(known.get(name, "")):
            raise UsageError(
                f"{where} had other {name} than the last one, {quoted(named)}, of which this machine does not know "
                "where they lie: it can be built again where it was exported"
            )
    like = replace(record, settings=dict(earlier.settings), identity=dict(earlier.identity), local=earlier.local)
    return settings_of(like, own, places_of, where)


def _source(settings: Mapping[str, object], name: str) -> object:
    value = settings.get(name)
    if name == "model":
        return value
    return value.get("dataset") if isinstance(value, dict) else None


def _set_source(settings: dict[str, object], name: str, place: str) -> None:
    known = settings[name]
    settings[name] = {**known, "dataset": place} if isinstance(known, dict) else place


def _is_path(source: str) -> bool:
    """Whether a model or a set is named as a path, and not as something on the Hub."""
    return source.startswith(("/", ".", "~")) or Path(source).suffix.lower() in PROMPT_FILES


def _lies_here(source: str) -> bool:
    return _is_path(source) or os.path.exists(source)
