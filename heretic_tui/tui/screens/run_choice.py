"""Choose one of the runs beside this one, or type the path of another."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from heretic_tui.tui.glyphs import safe_lines
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.screens.dialogs import LineDialog
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row

_OTHER = 0
# Rows in view, and lines of the dialog beside them.
_MOST_LINES, _AROUND = 12, 5


class RunChoice(Dialog[str | None]):
    """A list of runs. Returns the name or the path of the chosen one, None where the dialog was left.

    Args:
        title: what is asked.
        runs: names and models.
    """

    SCOPE = "dialog"
    BINDINGS = [
        Binding("escape", "dismiss(None)", "Cancel", show=False),
        Binding("slash", "type", "Type a path", key_display="/", tooltip="type the path of a run"),
    ]

    def __init__(self, title: str, runs: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title, self._runs = title, runs

    def body(self) -> ComposeResult:
        with Vertical(classes="dialog listed") as dialog:
            yield Static(safe_lines(self._title, "bold"), markup=False, classes="dialog-title")
            columns = [Column("run", "run", 30), Column("model", "model", 0)]
            table = LineTable(columns, id="choices", enter="choose", header=False)
            rows = [Row(name, (name, model)) for name, model in self._runs]
            table.set_rows([*rows, Row(_OTHER, ("[/] type a path", "a run in another folder"), "dim")])
            dialog.styles.max_height = min(_MOST_LINES, len(table.rows)) + _AROUND
            yield table
            yield Static("enter choose   / type a path   esc cancel", markup=False)

    def on_mount(self) -> None:
        self.query_one(LineTable).focus()

    def on_line_table_selected(self, message: LineTable.Selected) -> None:
        if message.key == _OTHER:
            self.action_type()
        elif self.is_current:
            self.dismiss(str(message.key))

    def action_type(self) -> None:
        def typed(path: str | None) -> None:
            if path and path.strip():
                self.dismiss(path.strip())

        self.app.push_screen(LineDialog(self._title, "", "the folder of a run, or the beginning of its name"), typed)
