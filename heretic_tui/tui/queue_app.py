"""The part of the application that works the queue off, when nobody uses the run that is open."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from textual import on

from heretic_tui.errors import HereticError
from heretic_tui.files import user_path
from heretic_tui.report.notify import Notifier
from heretic_tui.run.queue import QueueFile
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.interface import Interface
from heretic_tui.settings.local_files import check_local_files, with_whole_paths
from heretic_tui.settings.record import to_record
from heretic_tui.settings.schema import Settings
from heretic_tui.tui import messages
from heretic_tui.tui.control_app import ControlApp
from heretic_tui.tui.host import Host, ThreadHost
from heretic_tui.tui.queue_worker import PATIENCE, QueueWorker
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.threads import on_thread


class QueueApp(ControlApp):
    """Begins the runs of the queue one after another.

    Attributes:
        notifier: calls the person at this terminal.
        queue: what is worked off.
    """

    def __init__(
        self,
        form: SettingsForm | None,
        new_host: Callable[[Settings], Host],
        interface: Interface,
        notifier: Notifier,
        timed: bool,
        **options: Any,
    ) -> None:
        super().__init__(form, new_host, interface, timed, **options)
        self.notifier = notifier
        self.queue = QueueWorker(self, self.say, notifier.tell)
        self._queue_looks = False

    @on(messages.QueueRun)
    def _queue_run(self, message: messages.QueueRun) -> None:
        """Put a run into the queue. It is worked off here where a run is at work; otherwise when somebody says so."""
        settings = message.settings
        try:
            check_local_files(settings)
            file = QueueFile(user_path(settings.runs_dir))
            entry = file.add(to_record(with_whole_paths(settings)))
            place = file.read().place(entry.id)
        except HereticError as error:
            self.say(str(error), "error")
            return
        then = "it starts after the run that is open here" if self.at_work else "Q on Runs starts the queue"
        self.say(f"Queued as #{place}: {entry.model}; {then}.")

    @on(messages.WorkQueue)
    def work_queue(self) -> None:
        if self.form is None:
            return
        try:
            self.queue.begin(user_path(self.form.settings.runs_dir), self.form.settings)
        except HereticError as error:
            self.say(str(error), "error")
            return
        # Who starts it does not want to be waited for.
        self.last_key -= PATIENCE
        self.look_at_queue()

    def look_at_queue(self) -> None:
        """Look what comes next in the queue: the files on a thread, what follows from them here."""
        host, form = self.runs.here, self.form
        at_rest = isinstance(host, ThreadHost) and (host.engine.ready or not host.alive)
        if form is None or self._queue_looks or not (self.queue.works or at_rest):
            return
        runs_dir = user_path(form.settings.runs_dir)

        def look() -> None:
            try:
                if self.queue.works:
                    seen = self.queue.find()
                    self.call_later(lambda: self.queue.look(seen))
                elif host is not None and self.queue.is_to_begin(runs_dir, host):
                    self.call_later(self._work_queue_after, host)
            finally:
                self._queue_looks = False

        self._queue_looks = True
        on_thread(self, look, "queue", exclusive=False)

    def _work_queue_after(self, host: Host) -> None:
        """The run here has come to its end, and others wait."""
        if self.form and self.runs.here is host and not self.queue.works:
            # Another process may work it off by now; what else is wrong with the queue is told on Runs.
            with suppress(HereticError):
                self.queue.begin(user_path(self.form.settings.runs_dir), self.form.settings)

    def busy_with(self) -> str:
        host = self.at_work
        if self._person_is_here and isinstance(self.screen, Dialog):
            return "a question is open"
        if not isinstance(host, ThreadHost):
            return ""
        name = host.folder.name if host.folder else "the run here"
        if not host.engine.ready:
            return f"it starts when {name} has ended"
        if host.controller:
            return f"{host.controller} controls {name}"
        if host.engine.busy or (self.view.host is host and self.view.conversations.open):
            return f"{name} has an answer or an export in hand"
        if self._person_is_here:
            return f"you are here; it starts {PATIENCE / 60:.0f} minutes after your last key, or with Q on Runs"
        return ""

    def close_run(self) -> bool:
        host = self.at_work
        if not isinstance(host, ThreadHost):
            return True
        if self.view.host is host:
            self.view.keep_conversation()
        host.engine.close()
        return False

    def begin_queued(self, settings: Settings) -> Host:
        host = self.new_host(settings)
        if self.view.host is not None and not self.view.host.here:
            # Another run is looked at.
            self.runs.begin_aside(host)
            return host
        if not self._person_is_here:
            self.close_dialogs()
        self.runs.show(host)
        self.paint_everything()
        if self.current_mode not in ("home", "setup"):
            self.switch_mode("trials")
        return host

    @property
    def _person_is_here(self) -> bool:
        return time.monotonic() - self.last_key < PATIENCE
