"""What a model responded in a measurement, as the run folder keeps it: read and checked."""

from __future__ import annotations

from typing import Any

from heretic_tui.engine.events import fits
from heretic_tui.errors import UsageError
from heretic_tui.runtime.files import read_json
from heretic_tui.runtime.rundir import RunFolder

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
