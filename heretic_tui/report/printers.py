"""The events of a run on a stream: lines for people, with a last one that moves on a terminal; JSON for programs."""

from __future__ import annotations

import io
import time

from heretic_tui import events as ev
from heretic_tui.report.lines import event_lines
from heretic_tui.run.state import RunState
from heretic_tui.terminal import Output
from heretic_tui.words import done_of, duration, plain, to_json

_LABEL = 11
# A terminal sees progress move; a file gets a line now and then.
REFRESH_SECONDS = 0.1
FILE_LINE_SECONDS = 30.0


class JsonPrinter:
    """One JSON object a line, as in the journal, each at once."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def __call__(self, event: ev.Event) -> None:
        record = {"time": round(time.time(), 3), **event.to_json()}
        self._out.write(to_json(record) + "\n")


class PlainPrinter:
    """A line for each thing that happened, and on a terminal a last line that moves.

    Args:
        state: folded before the printer is called.
    """

    def __init__(self, out: Output | io.StringIO, state: RunState) -> None:
        self._out = out
        self._state = state
        self._terminal = out if isinstance(out, Output) and out.moves else None
        self._last = time.monotonic()
        self._status = ""

    def __call__(self, event: ev.Event) -> None:
        if isinstance(event, ev.Progress):
            self._progress(event)
            return
        for label, text in event_lines(event, self._state):
            self._say(label, text)

    def _progress(self, event: ev.Progress) -> None:
        now = time.monotonic()
        left = f", {duration(event.seconds_left)} left" if event.seconds_left is not None else ""
        line = plain(f"{event.stage} {event.done}/{event.total}{left}")
        if self._terminal and (now - self._last >= REFRESH_SECONDS or event.done == event.total):
            if self._state.phase == "search":
                line = f"{done_of(self._state.finished, self._state.n_trials)}  {line}"
            self._status = line[: self._terminal.width - _LABEL - 1]
            self._terminal.erase_line()
            self._terminal.write(f"{'':{_LABEL}}{self._status}")
        elif not self._terminal and now - self._last >= FILE_LINE_SECONDS:
            self._say("", line)
        else:
            return
        self._last = now

    def _say(self, label: str, text: str) -> None:
        if self._terminal and self._status:
            self._terminal.erase_line()
        self._status = ""
        self._last = time.monotonic()
        self._out.write(plain(f"{label:{_LABEL}}{text}") + "\n")
