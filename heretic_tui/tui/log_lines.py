"""What the engine says as lines with a level: the same words that `run` prints."""

from __future__ import annotations

import io
from dataclasses import dataclass

from heretic_tui import events as ev
from heretic_tui.report.printers import PlainPrinter
from heretic_tui.run.state import RunState

LEVELS = ("info", "warning", "error")


@dataclass(frozen=True)
class LogLine:
    """One line, when what it tells of happened (seconds since 1970), and how bad it is."""

    time: float
    level: str
    text: str


class LogLines:
    """Grows with every event that has something to say.

    Args:
        state: folded before `add` is called.
    """

    def __init__(self, state: RunState) -> None:
        self.lines: list[LogLine] = []
        self._sink = io.StringIO()
        self._print = PlainPrinter(self._sink, state)

    def add(self, event: ev.Event) -> None:
        self._print(event)
        if said := self._sink.getvalue():
            self._sink.seek(0)
            self._sink.truncate()
            level = level_of(event)
            self.lines += [LogLine(event.time, level, line) for line in said.splitlines()]


def level_of(event: ev.Event) -> str:
    match event:
        case ev.Notice():
            return event.level
        case ev.TrialFinished():
            return {"failed": "error", "stopped": "warning"}.get(event.state, "info")
        case ev.RunEnded():
            return "error" if event.outcome == "failed" else "info"
        case ev.RunFailed():
            return "error"
        case ev.ExportFinished():
            return "error" if event.error else "info"
    return "info"
