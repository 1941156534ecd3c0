"""A run as a screen sees it, and the engine as a thread of this process (`other_process.py` has the runs of others)."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from heretic_tui import events as ev
from heretic_tui.control import Control, Requests
from heretic_tui.errors import HereticError, one_line
from heretic_tui.imports import large_imports
from heretic_tui.run.attach.client import ControlNews
from heretic_tui.run.attach.place import terminal_name
from heretic_tui.run.attach.server import AttachServer, attachable
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState

if TYPE_CHECKING:
    from heretic_tui.report.notify import Notifier
    from heretic_tui.settings.schema import Settings

_NICE = 10


class Host(Protocol):
    """What a screen needs of a run. `take` never blocks; requests go through `control`, and are confirmed by events.

    Attributes:
        folder: the run folder, None until it is known.
        settings: what a run of this process was started with; None where it was not started here.
    """

    folder: RunFolder | None

    @property
    def control(self) -> Requests | None:
        """None where another terminal controls the run, or none is at work on it."""
        ...

    @property
    def controller(self) -> str | None:
        """The other terminal that controls the run, as people know it; None where none is known to."""
        ...

    @property
    def here(self) -> bool:
        """Whether the engine is in this process."""
        ...

    @property
    def attached(self) -> bool:
        """Whether there is a connection to the process of the engine, or it is this one: control can be had."""
        ...

    def take_control(self, over: bool) -> None:
        """Ask for control of the run.

        Args:
            over: also where another terminal has it.

        Raises:
            UsageError: when it cannot be had.
        """
        ...

    def take_news(self) -> Sequence[ControlNews]:
        """What is to be told about who controls the run."""
        ...

    def leave(self) -> None:
        """The screen shows this run no more."""
        ...

    @property
    def settings(self) -> Settings | None: ...

    def start(self) -> None: ...

    def take(self) -> Sequence[ev.Event]:
        """The events since the last call, in order; a progress that a later one overtook may be left out. Those of
        before the start are marked as past."""
        ...

    @property
    def alive(self) -> bool:
        """Whether further events can come."""
        ...

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the run, or for some seconds."""
        ...


