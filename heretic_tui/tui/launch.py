"""Opens the screen, and keeps the run going when the screen is left or the link to it drops."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from heretic_tui.runtime.hosts import Host, ThreadHost
from heretic_tui.runtime.printers import PlainPrinter
from heretic_tui.runtime.terminal import Apart, output_apart
from heretic_tui.settings import Settings

if TYPE_CHECKING:
    from heretic_tui.runtime.draft import Draft
    from heretic_tui.tui.app import HereticApp

DONE, FAILED, INTERRUPTED = 0, 1, 130
_LINK_CHECK = 5.0


def open_screen(
    draft: Draft | None, host: Host | None = None, start: bool = False, ascii_only: bool = False, mouse: bool = True
) -> int:
    """Run the application until it is left; returns the exit status.

    Args:
        draft: what Setup begins with; None to only watch `host`.
        start: start the draft's run at once.
    """
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    # Before torch is imported. OpenMP's threads spin while they wait for each other: beside a screen on the same few
    # cores each waits for one that is not being run, and a trial takes up to forty times as long. So one core is the
    # screen's. (Waiting without spinning costs small models more: docs/performance.md.)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores - 1)))
    from heretic_tui.tui.app import HereticApp

    with output_apart() as apart, _screen_on(apart):

        def new_host(settings: Settings) -> Host:
            return ThreadHost(settings, on_folder=lambda folder: apart.move_log(folder.log))

        if start and draft is not None:
            host = new_host(draft.settings)
        link = _Link(apart)
        app = HereticApp(draft, new_host, host, ascii_only, on_ready=lambda: link.watch(app))
        # Why the application itself fell is for the terminal, not for the log.
        app.error_console.file = apart.err
        result = app.run(mouse=mouse)
        if app.return_code:
            return app.return_code
        return _see_it_out(app, result, link, apart)


@contextlib.contextmanager
def _screen_on(apart: Apart) -> Any:
    """Let Textual draw on the real terminal while descriptors 1 and 2 lead to the log."""
    system: Any = sys
    before = sys.__stdout__, sys.__stderr__
    system.__stdout__, system.__stderr__ = apart.out, apart.err
    try:
        yield
    finally:
        system.__stdout__, system.__stderr__ = before


class _Link:
    """Notices that the terminal has gone: by SIGHUP, or (a dropped link may send none) because it is none any more."""

    def __init__(self, apart: Apart) -> None:
        self._apart = apart
        self.gone = False

    def watch(self, app: HereticApp) -> None:
        self._app = app
        # After Textual's driver has set its own handlers.
        signal.signal(signal.SIGHUP, self._hung_up)
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
        for descriptor in (0, self._apart.out.fileno(), self._apart.err.fileno()):
            os.dup2(null, descriptor)
        loop = self._app._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._app.exit, "detach")


def _see_it_out(app: HereticApp, result: str | None, link: _Link, apart: Apart) -> int:
    """Wait for the engine, with lines where the screen was."""
    host = app.host
    if host is None or host.control is None or not isinstance(host, ThreadHost):
        return DONE
    from heretic_tui.cli import interrupts

    host.control.close()
    out: TextIO = apart.out
    with interrupts(host.control, apart.err):
        printer = PlainPrinter(out, app.state) if result == "detach" and not link.gone else None
        if printer:
            print("the run goes on without the screen; ctrl-c stops after the trial", file=out, flush=True)
        while True:
            alive = host.alive
            for event in host.take():
                app.state.fold(event)
                if printer:
                    printer(event)
            if not alive:
                break
            host.join(timeout=0.5)
    return {"failed": FAILED, "interrupted": DONE if result == "closed" else INTERRUPTED}.get(host.outcome, DONE)
