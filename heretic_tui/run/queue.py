"""queue.json: runs that are to start one after another. It lies beside the runs, and any process of the user may change
it; one at a time works it off."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import read_json, write_json
from heretic_tui.records import Misfit, as_json, read_object
from heretic_tui.run import lock
from heretic_tui.run.folder import find_runs
from heretic_tui.words import plain, quoted, size_words

# Seconds that a change waits for another process that changes the queue.
_PATIENCE, _STEP = 5.0, 0.05
_MOST = 1000
# Later times cannot be shown in every time zone.
_LAST_YEAR = 9998
_LAST_TIME = datetime(_LAST_YEAR + 1, 1, 2, tzinfo=UTC).timestamp()
GB = 1e9


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run that is to start.

    Attributes:
        id: its number in this queue; no other has had it.
        settings: as a run keeps them, without passwords.
        added: when, seconds since 1970.
        begun: when its run was begun; it goes on with that where it was interrupted.
        problem: why its run failed or could not begin; None where it waits for its turn.
    """

    id: int
    settings: Mapping[str, object] = field(default_factory=dict)
    added: float = 0.0
    begun: float | None = None
    problem: str | None = None

    @property
    def model(self) -> str:
        return plain(str(self.settings.get("model") or "?"))

    @property
    def trials(self) -> int | None:
        """How many trials its run is to have."""
        trials = self.settings.get("n_trials")
        return trials if isinstance(trials, int) else None


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The runs that wait, and until when and where they may start.

    Attributes:
        entries: in the order in which they start; those with a problem are passed over.
        stop_at: no run starts at this time or later, seconds since 1970; None: at any time.
        keep_free: no run starts where fewer bytes are free on the disk of the runs; 0: wherever.
        last_id: the largest that an entry has had.
    """

    entries: tuple[Entry, ...] = ()
    stop_at: float | None = None
    keep_free: float = 0.0
    last_id: int = 0

    @property
    def waiting(self) -> tuple[Entry, ...]:
        """Those whose turn comes."""
        return tuple(entry for entry in self.entries if entry.problem is None)

    def place(self, entry: int) -> int | None:
        """The place of an entry among those that wait, from 1 on."""
        return next((place for place, each in enumerate(self.waiting, 1) if each.id == entry), None)


@dataclass(frozen=True)
class Start:
    """The run of an entry may start now."""

    entry: Entry


@dataclass(frozen=True)
class Wait:
    """None may start now; later one may."""

    reason: str


@dataclass(frozen=True)
class Ended:
    """None will start any more, unless somebody changes the queue."""

    reason: str


Step: TypeAlias = Start | Wait | Ended


def next_step(queue: Queue, now: float, free: int | None, at_work: str | None) -> Step:
    """What comes next.

    Args:
        now: seconds since 1970.
        free: bytes that are free on the disk of the runs; None where that is not known.
        at_work: the name of a run that a process is at work on, which may need all of the machine's memory.
    """
    if not queue.waiting:
        return Ended("the queue is empty" if not queue.entries else "no run of the queue is left that could start")
    if queue.stop_at is not None and now >= queue.stop_at:
        return Ended(f"no run starts after {clock_words(queue.stop_at, now)}")
    if free is not None and free < queue.keep_free:
        return Ended(f"{size_words(free)} are free on the disk of the runs: none starts below {limit_words(queue)}")
    if at_work is not None:
        return Wait(f"waits for the end of {at_work}")
    return Start(queue.waiting[0])


class QueueFile:
    """The queue beside the runs of a folder."""

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self.path = runs_dir / "queue.json"
        self._changes = runs_dir / "queue.lock"
        self._work = runs_dir / "queue-worker.lock"

    def read(self) -> Queue:
        """The queue as it is now; an empty one where there is none. An entry that cannot be read is one with a problem,
        and costs none of the others.

        Raises:
            UsageError: when the file is damaged as a whole.
        """
        try:
            content = read_json(self.path)
        except FileNotFoundError:
            return Queue()
        if not isinstance(content, dict) or not isinstance(listed := content.get("entries"), list):
            raise UsageError(f"{self.path} holds no queue: move it away, and add the runs again")
        try:
            found = read_object(Queue, {key: value for key, value in content.items() if key != "entries"})
        except Misfit as misfit:
            raise UsageError(f"{self.path} is damaged ({misfit}): move it away, and add the runs again") from misfit
        if not _is_time(found.stop_at):
            raise UsageError(f"{self.path} is damaged (stop_at is no time): move it away, and add the runs again")
        entries: list[Entry] = []
        last = max(0, found.last_id)
        for record in listed[:_MOST]:
            entry = _entry(record)
            if entry is None or entry.id in {other.id for other in entries}:
                last += 1
                entry = Entry(id=last, problem=f"its place in {self.path.name} is damaged")
            entries.append(entry)
        return replace(found, entries=tuple(entries), last_id=max([last, *(entry.id for entry in entries)]))

    # Changes

    def add(self, settings: Mapping[str, object]) -> Entry:
        """Put a run at the end of the queue.

        Raises:
            HereticError: when the file cannot be written.
        """
        added: list[Entry] = []

        def change(queue: Queue) -> Queue:
            if len(queue.entries) >= _MOST:
                raise UsageError(f"{_MOST:,} runs are in the queue: remove some first")
            entry = Entry(id=queue.last_id + 1, settings=settings, added=round(time.time(), 3))
            added.append(entry)
            return replace(queue, entries=(*queue.entries, entry), last_id=entry.id)

        self._change(change)
        return added[0]

    def remove(self, *ids: int) -> Sequence[Entry]:
        """Take entries out; returns those that were there."""
        gone: list[Entry] = []

        def change(queue: Queue) -> Queue:
            gone.extend(entry for entry in queue.entries if entry.id in ids)
            return replace(queue, entries=tuple(entry for entry in queue.entries if entry.id not in ids))

        self._change(change)
        return gone

    def move(self, entry: int, by: int) -> None:
        """Let an entry start so many places later (earlier, where `by` is negative)."""

        def change(queue: Queue) -> Queue:
            entries = list(queue.entries)
            place = next((index for index, each in enumerate(entries) if each.id == entry), None)
            if place is not None:
                moved = entries.pop(place)
                entries.insert(max(0, min(len(entries), place + by)), moved)
            return replace(queue, entries=tuple(entries))

        self._change(change)

    def limit(self, **limits: float | None) -> Queue:
        """Set `stop_at`, `keep_free`, or both."""
        return self._change(lambda queue: replace(queue, **limits))  # type: ignore[arg-type]

    def begin(self, entry: int) -> None:
        """The run of an entry begins."""
        self._set(entry, begun=round(time.time(), 3))

    def fail(self, entry: int, problem: str) -> None:
        """The run of an entry failed or could not begin: it stays in the list, and the next has its turn."""
        self._set(entry, problem=problem)

    def retry(self, entry: int) -> None:
        """An entry that failed has its turn again."""
        self._set(entry, problem=None)

    def _set(self, entry: int, **values: object) -> None:
        def change(queue: Queue) -> Queue:
            changed = (replace(each, **values) if each.id == entry else each for each in queue.entries)  # type: ignore[arg-type]
            return replace(queue, entries=tuple(changed))

        self._change(change)

    def _change(self, change: Callable[[Queue], Queue]) -> Queue:
        try:
            self.runs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self._changes, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        except OSError as error:
            raise HereticError(f"cannot write to the runs folder {self.runs_dir}: {error.strerror}") from error
        try:
            with _alone(handle):
                before = self.read()
                after = change(before)
                if after != before:
                    write_json(self.path, as_json(after))
                return after
        except lock.BusyError:
            raise HereticError(f"cannot write {self.path}: another process is writing to it; try again") from None
        finally:
            os.close(handle)

    # Working it off

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Within the block this process is the one that works the queue off.

        Raises:
            UsageError: when another one does.
        """
        handle = self.begin_work()
        try:
            yield
        finally:
            os.close(handle)

    def begin_work(self) -> int:
        """Become the one process that works the queue off, until the descriptor that is returned is closed.

        Raises:
            UsageError: when another one does.
        """
        try:
            self.runs_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            return lock.take(self._work)
        except lock.HeldError as error:
            raise UsageError(f"process {error.pid or 'unknown'} works this queue off already") from error
        except OSError as error:
            raise UsageError(f"cannot write to the runs folder {self.runs_dir}: {error.strerror}") from error

    def worker(self) -> int | None:
        """Pid of the process that works the queue off (-1 where it is not known); None where none does."""
        return lock.holder(self._work)

    def run_at_work(self, but: int | None = None) -> str | None:
        """The name of a run in this folder that a process holds; None where none does.

        Args:
            but: a process that does not count.
        """
        return next((run.name for run in find_runs(self.runs_dir) if run.holder() not in (None, but)), None)


