"""Log: what the engine says, and what libraries print, which is here and never on the screen."""

from __future__ import annotations

import time
from collections import deque

from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Log

from heretic_tui.tui.keys import next_choice, scroll_bindings
from heretic_tui.tui.log_lines import LEVELS
from heretic_tui.tui.messages import CopyText
from heretic_tui.tui.run_view import EVERYTHING
from heretic_tui.tui.screens.base import ALL, ModeScreen
from heretic_tui.words import plain

_LEVELS = (*LEVELS, "libraries")
_MOST_LINES = 10_000
_MOVED = 8


class LogScreen(ModeScreen):
    """Lines from a level upwards; a level of its own for what libraries print."""

    SCOPE = "log"
    HELP_TEXT = "What the engine says. The last level shows what libraries printed, from the run folder's engine.log."
    BINDINGS = [
        Binding("f", "level", "Level", tooltip="info, warnings, errors, what libraries print"),
        *scroll_bindings(1, 12),
        Binding("g,home", "end(0)", "First", show=False),
        Binding("G,end", "end(1)", "Last", show=False),
        Binding("y", "copy", "Copy", show=False, tooltip="copy what is shown"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._level = "info"
        self._shown = 0
        self._offset = 0
        # As they were told; on the screen they are as narrow as it is.
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)

    def body(self) -> ComposeResult:
        yield Log(max_lines=_MOST_LINES, id="log", highlight=False)

    def paint(self, kinds: frozenset[str]) -> None:
        log = self.query_one(Log)
        log.border_title = f"from level {self._level}" if self._level != "libraries" else "what libraries print"
        if EVERYTHING in kinds:
            self._restart()
        elif self._level == "libraries":
            self._tail()
        else:
            self._append()

    def _restart(self) -> None:
        self.query_one(Log).clear()
        self._lines.clear()
        self._shown = self._offset = 0
        if self._level == "libraries":
            self._tail()
        else:
            self._append()

    def _append(self) -> None:
        known = self.view.log_lines.lines
        wanted = _LEVELS[_LEVELS.index(self._level) : 3]
        lines = []
        for line in known[self._shown :]:
            if line.level in wanted:
                clock = time.strftime("%H:%M:%S ", time.localtime(line.time)) if self.view.timed else ""
                lines.append(clock + line.text)
        self._shown = len(known)
        self._write(lines)

    def _write(self, lines: list[str]) -> None:
        """Add lines; the rest of a long one is put below, indented."""
        log = self.query_one(Log)
        width = log.scrollable_content_region.width - _MOVED
        shown: list[str] = []
        for line in lines:
            if width < _MOVED or cell_len(line) <= width + _MOVED:
                shown.append(line)
                continue
            first, *rest = Text(line).wrap(self.app.console, width)
            shown += [first.plain, *(" " * _MOVED + piece.plain for piece in rest)]
        self._lines += lines
        if shown:
            log.write_lines(shown)

    def _tail(self) -> None:
        folder = self.view.folder
        if folder is None:
            return
        try:
            with folder.log.open("rb") as file:
                file.seek(self._offset)
                data = file.read(1 << 20)
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        # Progress bars of libraries rewrite their line; the last state of it says all.
        lines = [line.rsplit("\r", 1)[-1] for line in whole.decode(errors="replace").split("\n")[:-1]]
        self._write([plain(line) for line in lines])

    def action_level(self) -> None:
        self._level = next_choice(_LEVELS, self._level)
        self.paint(ALL)

    def action_scroll(self, lines: int) -> None:
        self.query_one(Log).scroll_relative(y=lines, animate=False)

    def action_end(self, end: int) -> None:
        log = self.query_one(Log)
        if end:
            log.scroll_end(animate=False)
        else:
            log.scroll_home(animate=False)

    def action_copy(self) -> None:
        self.ask(CopyText("\n".join(self._lines), "log"))
