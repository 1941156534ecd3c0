"""Log: what the engine says, and what libraries print, which is here and never on the screen."""

from __future__ import annotations

import time

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input

from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.glyphs import ASCII, ours_in_ascii
from heretic_tui.tui.keys import next_choice, scroll_bindings
from heretic_tui.tui.log_lines import LEVELS, LogLines
from heretic_tui.tui.messages import CopyText
from heretic_tui.tui.screens.base import ALL, ModeScreen
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.log_panel import Entry, LogPanel
from heretic_tui.tui.widgets.quiet_input import QuietInput
from heretic_tui.words import plain

_LEVELS = (*LEVELS, "libraries")
_TITLES = {
    "info": "Level: info and above (f changes)",
    "warning": "Level: warning and above (f changes)",
    "error": "Level: error (f changes)",
    "libraries": "What libraries printed (f changes)",
}
# Bytes of engine.log that are read at once.
_AT_ONCE = 1 << 20


class LogScreen(ModeScreen):
    """Lines from a level upwards; a level of its own for what libraries print."""

    SCOPE = "log"
    PANES = ("log-pane",)
    HELP_TEXT = (
        "What the engine says; errors and warnings are coloured. The last level shows what libraries printed, from the "
        "run folder's engine.log. New lines come into view as long as the last one is; G goes there again."
    )
    BINDINGS = [
        Binding("f", "level", "Level", tooltip="show another level: info, warnings, errors, what libraries printed"),
        Binding("slash", "search", "Search", key_display="/", tooltip="search the log"),
        Binding("n", "match(1)", "Next match", tooltip="go to the next match"),
        Binding("N", "match(-1)", "Match before", show=False, tooltip="go to the match before"),
        *scroll_bindings(1, 12),
        Binding("g,home", "first", "First", show=False, tooltip="go to the first line"),
        Binding("G,end", "follow", "Follow the end", tooltip="go to the last line, and follow the end"),
        Binding("y", "copy_log", "Copy", tooltip="copy the lines of this level"),
        Binding("escape", "leave_search", "End the search", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._level = "info"
        self._shown = 0
        self._offset = 0
        # What the lines are of: another run begins anew.
        self._source: LogLines | RunFolder | None = None

    def body(self) -> ComposeResult:
        keys = ("level", "search", "match", "follow", "copy_log")
        with Frame(_TITLES["info"], id="log-pane", keys=keys):
            yield LogPanel(id="log")
            yield QuietInput(placeholder="search; enter keeps it, esc ends it", id="log-search")

    def on_mount(self) -> None:
        self.query_one("#log-search").display = False
        self.query_one(LogPanel).focus()

    @property
    def panel(self) -> LogPanel:
        return self.query_one(LogPanel)

    def paint(self, kinds: frozenset[str]) -> None:
        source = self.view.folder if self._level == "libraries" else self.view.log_lines
        if source is not self._source:
            self._source = source
            self.panel.clear()
            self._shown = self._offset = 0
        if self._level == "libraries":
            self._tail()
        else:
            self._append()
        if (words := self._nothing()) != self.panel.empty:
            self.panel.empty = words
            self.panel.refresh()
        self._retitle()

    def _nothing(self) -> str:
        """The text in place of lines while there are none."""
        if self.view.host is None:
            return "No run is open: 1 sets one up, 0 lists those there are."
        return "Libraries have printed nothing." if self._level == "libraries" else "Nothing was said at this level."

    def _retitle(self) -> None:
        panel, title = self.panel, _TITLES[self._level]
        if panel.wanted:
            here, all_of_them = panel.found
            found = f"match {here} of {all_of_them}" if all_of_them else "no match"
            title += f"  {plain(panel.wanted)}: {found}"
        if not panel.follows:
            title += "  scrolled up (G: end)"
        self.query_one("#log-pane", Frame).retitle(title)

    def _append(self) -> None:
        known = self.view.log_lines.lines
        wanted = _LEVELS[_LEVELS.index(self._level) : len(LEVELS)]
        entries = []
        for line in known[self._shown :]:
            if line.level in wanted:
                clock = time.strftime("%H:%M:%S", time.localtime(line.time)) if self.view.timed else ""
                text = ours_in_ascii(line.text) if self.view.glyphs is ASCII else line.text
                entries.append(Entry(clock, line.level, text))
        self._shown = len(known)
        self.panel.add(entries)

    def _tail(self) -> None:
        folder = self.view.folder
        if folder is None:
            return
        try:
            with folder.log.open("rb") as file:
                file.seek(self._offset)
                data = file.read(_AT_ONCE)
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        # Progress bars of libraries rewrite their line; the last state of it says all.
        lines = [line.rsplit("\r", 1)[-1] for line in whole.decode(errors="replace").split("\n")[:-1]]
        self.panel.add(Entry("", "info", plain(line)) for line in lines)

    @on(LogPanel.Moved)
    def _moved(self) -> None:
        self._retitle()

    @on(Input.Changed, "#log-search")
    def _searching(self, event: Input.Changed) -> None:
        self.panel.search(event.value)
        self.refresh_bindings()

    @on(Input.Submitted, "#log-search")
    def _searched(self) -> None:
        self._close_search()

    def _close_search(self) -> None:
        self.query_one("#log-search").display = False
        self.panel.focus()

    # Actions

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "match":
            return bool(self.panel.wanted) if self.is_mounted else False
        return super().check_action(action, parameters)

    def action_level(self) -> None:
        self._level = next_choice(_LEVELS, self._level)
        self._source = None
        self.paint(ALL)

    def action_search(self) -> None:
        box = self.query_one("#log-search", QuietInput)
        box.display = True
        box.focus()

    def action_match(self, by: int) -> None:
        self.panel.step(by)

    def action_leave_search(self) -> None:
        self.query_one("#log-search", QuietInput).value = ""
        self._close_search()

    def action_scroll(self, lines: int) -> None:
        self.panel.move(lines)

    def action_first(self) -> None:
        self.panel.go_to_end(False)

    def action_follow(self) -> None:
        self.panel.go_to_end(True)

    def action_copy_log(self) -> None:
        self.ask(CopyText("\n".join(entry.whole for entry in self.panel.entries), "log"))