@contextlib.contextmanager
def _alone(handle: int) -> Iterator[None]:
    """Hold the file that guards changes.

    Raises:
        BusyError: when others hold it all the while.
    """
    end = time.monotonic() + _PATIENCE
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(lock.alone(handle))
                break
            except lock.BusyError:
                if time.monotonic() > end:
                    raise
                time.sleep(_STEP)
        yield


def _entry(record: object) -> Entry | None:
    try:
        entry = read_object(Entry, record) if isinstance(record, dict) else None
    except Misfit:
        return None
    return entry if entry and entry.id > 0 and _is_time(entry.added) and _is_time(entry.begun) else None


def _is_time(moment: float | None) -> bool:
    return moment is None or 0 <= moment <= _LAST_TIME


# Limits, as people write and read them


def stop_time(text: str, now: float) -> float | None:
    """A time of day (07:30: the next time that it is that late), a date, or both; None for `never`.

    Raises:
        UsageError: when it is none of these, or past.
    """
    text = text.strip()
    if text.lower() == "never":
        return None
    for pattern in ("%H:%M", "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"):
        try:
            found = datetime.strptime(text, pattern)
        except ValueError:
            continue
        present = datetime.fromtimestamp(now)
        if pattern == "%H:%M":
            found = present.replace(hour=found.hour, minute=found.minute, second=0, microsecond=0)
            found += timedelta(days=found.timestamp() <= now)
        # The year first: the system has no seconds for the first one and the last.
        if found.year < 1970 or found.timestamp() <= now:
            raise UsageError(f"{quoted(text)} is past: no run of the queue would start")
        if found.year > _LAST_YEAR:
            raise UsageError(f"{quoted(text)} is too far away: say never")
        return found.timestamp()
    raise UsageError(f"a stop time is HH:MM, a date YYYY-MM-DD, both, or never, not {quoted(text)}")


def clock_words(moment: float, now: float) -> str:
    """07:30, or with its date where that is another day."""
    then = datetime.fromtimestamp(moment)
    same = then.date() == datetime.fromtimestamp(now).date()
    return then.strftime("%H:%M" if same else "%Y-%m-%d %H:%M")


def kept_free(text: str) -> float:
    """Bytes, from a number of GB.

    Raises:
        UsageError: when it is none.
    """
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1e6:
        raise UsageError(f"what is to stay free is a number of GB, not {quoted(text)}")
    return found * GB


def limit_words(queue: Queue) -> str:
    return size_words(queue.keep_free) if queue.keep_free else "no limit"
