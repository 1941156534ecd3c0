"""Small things that are worth knowing the next time, in a JSON file of the user's: each under what it depends on."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from heretic_tui.errors import HereticError
from heretic_tui.files import read_json, state_folder, write_json


class KnownFacts:
    """One such file. One that is damaged or cannot be read counts as empty, and is written anew; one that cannot be
    written costs nothing but what would have been known.

    Args:
        name: of the file in the state folder.
        most: how many facts are kept, the latest.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most

    def recall(self, about: Mapping[str, object]) -> object:
        """What was noted, as it came from the file: to be checked; None where nothing was."""
        return self._read().get(_key(about))

    def remember(self, about: Mapping[str, object], fact: object) -> None:
        """Note plain JSON."""
        known = self._read()
        known.pop(_key(about), None)
        known[_key(about)] = fact
        with contextlib.suppress(HereticError, OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json(self._file, dict(list(known.items())[-self._most :]))

    @property
    def _file(self) -> Path:
        return state_folder() / self._name

    def _read(self) -> dict[str, object]:
        try:
            content = read_json(self._file)
        except (HereticError, FileNotFoundError):
            return {}
        return content if isinstance(content, dict) else {}


def _key(about: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