class Mailbox:
    """Events on their way from one thread to another. Putting never blocks for longer than taking the list."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[ev.Event] = []

    def put(self, event: ev.Event) -> None:
        with self._lock:
            # A screen that is stopped for hours must not make the list grow with every progress event.
            if event.high_rate and self._events and type(self._events[-1]) is type(event):
                self._events[-1] = event
            else:
                self._events.append(event)

    def take(self) -> list[ev.Event]:
        with self._lock:
            events, self._events = self._events, []
        return events


class ThreadHost:
    """The engine in a plain thread of this process. It goes on without a screen: nothing in it waits for one.

    Args:
        on_folder: called on the engine's thread as soon as the run folder is held.
        notifier: calls a person for what happens, whichever run is in view, and when the screen was left too.

    Attributes:
        engine: the control of the engine, whoever has control of the run.
        failure: why the run failed; None unless it did.
    """

    def __init__(
        self,
        settings: Settings,
        on_folder: Callable[[RunFolder], None] = lambda folder: None,
        notifier: Notifier | None = None,
    ) -> None:
        self.settings = settings
        self.folder: RunFolder | None = None
        self.engine = Control()
        self._mailbox = Mailbox()
        self.engine.tell = self.hear
        self._server: AttachServer | None = None
        self._controller: str | None = None
        self._left = False
        self._on_folder = on_folder
        self._notifier = notifier
        self._hear = self._listener(RunState())
        self._thread = threading.Thread(target=self._work, name="engine")
        self.outcome = "interrupted"
        self.failure: str | None = None

    def start(self) -> None:
        # Short turns for Python code: the screen answers while the engine computes.
        sys.setswitchinterval(0.001)
        self._thread.start()

    def take(self) -> list[ev.Event]:
        return self._mailbox.take()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def control(self) -> Control | None:
        return None if self.controller else self.engine

    @property
    def controller(self) -> str | None:
        return self._server.controller if self._server else None

    @property
    def here(self) -> bool:
        return True

    @property
    def attached(self) -> bool:
        return self.alive

    def take_control(self, over: bool) -> None:
        if self._server and over:
            self._server.take_back()

    def take_news(self) -> list[ControlNews]:
        before, self._controller = self._controller, self.controller
        if self._controller and self._controller != before:
            return [ControlNews("lost", self._controller)]
        if before and not self._controller:
            return [ControlNews("gained", "This screen controls the run again.")]
        return []

    def leave(self) -> None:
        self._left = True
        if self._server:
            self._server.screen = None

    def join(self, timeout: float | None = None) -> None:
        self._thread.join(timeout)

    def hear(self, event: ev.Event) -> None:
        """Something happened; called on whichever thread it did."""
        self._mailbox.put(event)
        if self._server:
            self._server.hear(event)

    def _work(self) -> None:
        # The screen goes first where both want the processor; the engine's own threads inherit this.
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        try:
            self.run_session()
        except HereticError as error:
            self._failed(ev.RunFailed(text=str(error)))
        except BaseException as error:  # noqa: BLE001 - its traceback goes to the screen and the log
            self._failed(ev.RunFailed(text=one_line(error), traceback=traceback.format_exc()))
        # The model is garbage now, and much of it was frozen: the next run's would lie beside it.
        gc.unfreeze()
        gc.collect()

    def _failed(self, failure: ev.RunFailed) -> None:
        self.outcome, self.failure = "failed", failure.text
        self._mailbox.put(failure)
        self._hear(failure)

    def _listener(self, state: RunState) -> Callable[[ev.Event], None]:
        return self._notifier.listener(state) if self._notifier else lambda event: None

    @contextlib.contextmanager
    def served(self, folder: RunFolder, records: Callable[[], int]) -> Iterator[AttachServer]:
        """Within the block other terminals can attach to the run.

        Args:
            records: how many events the journal holds.
        """

        def say(text: str, level: str = "info") -> None:
            self._mailbox.put(ev.Notice(text=text, level=level))

        self._server = server = AttachServer(folder, self.engine, records, on_change=say)
        server.screen = None if self._left else f"{terminal_name()} (process {os.getpid()})"
        with attachable(server, lambda text: say(text, "warning")):
            yield server

    def run_session(self) -> None:
        """What is done on the thread."""
        self._mailbox.put(ev.Notice(text="loading torch and transformers"))
        with large_imports():
            from heretic_tui.engine.inputs.check import check_inputs
            from heretic_tui.engine.search.study import hide_output_of_optuna
            from heretic_tui.engine.session.session import Session
            from heretic_tui.engine.threads import leave_cores

        # The screen's own: what computes on all of them makes it wait.
        leave_cores(1)
        hide_output_of_optuna()
        inputs = check_inputs(self.settings)
        session = Session(inputs, self.engine)
        try:
            self.folder = session.folder
            self._on_folder(session.folder)
            # What earlier sessions did, so that the screen has the whole run.
            for event in read_events(session.folder.events):
                self._mailbox.put(event)
            self._hear = self._listener(session.state)
            session.listeners += [self.hear, settle_garbage, self._hear]
            with self.served(session.folder, lambda: session.records):
                self.outcome = session.run(stay=True)
        finally:
            session.close()


def settle_garbage(event: ev.Event) -> None:
    """Once the model is ready, exclude all objects that are alive from garbage collection: a full collection over all
    that torch and transformers hold stops every thread for a tenth of a second and more, the screen's too."""
    if isinstance(event, ev.PhaseStarted) and event.phase == "search":
        # What an earlier search froze may be garbage by now.
        gc.unfreeze()
        gc.collect()
        gc.freeze()


def resumed_settings(folder: RunFolder, own: Settings) -> Settings:
    """The settings to go on with a run that lies on the disk.

    Args:
        own: the user's settings: they allow what the run's record cannot, and hold the storage's password.

    Raises:
        UsageError: for a record that is damaged, or that asks for what `own` does not allow.
    """
    from heretic_tui.run.record import needed
    from heretic_tui.settings.record import settings_to_go_on

    record = needed(folder.read_record().settings, "settings", folder.record)
    settings = settings_to_go_on(record, own, str(folder.record))
    # The run's own folder of runs may have been moved with it.
    return settings.model_copy(update={"runs_dir": str(folder.path.parent)})
