"""The conversations that a run folder keeps, in a list: open one, go on with it, or delete it."""

from __future__ import annotations

import time
from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from heretic_tui.errors import one_line
from heretic_tui.run.conversations import KeptConversation, KeptTurn, kept_at, kept_conversations
from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.conversation import Who
from heretic_tui.tui.questions import Question
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.screens.dialogs import ChoiceDialog
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.words import counted, plain


class KeptDialog(Dialog[KeptConversation | None]):
    """Returns the conversation that is to be shown; None where the dialog was left.

    Args:
        shown: the file of the conversation that is shown now.
    """

    SCOPE = "conversations"
    BINDINGS = [
        Binding("escape,q", "dismiss(None)", "Cancel", show=False),
        Binding("D", "delete", "Delete", tooltip="delete this conversation"),
    ]

    def __init__(self, folder: RunFolder, shown: Path | None) -> None:
        super().__init__()
        self._folder, self._shown = folder, shown
        self._found: list[KeptConversation] = []

    def body(self) -> ComposeResult:
        columns = [
            Column("when", "last changed", 17), Column("turns", "turns", 6, right=True), Column("who", "with", 24),
            Column("first", "first message", 0),
        ]  # fmt: skip
        with Vertical(classes="dialog large"):
            yield Static(Text("Conversations of this run", style="bold"), markup=False, classes="dialog-title")
            yield LineTable(columns, id="kept", enter="open")
            yield Static("enter opens it, to go on with; D deletes it; esc closes", id="problem", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        table = self.query_one("#kept", LineTable)
        table.set_empty("Reading.")
        table.focus()
        self._read()

    def _read(self) -> None:
        def work() -> None:
            found = kept_conversations(self._folder)
            self.app.call_from_thread(self.careful(lambda: self._take(found)))

        on_thread(self, work, "conversations")

    def _take(self, found: list[KeptConversation]) -> None:
        if not self.is_ready:
            return
        self._found = found
        table = self.query_one("#kept", LineTable)
        table.set_empty("No conversation is kept yet.")
        table.set_rows([self._row(kept) for kept in found])

    def _row(self, kept: KeptConversation) -> Row:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(kept_at(kept.path)))
        mark = "shown now: " if kept.path == self._shown else ""
        if kept.problem:
            return Row(str(kept.path), (when, "-", "damaged", plain(kept.problem)), kind="bad")
        first = kept.turns[0].user if kept.turns else ""
        cells = (when, str(len(kept.turns)), _with(kept.turns), plain(mark + " ".join(first.split())[:200]))
        return Row(str(kept.path), cells)

    def on_line_table_selected(self, message: LineTable.Selected) -> None:
        kept = self._at(message.key)
        if kept and kept.problem is None and self.is_current:
            self.dismiss(kept)

    def _at(self, key: object) -> KeptConversation | None:
        return next((kept for kept in self._found if str(kept.path) == key), None)

    def action_delete(self) -> None:
        kept = self._at(self.query_one("#kept", LineTable).cursor)
        if kept is None:
            return
        if kept.path == self._shown:
            self.query_one("#problem", Static).update("This one is shown now: D on the chat deletes it.")
            return
        turns = f"{counted(len(kept.turns), 'turn')} will be deleted. This cannot be undone."

        def answered(answer: str | None) -> None:
            if answer != "yes":
                return
            try:
                kept.path.unlink(missing_ok=True)
            except OSError as error:
                self.query_one("#problem", Static).update(f"cannot delete: {one_line(error)}")
            self._read()

        question = Question("Delete this conversation?", turns, (("n", "no", "keep it"), ("y", "yes", "delete it")))
        self.app.push_screen(ChoiceDialog(question), answered)


def _with(turns: tuple[KeptTurn, ...]) -> str:
    """Who was asked."""
    whom = dict.fromkeys(Who(a.trial, a.edit is not None).name for turn in turns for a in turn.answers)
    return ", ".join(name.removesuffix(" model") for name in whom)
