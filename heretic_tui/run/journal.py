"""events.jsonl: what happened in a run, one JSON object a line; appended by one process, read by any."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.event_records import read_event
from heretic_tui.figures import Figure
from heretic_tui.files import append, parse_json, read_bytes, trim_torn_line

_HIGH_RATE_SECONDS = 1.0
# Bytes that are read at once: a screen shows what it has, and answers keys, before it has all.
BYTES_AT_ONCE = 1 << 24
# Bytes of a line that hold its number, its time and its kind.
_HEAD = 100


class Journal:
    """The writer. Every record carries `seq` (from 0, without gaps) and what the event tells, its time included.

    Attributes:
        records: how many the file holds.

    Raises:
        UsageError: when the file cannot be written to, or is damaged elsewhere than in its last line.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._thinned: dict[str, float] = {}
        self._path = path
        self.records = sum(1 for _ in read_journal(path))
        try:
            trim_torn_line(path)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from error

    def append(self, event: ev.Event) -> None:
        """Write one event. High-rate kinds are written once a second at most; all others reach the disk before this
        returns.

        Raises:
            HereticError: when the disk is full; nothing of the event is left in the file then.
        """
        if event.high_rate:
            now = self._clock()
            if now - self._thinned.get(event.type, 0.0) < _HIGH_RATE_SECONDS:
                return
            self._thinned[event.type] = now
        line = json.dumps({"seq": self.records, **event.to_json()}, ensure_ascii=False) + "\n"
        try:
            append(self._file, line.encode("utf-8", errors="replace"), sync=not event.high_rate)
        except OSError as error:
            raise HereticError(f"cannot write {self._path}: {error.strerror}; free some space and resume") from error
        self.records += 1

    def close(self) -> None:
        os.close(self._file)


def read_events(path: Path, without: Collection[type[ev.Event]] = ()) -> Iterator[ev.Event]:
    """The events that this version knows, oldest first, each as one of the past.

    Args:
        without: kinds that are left out unread, for who needs few of them: most lines are of few kinds.

    Raises:
        UsageError: when the file cannot be read, or a line in the middle is damaged, with its number.
    """
    take = _Reader()
    kinds = "|".join(kind.type for kind in without)
    unread = re.compile(f'"type": "(?:{kinds})"'.encode()) if kinds else None
    for number, record in _numbered(path, unread):
        try:
            event = take(record, past=True)
        except ValueError as error:
            raise _damaged(path, number, error) from error
        if event:
            yield event


def read_journal(path: Path) -> Iterator[dict[str, object]]:
    """All whole records, oldest first; a partial last line (of a writer at work, or of a crash) is left out.

    Raises:
        UsageError: when the file cannot be read, or a line in the middle is no JSON object, with its number.
    """
    return (record for _, record in _numbered(path, None))


def _numbered(path: Path, unread: re.Pattern[bytes] | None) -> Iterator[tuple[int, dict[str, object]]]:
    """Records with the numbers of their lines; none of lines that have `unread` near their beginning."""
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        return
    for number, line in enumerate(_whole_lines(data), start=1):
        if unread and unread.search(line, 0, _HEAD):
            continue
        try:
            yield number, _record(line)
        except UsageError as error:
            raise _damaged(path, number, error) from error


def _whole_lines(data: bytes) -> list[bytes]:
    # After the last newline comes nothing, or a partial line.
    return data.split(b"\n")[:-1]


def _record(line: bytes) -> dict[str, object]:
    record = parse_json(line, "it")
    if not isinstance(record, dict):
        raise UsageError("it is no object")
    return record


def _damaged(path: Path, number: int, reason: object) -> UsageError:
    return UsageError(
        f"{path} is damaged at line {number} ({reason}): put back a copy, or delete that line "
        "(the trials themselves are in study.journal as well)"
    )


class _Reader:
    """Makes events of the records of one journal, one after the other: what a trial can be depends on the run that was
    opened before it."""

    def __init__(self) -> None:
        self._figures: list[Figure] = []

    def __call__(self, record: Mapping[str, object], past: bool) -> ev.Event | None:
        event = read_event(record, past, self._figures)
        if isinstance(event, ev.RunOpened):
            self._figures = event.figures
        return event


class Tail:
    """The events of a journal that came since the last look, some megabytes at a time; a partial last line is read when
    it is whole.

    What is in the file at the first read counts as past.

    Attributes:
        records: how many have been read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._past: int | None = None
        self._take = _Reader()
        self.records = 0

    def take(self) -> list[ev.Event]:
        return [event for _, event in self.take_numbered()]

    def take_numbered(self) -> list[tuple[int, ev.Event]]:
        """The events with their `seq`."""
        try:
            found = self._path.stat()
            # Opening a FIFO would wait for its writer.
            if not stat.S_ISREG(found.st_mode):
                return []
            if self._past is None:
                self._past = found.st_size
            with self._path.open("rb") as file:
                file.seek(self._offset)
                # A line is never longer than a piece and what it takes to end it.
                data = file.read(BYTES_AT_ONCE) + file.readline()
        except OSError:
            return []
        events = []
        for line in _whole_lines(data):
            past = self._offset < self._past
            self._offset += len(line) + 1
            number, self.records = self.records, self.records + 1
            try:
                event = self._take(_record(line), past)
            except (UsageError, ValueError):
                # The writer reports a damaged line; a reader gets all others.
                continue
            if event:
                events.append((number, event))
        return events
