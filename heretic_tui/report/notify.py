"""Calls a person who looks elsewhere: the terminal's bell and notice, and a command of the user's."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.calls import Calls, terminal_notice
from heretic_tui.report.news import News, Newsroom
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.state import RunState
from heretic_tui.terminal import Streams
from heretic_tui.words import duration, quoted

# A command that takes longer is ended.
COMMAND_SECONDS = 60.0


class Notifier:
    """Calls a person, and never holds up or fails whoever tells it news: all is done on threads.

    Args:
        calls: how the person wants to be called.
        to_terminal: writes characters to the person's terminal as they are; None: there is none.
        problem: told in one line what did not work.
    """

    def __init__(
        self,
        calls: Calls,
        to_terminal: Callable[[str], None] | None = None,
        problem: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.calls = calls
        self.to_terminal = to_terminal
        self.problem = problem
        self._threads: list[threading.Thread] = []

    def listener(self, state: RunState) -> Callable[[ev.Event], None]:
        """What is called with each event of a run, after it was folded into the state."""
        newsroom = Newsroom(state)

        def hear(event: ev.Event) -> None:
            if news := newsroom.news_of(event):
                self.tell(news)

        return hear

    def tell(self, news: News, command: bool = True) -> None:
        """Call the person, where they want to be called for such news.

        Args:
            command: whether the user's command is run too: it is the work of the one process that runs the engine.
        """
        if news.what not in self.calls.on:
            return
        self._begin(lambda: self._to_terminal(news))
        if command and self.calls.command:
            self._begin(lambda: self._run(news))

    def close(self) -> None:
        """Wait for what was begun: at most as long as a command may take."""
        end = time.monotonic() + COMMAND_SECONDS + 5
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._threads.clear()

    def _begin(self, work: Callable[[], None]) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        # No thread of these may keep a process that was told to end.
        thread = threading.Thread(target=work, name="notify", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _to_terminal(self, news: News) -> None:
        write = self.to_terminal
        if write is None:
            return
        if sequence := terminal_notice(news.text, self.calls.bell, self.calls.osc):
            try:
                write(sequence)
            except OSError as error:
                self.problem(f"the terminal could not be told: {error.strerror}")

    def _run(self, news: News) -> None:
        command = self.calls.command
        assert command
        arguments = (
            ["sh", "-c", command] if isinstance(command, str) else [os.path.expanduser(command[0]), *command[1:]]
        )
        said = f"the notification command {quoted(command if isinstance(command, str) else ' '.join(command))}"
        folder = RunFolder(Path(news.folder)) if news.folder and os.path.isdir(news.folder) else None
        log = _log_of(folder)
        try:
            started = subprocess.Popen(
                arguments,
                cwd=folder.path if folder else None,
                env={**os.environ, **news.facts},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-c at the terminal is for the run, and what outlives its time is ended with all that it started.
                start_new_session=True,
            )
        # ValueError: a NUL in the settings file.
        except (OSError, ValueError) as error:
            self.problem(f"{said} could not be run: {getattr(error, 'strerror', None) or error}")
            return
        finally:
            if log != subprocess.DEVNULL:
                os.close(log)
        try:
            status = started.wait(COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.wait()
            self.problem(f"{said} did not end within {duration(COMMAND_SECONDS)} and was ended")
            return
        if status:
            where = f" (its output: {folder.log})" if folder else ""
            self.problem(f"{said} failed with status {status}{where}")


def caller(streams: Streams) -> Callable[[str], None]:
    """Writes to the terminal of a command that prints lines, whichever of its streams leads there."""
    return streams.err.steer if streams.err.moves else streams.out.steer


def _log_of(folder: RunFolder | None) -> int:
    """The descriptor that a command prints to: the run's log, or nothing."""
    if folder:
        with contextlib.suppress(OSError):
            # Without O_NONBLOCK the open would wait for a reader where there is a FIFO of that name.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
            return os.open(folder.log, flags, 0o600)
    return subprocess.DEVNULL
