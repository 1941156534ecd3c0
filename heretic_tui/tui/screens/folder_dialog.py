"""A dialog that walks through folders, makes a new one, and returns the one that was chosen."""

from __future__ import annotations

import os
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from heretic_tui.files import user_path
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.screens.dialogs import LineDialog
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.words import plain

_ABOVE = ".."
# A folder may hold very many.
_MOST = 2000


class FolderDialog(Dialog[Path | None]):
    """Returns a folder, None where the dialog was left.

    Args:
        start: where it begins; the first folder above it that is there, where it is not.
    """

    SCOPE = "folders"
    BINDINGS = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("space", "choose", "Choose", tooltip="choose the folder that is open"),
        Binding("backspace,h,left", "above", "Above", tooltip="open the folder above"),
        Binding("l,right", "open", "Open", show=False, tooltip="open the folder under the cursor"),
        Binding("n", "new", "New folder", tooltip="make a new folder in the one that is open"),
        Binding("full_stop", "hidden", "Hidden", tooltip="show hidden folders, or hide them"),
        Binding("tilde", "home", "Home", show=False, tooltip="open your home folder"),
    ]

    def __init__(self, start: Path) -> None:
        super().__init__()
        self._here = next((path for path in (start, *start.parents) if path.is_dir()), Path("/"))
        self._hidden = False

    def body(self) -> ComposeResult:
        with Vertical(classes="dialog large"):
            yield Static(Text("Choose a folder to write into", style="bold"), markup=False, classes="dialog-title")
            yield Static("", markup=False, id="folder-here")
            yield LineTable([Column("name", "", 0)], id="folders", enter="open", header=False, empty="no folders here")
            yield Static("", markup=False, id="folder-problem")
            keys = "enter open   space choose this one   h above   ~ home   n new folder   . hidden   esc cancel"
            yield Static(keys, markup=False, classes="hint")

    def on_mount(self) -> None:
        self.query_one("#folders").focus()
        self._read()

    def _read(self, cursor: str | None = None) -> None:
        """List the folders of the one that is open, on a thread: disks may be slow."""
        here, hidden = self._here, self._hidden

        def run() -> None:
            problem, names = "", []
            try:
                with os.scandir(here) as entries:
                    names = sorted(e.name for e in entries if e.is_dir() and (hidden or not e.name.startswith(".")))
            except OSError as error:
                problem = f"It cannot be read: {error.strerror or error}."
            self.app.call_from_thread(self._show, here, names[:_MOST], problem, cursor)

        on_thread(self, run, "folders")

    def _show(self, here: Path, names: list[str], problem: str, cursor: str | None) -> None:
        if here != self._here or not self.is_ready:
            return
        self.query_one("#folder-here", Static).update(Text(plain(str(here)), self.looks.link))
        self.query_one("#folder-problem", Static).update(Text(plain(problem), self.looks.bad))
        above = [Row(_ABOVE, (f"{_ABOVE}  (the folder above)",), "dim")] if here != here.parent else []
        table = self.query_one("#folders", LineTable)
        table.set_rows([*above, *(Row(name, (f"{name}/",)) for name in names)])
        if cursor is None or not table.go_to(cursor):
            table.action_go(0)

    def _go(self, here: Path, cursor: str | None = None) -> None:
        self._here = here
        self._read(cursor)

    @on(LineTable.Selected)
    def action_open(self) -> None:
        name = self.query_one("#folders", LineTable).cursor
        if name == _ABOVE:
            self.action_above()
        elif name is not None:
            self._go(self._here / str(name))

    def action_above(self) -> None:
        self._go(self._here.parent, self._here.name)

    def action_hidden(self) -> None:
        self._hidden = not self._hidden
        self._read()

    def action_home(self) -> None:
        self._go(user_path("~"))

    def action_choose(self) -> None:
        if self.is_current:
            self.dismiss(self._here)

    def action_new(self) -> None:
        def check(text: str) -> str | None:
            if not text.strip():
                return "a name"
            if "/" in text or text.strip() in (".", "..") or not text.isprintable():
                return "one name, without a slash"
            return "it is there already" if os.path.lexists(self._here / text.strip()) else None

        def answered(text: str | None) -> None:
            if text is None:
                return
            try:
                (self._here / text.strip()).mkdir()
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                self.query_one("#folder-problem", Static).update(Text(f"It was not made: {reason}.", self.looks.bad))
                return
            self._go(self._here / text.strip())

        self.app.push_screen(LineDialog("Name of the new folder", "", f"in {plain(str(self._here))}", check), answered)
