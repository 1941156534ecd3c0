"""Where on this machine the models and prompts of exports lie: what is passed on knows them by name and content."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from heretic_tui.errors import HereticError
from heretic_tui.files import read_json, state_folder, write_json

# The latest are kept.
_MOST = 500


def remember(identity: Mapping[str, object], places: dict[str, str]) -> None:
    """Note where the model and the sets of a run lie, in a file of the user's. That it cannot be written costs
    nothing but a flag at `reproduce`."""
    known = _read()
    known.pop(_key(identity), None)
    known[_key(identity)] = places
    with contextlib.suppress(HereticError, OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_json(_file(), dict(list(known.items())[-_MOST:]))


def recall(identity: dict[str, object]) -> dict[str, str]:
    """What was noted for a run: absolute paths by setting name; empty where nothing was."""
    found = _read().get(_key(identity))
    if not isinstance(found, dict):
        return {}
    return {name: place for name, place in found.items() if isinstance(place, str)}


def _read() -> dict[str, object]:
    try:
        content = read_json(_file())
    except (HereticError, FileNotFoundError):
        return {}
    return content if isinstance(content, dict) else {}


def _file() -> Path:
    return state_folder() / "places.json"


def _key(identity: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
