"""Opens the screen, and keeps the run going when the screen is left or the link to it drops."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from heretic_tui.errors import DONE, FAILED, INTERRUPTED
from heretic_tui.report.notify import Notifier, caller
from heretic_tui.report.printers import PlainPrinter
from heretic_tui.settings.interface import Interface
from heretic_tui.settings.schema import Settings
from heretic_tui.signals import handling, interrupts, the_third_ends
from heretic_tui.terminal import Output, RealOutput, Streams, output_to_log
from heretic_tui.tui.host import Host, ThreadHost
from heretic_tui.tui.other_process import AttachHost

if TYPE_CHECKING:
    from textual.app import App
    from textual.driver import Driver

    from heretic_tui.run.folder import RunFolder
    from heretic_tui.run.reviews import Review
    from heretic_tui.settings.form import SettingsForm
    from heretic_tui.tui.app import HereticApp

_LINK_CHECK = 5.0


def open_screen(
    streams: Streams,
    form: SettingsForm | None,
    host: Host | None = None,
    start: bool = False,
    opens: str = "setup",
    interface: Interface | None = None,
) -> int:
    """Run the application until it is left; returns the exit status.

    Args:
        form: what Setup begins with; None to only watch `host`.
        start: start the form's run at once.
        opens: the screen in view at first.
        interface: theme, keys and the like; None: the built-in ones.
    """
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    from heretic_tui.tui.app import HereticApp

    with output_to_log(streams) as real, _screen_on(streams.out) as screen:
        looks = interface or Interface()
        notifier = Notifier(looks.notify.calls())

        def new_host(settings: Settings) -> Host:
            return ThreadHost(settings, lambda folder: real.move_log(folder.log), notifier)

        if start and form is not None:
            host = new_host(form.settings)
        link = _Link(screen, streams.out)
        app = HereticApp(
            form,
            new_host,
            host,
            opens=opens,
            interface=looks,
            notifier=notifier,
            on_ready=lambda: link.watch(app),
        )
        with the_third_ends():
            result = _run(app, real, looks)
        notifier.to_terminal = caller(streams)
        notifier.problem = lambda text: streams.err.write_lines(f"heretic-tui: {text}")
        failed = _tell_failure(app, real, streams)
        if result is None:
            # It is not known whether the run is to go on.
            result = "detach"
        status = _wait_for_engine(app, result, link, streams)
        notifier.close()
        return FAILED if failed else INTERRUPTED if link.presses else status


def open_review(streams: Streams, folder: RunFolder, found: Review, interface: Interface) -> int:
    """Show the review of two models until it is left; returns the exit status."""
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    from heretic_tui.tui.models_app import ModelsApp

    with output_to_log(streams) as real, _screen_on(streams.out):
        app = ModelsApp(folder, found, interface)

        def leave(number: int, frame: FrameType | None) -> None:
            if app._loop is not None:
                app._loop.call_soon_threadsafe(app.exit)

        # The terminal is put back as it was.
        with handling(leave, leave):
            _run(app, real, interface)
        return FAILED if _tell_failure(app, real, streams) else DONE


def _run(app: App[str], real: RealOutput, looks: Interface) -> str | None:
    app.driver_class = forgiving(app.driver_class)
    # Why the application itself failed is for the log; the terminal gets a line.
    app.error_console.file = real.text
    return app.run(mouse=looks.mouse)


def _tell_failure(app: App[str], real: RealOutput, streams: Streams) -> bool:
    """Whether the application itself failed, which is told."""
    failure = app._exception
    if failure:
        streams.err.write(f"heretic-tui: {real.failure(failure, 'drawing the screen')}\n")
    return failure is not None


def forgiving(driver: type[Driver]) -> type[Driver]:
    """A driver that goes on after bytes that are no UTF-8, such as a paste from a terminal with another encoding, and
    that believes the latest of many sizes of a terminal."""
    if not hasattr(driver, "run_input_thread"):
        return driver

    class Forgiving(driver):  # type: ignore[valid-type, misc]
        def start_application_mode(self) -> None:
            super().start_application_mode()
            # Textual asks for the size while it handles the signal. The next signal may come between its question and
            # its message: the newer size would be told first, and the older one stay.
            resized, loop = signal.getsignal(signal.SIGWINCH), asyncio.get_running_loop()

            def later(number: int, frame: FrameType | None) -> None:
                # Once the application has ended nobody asks any more.
                if callable(resized) and not loop.is_closed():
                    loop.call_soon_threadsafe(resized, number, frame)

            signal.signal(signal.SIGWINCH, later)

        def run_input_thread(self) -> None:
            while True:
                try:
                    super().run_input_thread()
                    return
                except UnicodeDecodeError:
                    self._app.call_later(self._app.say, "Bytes that are no UTF-8 text were left out.")

    return Forgiving


@contextlib.contextmanager
def _screen_on(out: Output) -> Iterator[TextIO]:
    """Let Textual draw on the terminal that standard output is: descriptors 1 and 2 lead to the log, and standard error
    may lead anywhere."""
    system: Any = sys
    before = sys.__stdout__, sys.__stderr__
    with os.fdopen(os.dup(out.fileno()), "w", encoding="utf-8", errors="replace") as screen:
        _ask_the_terminal_its_size(screen)
        system.__stdout__ = system.__stderr__ = screen
        try:
            yield screen
        finally:
            system.__stdout__, system.__stderr__ = before
            # The terminal may be closed: what it was not sent is dropped.
            with contextlib.suppress(OSError):
                screen.close()


def _ask_the_terminal_its_size(screen: TextIO) -> None:
    """Forget COLUMNS and LINES where the terminal says how large it is: Textual would believe them, and never notice
    that the window has another size. (Shells and `docker exec` hand them on.)"""
    with contextlib.suppress(OSError):
        if all(os.get_terminal_size(screen.fileno())):
            for name in ("COLUMNS", "LINES"):
                os.environ.pop(name, None)


class _Link:
    """Notices that the terminal was closed: by SIGHUP, or (a dropped link may send none) because it cannot be used.
    SIGTERM, and SIGINT from elsewhere than the keyboard, leave the screen and stop the run.

    Attributes:
        presses: how often the process was asked to end.
    """

    def __init__(self, screen: TextIO, out: Output) -> None:
        self._screen, self._out = screen, out
        self.gone = False
        self.presses = 0

    def watch(self, app: HereticApp) -> None:
        self._app = app
        # After Textual's driver has set its own handlers.
        signal.signal(signal.SIGHUP, self._hung_up)
        signal.signal(signal.SIGTERM, self._terminated)
        signal.signal(signal.SIGINT, self._terminated)
        app.set_interval(_LINK_CHECK, self._look)

    def _look(self) -> None:
        if not os.isatty(0):
            self._hung_up(signal.SIGHUP, None)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        if self.gone:
            return
        self.gone = True
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # The kernel sends it along with SIGHUP, and Textual would take the terminal in hand again.
        signal.signal(signal.SIGCONT, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, self._screen.fileno(), self._out.fileno()):
            os.dup2(null, descriptor)
        self._leave("detach")

    def _terminated(self, number: int, frame: FrameType | None) -> None:
        self.presses += 1
        host = self._app.at_work
        if isinstance(host, ThreadHost):
            host.engine.dismiss()
            host.engine.abort()
        self._leave("closed")

    def _leave(self, result: str) -> None:
        loop = self._app._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._app.exit, result)


def _wait_for_engine(app: HereticApp, result: str | None, link: _Link, streams: Streams) -> int:
    """Wait for the engine, with lines where the screen was."""
    app.come_back()
    host, out = app.view.host, streams.out
    if host is None:
        return DONE
    farewell = host.farewell() if isinstance(host, AttachHost) else None
    host.leave()
    if not isinstance(host, ThreadHost):
        if farewell:
            out.write_lines(farewell)
        return DONE
    host.engine.close()
    with interrupts(host.engine, streams.err, link.presses):
        quiet = link.gone or (result != "detach" and host.controller is None)
        printer = None if quiet else PlainPrinter(out, app.view.state)
        if printer and host.alive:
            stops = "stops after the trial" if host.engine.in_trial else "stops it"
            who = f", controlled by {host.controller}" if host.controller else ""
            out.write(f"the run goes on without the screen{who}; ctrl-c {stops}\n")
        told = printer is not None or link.gone
        while True:
            alive = host.alive
            for event in host.take():
                app.view.state.fold(event)
                if printer:
                    printer(event)
            if not alive:
                break
            host.join(timeout=0.5)
            if not told and host.alive:
                told = True
                out.write("waiting for the engine to end what it has in hand; ctrl-c stops it\n")
    return {"failed": FAILED, "interrupted": DONE if result == "closed" else INTERRUPTED}.get(host.outcome, DONE)
