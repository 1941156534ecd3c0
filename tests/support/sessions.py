"""A session of the engine in a thread, and what it says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heretic_tui import events as ev
from heretic_tui.control import Control
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.session.session import Session
from heretic_tui.settings.sources import load_settings


class Watched:
    """A session in a thread, and what it says.

    Args:
        hear: called with every event on the engine's thread, and with the control.
    """

    def __init__(self, flags: dict[str, Any], hear: Callable[[ev.Event, Control], None] | None = None) -> None:
        self.control = Control()
        self.session = Session(check_inputs(load_settings(flags)), self.control)
        self.events: list[ev.Event] = []
        self._news = threading.Condition()
        self.session.listeners.append(self._hear)
        if hear:
            self.session.listeners.append(lambda event: hear(event, self.control))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.session.run(stay=True)
        finally:
            self.session.close()

    def _hear(self, event: ev.Event) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def wait(self, wanted: Callable[[ev.Event], bool], count: int = 1) -> list[ev.Event]:
        """Until so many events are as wanted."""
        with self._news:
            found = self._news.wait_for(lambda: sum(map(wanted, self.events)) >= count, timeout=120)
        assert found, [type(event).__name__ for event in self.events[-5:]]
        return [event for event in self.events if wanted(event)]

    def end(self) -> None:
        self.control.close()
        self._thread.join()


def flags_of(sets: list[str], model: Path, runs_dir: Path, **more: Any) -> dict[str, Any]:
    given = {
        name.removeprefix("--").replace("-", "_"): value for name, value in zip(sets[::2], sets[1::2], strict=True)
    }
    return {**given, "model": str(model), "runs_dir": str(runs_dir), "seed": 3, "response_prefix": "", **more}


def is_ready(event: ev.Event) -> bool:
    """The search has ended; not that the session goes back to waiting after a command."""
    return isinstance(event, ev.PhaseStarted) and event.phase == "ready" and not event.again
