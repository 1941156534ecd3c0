"""events.jsonl: what happened in a run, one JSON object a line; appended by one process, read by any."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from heretic_tui.engine.events import Event
from heretic_tui.errors import HereticError, UsageError

_HIGH_RATE_SECONDS = 1.0


class Journal:
    """The writer. Every record carries `seq` (from 0, without gaps) and `time` (seconds since 1970).

    Raises:
        UsageError: when the file is damaged elsewhere than in its last line.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._thinned: dict[str, float] = {}
        self._path = path
        self._seq = sum(1 for _ in read_journal(path))
        try:
            trim_torn_line(path)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error

    def append(self, event: Event) -> None:
        """Write one event. High-rate kinds are written once a second at most; all others reach the disk before this
        returns.

        Raises:
            HereticError: when the disk is full.
        """
        now = self._clock()
        if event.high_rate:
            if now - self._thinned.get(event.type, 0.0) < _HIGH_RATE_SECONDS:
                return
            self._thinned[event.type] = now
        record = {"seq": self._seq, "time": round(now, 3), **event.to_json()}
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", errors="replace")
        try:
            written = os.write(self._file, line)
            if written < len(line):
                raise OSError(None, "no space left on device")
            if not event.high_rate:
                os.fsync(self._file)
        except OSError as error:
            raise HereticError(f"cannot write {self._path}: {error.strerror}; free some space and resume") from error
        self._seq += 1

    def close(self) -> None:
        os.close(self._file)


def trim_torn_line(path: Path) -> None:
    """Cut off what a kill left behind the last newline; what is written next must not be glued to it."""
    if path.exists() and not (data := path.read_bytes()).endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """All whole records, oldest first; a torn last line (a writer at work, or killed) is left out.

    Raises:
        UsageError: when a line in the middle is damaged, with its number.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    # Behind the last newline lies nothing, or a torn line.
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or "type" not in record:
                raise ValueError("not an event")
        except ValueError as error:
            raise UsageError(
                f"{path} is damaged at line {number}: put back a copy, or delete that line "
                "(the trials themselves are in study.journal as well)"
            ) from error
        yield record
