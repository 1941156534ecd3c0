"""The methods of a setting that takes several in a dialog of Setup, each switched on or off: checks of a review,
direction methods."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from heretic_tui.plugins import CHECKS, Kind, names, summary
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.words import plain

# Lines of the dialog beside its rows.
_AROUND = 9


class ChecksDialog(Dialog[list[str] | None]):
    """Returns the names of those that are on, in their order; None where the dialog was left.

    Args:
        chosen: names of those that are on. Where one of them is not there, it stays until it is switched off.
        kind: what they are methods of.
        title: what the dialog is about.
    """

    SCOPE = "checks"
    BINDINGS = [
        Binding("escape", "dismiss(None)", "Cancel", show=False),
        Binding("space", "switch", "Switch", show=False, tooltip="switch the line on or off"),
    ]

    def __init__(self, chosen: Sequence[str], kind: Kind = CHECKS, title: str = "What a review finds out") -> None:
        super().__init__()
        there = names(kind)
        self._title = title
        self._said = {name: summary(kind, name) if name in there else "" for name in dict.fromkeys([*chosen, *there])}
        self._on = set(chosen)

    def body(self) -> ComposeResult:
        with Vertical(classes="dialog listed", id="checks-dialog") as dialog:
            dialog.styles.max_height = len(self._said) + _AROUND
            yield Static(Text(self._title, style="bold"), markup=False, classes="dialog-title")
            yield LineTable([Column("check", "", 24), Column("said", "", 0)], id="choices", enter="take", header=False)
            yield Static("", markup=False, id="check-words")
            yield Static("space switches, enter takes, esc cancels", markup=False, classes="dialog-keys")

    def on_mount(self) -> None:
        super().on_mount()
        self._paint()
        self.query_one(LineTable).focus()

    def _paint(self) -> None:
        rows = [
            Row(name, (f"[{'x' if name in self._on else ' '}] {plain(name)}", plain(said or "it is not there")),
                "row" if name in self._on else "dim")
            for name, said in self._said.items()
        ]  # fmt: skip
        self.query_one(LineTable).set_rows(rows)
        self._say()

    def _say(self) -> None:
        """The line under the cursor in full, or that none is on."""
        name = str(self.query_one(LineTable).cursor)
        words = plain(self._said.get(name, "")) if self._on else "One at least has to be on."
        self.query_one("#check-words", Static).update(Text(words, self.looks.dim if self._on else self.looks.bad))

    @on(LineTable.Highlighted)
    def _moved(self) -> None:
        self._say()

    def action_switch(self) -> None:
        self._on ^= {str(self.query_one(LineTable).cursor)}
        self._paint()

    @on(LineTable.Selected)
    def _take(self) -> None:
        if self._on and self.is_current:
            self.dismiss([name for name in self._said if name in self._on])
