"""Events as lines: plain text for people, JSON for programs."""

from __future__ import annotations

import io
import time

from heretic_tui import events as ev
from heretic_tui.figures import Figure
from heretic_tui.report.lines import front_table
from heretic_tui.run.state import MEASURED_STATES, RunState, TrialRecord
from heretic_tui.terminal import Output
from heretic_tui.words import done_of, duration, plain, quantity, to_json

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
        match event:
            case ev.RunOpened():
                done = self._state.finished
                note = f" (resumed, {done} of {event.n_trials} trials done)" if event.resumed else ""
                self._say("run", f"{event.run}{note}")
                self._say("folder", event.folder)
                self._say("seed", str(event.seed))
            case ev.ModelLoaded():
                quantized = f", {event.quantization}" if event.quantization != "none" else ""
                self._say(
                    "model",
                    f"{event.architecture}, {event.layers} layers of {event.hidden_size}, "
                    f"{quantity(event.parameters)} parameters, {event.dtype}{quantized} on {event.device}",
                )
            case ev.Coverage():
                parts = ", ".join(f"{count} {name}" for name, count in event.components.items())
                self._say("coverage", f"editing {event.editable} of {event.found} matrices ({parts})")
                for line in event.missing:
                    self._say("", f"not edited: {line}")
                for line in event.partly:
                    self._say("", f"edited in part: {line}")
            case ev.BatchSizeChosen():
                rate = f" ({event.tokens_per_second:,.0f} tokens a second)" if event.tokens_per_second else ""
                self._say("batch size", f"{event.batch_size}{rate}")
            case ev.ResponsePrefixFound():
                self._say("prefix", f"{event.prefix!r} ({event.source})" if event.prefix else f"none ({event.source})")
            case ev.BaselineMeasured():
                self._say("base model", self._base(event))
            case ev.DirectionsFound():
                self._say("directions", f"one for each of {len(event.layers) - 1} layers")
            case ev.LayersAnalysed():
                self._say("layers", event.sentence)
                for note in event.notes:
                    self._say("", note)
            case ev.PhaseFinished() if event.phase not in ("search",):
                self._say("", f"{event.phase}: {'from the run folder' if event.reused else duration(event.seconds)}")
            case ev.Progress():
                self._progress(event)
            case ev.TrialFinished():
                self._trial(event)
            case ev.Notice():
                self._say("note" if event.level == "info" else event.level, event.text)
            case ev.StateChanged():
                self._say("state", event.state)
            case ev.ExportStarted():
                self._say("export", f"trial {event.trial} to {event.out}")
            case ev.ExportFinished():
                self._say("export", event.error or f"trial {event.trial} is in {event.url or event.out}")
            case ev.ShiftFound():
                self._say("tokens", event.error or f"what trial {event.trial} does to first tokens is known")
            case ev.RunFailed():
                self._say("error", event.text)
            case ev.RunEnded():
                self._end(event)

    def _trial(self, event: ev.TrialFinished) -> None:
        done = f"({self._done()})"
        if event.state not in MEASURED_STATES:
            self._say("trial", f"{event.number:>4}  {event.state}: {event.reason}  {done}")
            return
        trial = self._state.trials[event.number]
        mark = "◆ front" if self._state.on_front(event.number) else "       "
        left = self._state.seconds_left()
        rest = f"  {duration(left)} left" if left else ""
        self._say(
            "trial",
            f"{event.number:>4}  {'  '.join(self._figure(trial, figure) for figure in self._state.figures)}  {mark}"
            f"  {duration(event.seconds)}  {done}{rest}",
        )

    def _figure(self, trial: TrialRecord, figure: Figure) -> str:
        """The figure, and the mark, that the tables of the screen have."""
        known = "" if figure.key not in trial.at_least else "≈" if figure.key in trial.estimate else "≥"
        value = trial.shown(figure)
        if not figure.counted:
            return f"{figure.short} {known}{figure.text(value) or '-'}"
        return f"{figure.short} {f'{known}{figure.text(value)}':>4}/{trial.prompts}"

    def _base(self, event: ev.BaselineMeasured) -> str:
        """What the base model does. (What compares a model with it is 0.)"""
        said = []
        for figure in self._state.figures:
            value = event.figures.get(figure.key)
            if figure.counted and value is not None:
                said.append(f"{figure.verb or figure.short} {value} of {event.prompts} bad evaluation prompts")
            elif value:
                said.append(f"{figure.short} {figure.text(value)}")
        return ", ".join(said) or "measured"

    def _done(self) -> str:
        return done_of(self._state.finished, self._state.n_trials)

    def _end(self, event: ev.RunEnded) -> None:
        if front := self._state.front():
            head, *lines = front_table(front, self._state.figures)
            self._say("front", head)
            for line in lines:
                self._say("", line)
        said = {"done": "done", "interrupted": "interrupted; the same command goes on from here"}
        self._say("run", said.get(event.outcome, f"{event.outcome}: {event.reason}"))

    def _progress(self, event: ev.Progress) -> None:
        now = time.monotonic()
        left = f", {duration(event.seconds_left)} left" if event.seconds_left is not None else ""
        line = plain(f"{event.stage} {event.done}/{event.total}{left}")
        if self._terminal and (now - self._last >= REFRESH_SECONDS or event.done == event.total):
            if self._state.phase == "search":
                line = f"{self._done()}  {line}"
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
