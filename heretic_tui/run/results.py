"""What the phases of a run wrote to its folder, read and checked: geometry, projections, first tokens, responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.events import LayersAnalysed, are_tokens, fits, from_json
from heretic_tui.files import read_json
from heretic_tui.run.folder import RunFolder

# The residual geometry (engine/geometry.py), and what is measured of the direction itself.
# A row of the layers.
Layer = dict[str, Any]

GEOMETRY = (
    "S(g,b)", "S(g*,b*)", "S(g,r)", "S(g*,r*)", "S(b,r)", "S(b*,r*)",
    "|g|", "|g*|", "|b|", "|b*|", "|r|", "|r*|", "Silh",
)  # fmt: skip
DIRECTION_COLUMNS = ("auc", "auc_low", "auc_high", "edit", "edit_error", "stream", "stream_error", "add", "add_error")
_VIEWS: dict[str, Any] = {"good": int, "bad": int, "views": dict[str, list[list[list[int]]]]}


def read_geometry(folder: RunFolder) -> dict[str, Any] | None:
    """geometry.json (engine/events.py: LayersAnalysed), None where it is not there.

    Raises:
        UsageError: when it is damaged.
    """
    path = folder.geometry
    try:
        folder.check(path)
        record = read_json(path)
    except FileNotFoundError:
        return None
    try:
        event = from_json(record) if isinstance(record, dict) else None
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error})") from error
    if not isinstance(event, LayersAnalysed):
        raise UsageError(f"{path} is damaged (it holds no analysis of layers)")
    return {**record, "layers": event.layers}


def read_views(folder: RunFolder) -> dict[str, Any] | None:
    """projections.json: `good` and `bad` prompts, and `views` by method: by residual index, prompts (the good ones
    first), and axis, from -1000 to 1000. None where it is not there or damaged."""
    try:
        record = read_json(folder.projections)
    except (FileNotFoundError, HereticError):
        return None
    if not isinstance(record, dict) or not all(fits(record.get(name), kind) for name, kind in _VIEWS.items()):
        return None
    points = record["good"] + record["bad"]
    planes = [plane for view in record["views"].values() for plane in view]
    whole = all(len(plane) == points and all(len(place) == 2 for place in plane) for plane in planes)
    return record if whole and record["views"] else None


def best_layer(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The layer that every view and sentence calls the best, from the record of the layers (the embedding output
    first): where taking the direction out of the stream lowers the log-odds of refusal most, or where that was not
    measured, where the direction tells evaluation prompts apart best. None where neither is known."""
    for name, sign in (("stream", -1), ("auc", 1)):
        known = [row for row in rows[1:] if row.get(name) is not None]
        if known:
            return max(known, key=lambda row: (sign * row[name], row.get("auc_low") or 0.0))
    return None


def read_shift(folder: RunFolder, trial: int) -> dict[str, Any] | None:
    """What engine/shift.py found for a trial, None where nobody has asked yet or the file is damaged."""
    try:
        record = read_json(folder.shift(trial))
    except (FileNotFoundError, HereticError):
        return None
    return record if record and fits(record, dict[str, dict[str, Any]]) and all(map(_whole, record.values())) else None


def _whole(found: Mapping[str, Any]) -> bool:
    """Whether this is what was found for one set."""
    return (
        fits(found.get("kl_divergence"), float)
        and all(are_tokens(found.get(word), 1) for word in ("gained", "lost"))
        and fits(found.get("prompts"), list[dict[str, Any]])
        and all(
            fits(record.get("prompt"), str)
            and fits(record.get("kl_divergence"), float)
            and all(are_tokens(record.get(word), 2) for word in ("gained", "lost"))
            for record in found["prompts"]
        )
    )


_ALWAYS: dict[str, Any] = {"prompt": str, "text": str, "refused": bool | None, "marker": str | None}
# Not in folders of older versions.
_NEWER: dict[str, Any] = {"tokens": int, "whole": bool, "start": int | None, "end": int | None}


def read_responses(folder: RunFolder, trial: int | None) -> list[dict[str, Any]]:
    """The records of a trial, or of the base model for None, one for each bad evaluation prompt: `prompt`, `text`,
    `refused` (None without a verdict), `marker`, and as far as the version that wrote them kept it `tokens`, `whole`,
    `start` and `end` of the marker.

    Raises:
        FileNotFoundError: when there are none.
        UsageError: when they cannot be read, or the file is damaged.
    """
    path = folder.responses(trial)
    if trial is None:
        folder.check(path)
    records = read_json(path)
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UsageError(f"{path} is damaged (it holds no responses)")
    for number, record in enumerate(records):
        for name, kind in {**_ALWAYS, **{name: kind for name, kind in _NEWER.items() if name in record}}.items():
            if name not in record or not fits(record[name], kind):
                raise UsageError(f"{path} is damaged ({name!r} of prompt {number})")
    return records
