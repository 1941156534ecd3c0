"""Works the queue off in the process of the screen: when the run in it has ended, or waits and nobody uses it, the next
one starts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from heretic_tui.errors import HereticError
from heretic_tui.machine import disk_free
from heretic_tui.report.news import News, in_environment
from heretic_tui.run.journal import read_events
from heretic_tui.run.queue import Ended, Entry, QueueFile, Start, Step, next_step
from heretic_tui.run.state import RunState
from heretic_tui.settings.record import settings_to_go_on
from heretic_tui.settings.schema import Settings
from heretic_tui.tui.host import Host, ThreadHost
from heretic_tui.words import counted

# Seconds after the last key in which a person counts as using the run that waits for commands.
PATIENCE = 120.0


class Place(Protocol):
    """What the worker needs of the application. All is called on the thread that calls `look`."""

    def busy_with(self) -> str:
        """What keeps the run at work here from being closed, such as a search or a person; empty where nothing does."""
        ...

    def close_run(self) -> bool:
        """Close the run at work here, which has nothing to do; whether there is none any more."""
        ...

    def begin_queued(self, settings: Settings) -> Host:
        """Start a run of the queue."""
        ...


@dataclass(frozen=True)
class Seen:
    """What a look at the files has found.

    Attributes:
        ended: how the run of the entry in work ended: done, stopped, or why it failed; None while it goes on.
        problem: why the queue cannot be read.
    """

    step: Step | None = None
    ended: str | None = None
    failed: bool = False
    problem: str = ""


class QueueWorker:
    """One process at a time works a queue off: this one does from `begin` on, until the queue has ended or `stop`.

    Args:
        place: the application.
        say: tells the user something.
        call: calls a person who looks elsewhere.
    """

    def __init__(self, place: Place, say: Callable[[str], None], call: Callable[[News], None]) -> None:
        self._place, self._say, self._call = place, say, call
        self._file: QueueFile | None = None
        self._own: Settings | None = None
        self._held: int | None = None
        self._entry: Entry | None = None
        self._host: Host | None = None
        self._said = ""
        self._done = self._failed = 0
        # A run that has come to its end, how large its journal was then, and whether it ended by itself.
        self._judged: tuple[Host | None, int, bool] = None, 0, False

    @property
    def works(self) -> bool:
        """Whether this process works the queue off."""
        return self._held is not None

    def has_begun(self, host: Host | None) -> bool:
        """Whether a run was begun for the queue."""
        return host is not None and host is self._host

    def begin(self, runs_dir: Path, own: Settings) -> None:
        """Work the queue of a folder off from now on.

        Args:
            own: the user's settings: they allow what an entry cannot, and hold the storage's password.

        Raises:
            HereticError: when another process does.
        """
        self._own = own
        if self._held is None:
            self._file = QueueFile(runs_dir)
            self._held = self._file.begin_work()
            self._said, self._done, self._failed = "", 0, 0

    def stop(self, why: str = "") -> None:
        """Start no further run; one that is at work goes on."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
        self._entry = self._host = None
        if why:
            self._say(why)

    def is_to_begin(self, runs_dir: Path, host: Host) -> bool:
        """Whether runs wait that nobody works off, and the run here has ended by itself: who stopped it says what comes
        next. Reads files: on a thread."""
        file = QueueFile(runs_dir)
        try:
            if not file.read().waiting or file.worker() is not None:
                return False
            # Whole journals are read: once for each end.
            size = host.folder.events.stat().st_size if host.folder else 0
            if self._judged[:2] != (host, size):
                ended = _ending(host)
                self._judged = host, size, ended.failed or ended.ended == "done"
            return self._judged[2]
        except (HereticError, OSError):
            # Home says what is wrong with the queue.
            return False

    def find(self) -> Seen:
        """Look at the files, which may take long: on a thread."""
        file, host = self._file, self._host
        if file is None:
            return Seen()
        try:
            if host is not None:
                return _ending(host)
            at_work = file.run_at_work(but=os.getpid())
            return Seen(next_step(file.read(), time.time(), disk_free(file.runs_dir), at_work))
        except HereticError as error:
            return Seen(problem=str(error))

    def look(self, seen: Seen) -> None:
        """Do what follows from a look at the files."""
        if not self.works:
            return
        if seen.problem:
            self.stop(f"The queue stands still: {seen.problem}")
        elif seen.ended is not None:
            self._entry_ended(seen)
        elif isinstance(seen.step, Ended):
            self._queue_ended(seen.step.reason)
        elif isinstance(seen.step, Start):
            self._start(seen.step.entry)
        elif seen.step is not None:
            self._tell(f"The queue waits: it {seen.step.reason}.")

    def _start(self, entry: Entry) -> None:
        assert self._file is not None
        assert self._own is not None
        if why := self._place.busy_with():
            self._tell(f"The queue waits: {why}.")
            return
        if not self._place.close_run():
            return
        try:
            settings = settings_to_go_on(entry.settings, self._own, "the queue")
            self._file.begin(entry.id)
        except HereticError as error:
            self._fail(entry, str(error))
            return
        self._entry, self._host = entry, self._place.begin_queued(settings)
        self._tell(f"{entry.model} begins: it was the first in the queue.")

    def _entry_ended(self, seen: Seen) -> None:
        assert self._file is not None
        entry, self._entry, self._host = self._entry, None, None
        if entry is None:
            return
        if seen.failed:
            self._fail(entry, seen.ended or "")
        elif seen.ended == "done":
            self._done += 1
            try:
                self._file.remove(entry.id)
            except HereticError as error:
                self.stop(str(error))
        else:
            # A person stopped it: what comes after it is for them to say.
            self.stop("The queue stopped with its run; Q on Runs starts it again.")

    def _fail(self, entry: Entry, problem: str) -> None:
        assert self._file is not None
        self._failed += 1
        try:
            self._file.fail(entry.id, problem)
        except HereticError as error:
            self.stop(str(error))
            return
        self._tell(f"{entry.model} failed ({problem}); the next in the queue has its turn.")

    def _queue_ended(self, reason: str) -> None:
        done, failed = self._done, self._failed
        text = f"queue: {counted(done, 'run')} done" + f", {failed} failed" * bool(failed) + f"; {reason}"
        self.stop(f"The {text}.")
        if done or failed:
            facts = {"EVENT": "queue", "TEXT": text, "DONE": str(done), "FAILED": str(failed)}
            self._call(News("queue", text, in_environment(facts)))

    def _tell(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)


def _ending(host: Host) -> Seen:
    """How the run of a host has ended, or come to rest; nothing while it goes on."""
    if host.alive and not (isinstance(host, ThreadHost) and host.engine.ready):
        return Seen()
    if isinstance(host, ThreadHost) and host.failure:
        return Seen(ended=host.failure, failed=True)
    if host.folder is None:
        return Seen(ended="stopped")
    state = RunState.replay(read_events(host.folder.events))
    if not host.alive and state.outcome == "failed":
        return Seen(ended=state.reason or "its log says why", failed=True)
    return Seen(ended="done" if state.finished >= state.n_trials else "stopped")
