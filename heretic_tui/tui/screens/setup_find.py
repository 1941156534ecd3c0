"""Finds a setting of Setup by its name, its key, its group or words of its description, as one types."""

from __future__ import annotations

import re
from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, Static

from heretic_tui.settings.form import Entry
from heretic_tui.settings.titles import whole_title
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.screens.setup_settings import path_words
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.tui.widgets.quiet_input import QuietInput
from heretic_tui.words import plain


def ranked(entries: Sequence[Entry], typed: str) -> list[Entry]:
    """The settings that fit what was typed, the most likely first."""
    words = typed.lower().replace("_", " ").split()
    found = [(max(_rank(entry, word) for word in words), place, entry) for place, entry in enumerate(entries) if words]
    if not words:
        return list(entries)
    return [entry for rank, _, entry in sorted(found, key=lambda each: each[:2]) if rank < _NO_FIT]


_NO_FIT = 9
# Cells of a value; of a longer one the end is shown.
_VALUE = 24


def _rank(entry: Entry, word: str) -> int:
    """How well a word fits: 0 is best."""
    title, key = entry.title.lower(), entry.key.lower().replace("_", " ").replace(".", " ")
    ways = (
        title.startswith(word),
        key.startswith(word),
        any(part.startswith(word) for part in re.findall(r"\w+", title)),
        any(part.startswith(word) for part in key.split()),
        word in title or word in key,
        entry.group.lower().startswith(word),
        any(part.startswith(word) for part in re.findall(r"\w+", entry.description.lower())),
    )
    return next((place for place, fits in enumerate(ways) if fits), _NO_FIT)


class FindDialog(Dialog[str | None]):
    """A line, and the settings that fit it. Returns the key of the one that was chosen.

    Args:
        entries: all settings, those that people change most first.
    """

    SCOPE = "find"
    BINDINGS = [
        Binding("escape", "dismiss(None)", "Cancel", show=False),
        Binding("down,ctrl+n", "move(1)", "Next", show=False),
        Binding("up,ctrl+p", "move(-1)", "Before", show=False),
    ]

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__()
        self._entries = entries

    def body(self) -> ComposeResult:
        columns = [Column("title", "", 41), Column("value", "", 0), Column("group", "", 9)]
        with Vertical(classes="dialog listed", id="find"):
            yield Static("Find a setting", markup=False, classes="dialog-title")
            yield QuietInput(placeholder="name, group or words", id="find-text", compact=True)
            yield LineTable(columns, id="found", header=False, empty="no setting fits")
            yield Static("enter goes there, up and down choose, esc closes", markup=False, classes="dialog-keys")

    def on_mount(self) -> None:
        self.query_one("#found", LineTable).can_focus = False
        self._show("")
        self.query_one("#find-text").focus()

    @on(Input.Changed, "#find-text")
    def _typed(self, event: Input.Changed) -> None:
        self._show(event.value)

    def _show(self, typed: str) -> None:
        table = self.query_one("#found", LineTable)
        rows = [
            Row(e.key, (whole_title(e.key), path_words(plain(e.words), _VALUE, self.view.glyphs), e.group))
            for e in ranked(self._entries, typed)
        ]
        table.set_rows(rows)
        if rows:
            table.go_to(rows[0].key)

    def action_move(self, by: int) -> None:
        self.query_one("#found", LineTable).action_move(by)

    @on(Input.Submitted, "#find-text")
    @on(LineTable.Selected, "#found")
    def _chosen(self) -> None:
        table = self.query_one("#found", LineTable)
        if self.is_current and table.rows:
            self.dismiss(str(table.cursor))
