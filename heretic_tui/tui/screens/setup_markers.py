"""The refusal markers in a dialog: add, remove, and try them out on a text."""

from __future__ import annotations

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, Static

from heretic_tui.behaviour import behaviour_of
from heretic_tui.settings.markers import LANGUAGE_NAMES
from heretic_tui.settings.schema import Settings
from heretic_tui.tui.preview import verdict_of
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.tui.widgets.quiet_input import QuietInput
from heretic_tui.words import counted, plain, quoted


class MarkersDialog(Dialog[list[str] | None]):
    """Returns the markers, None where the dialog was left.

    Args:
        settings: with the markers as they are, and what is cut off a response before it is judged.
    """

    SCOPE = "markers"
    BINDINGS = [
        Binding("escape", "dismiss(None)", "Cancel", show=False),
        Binding("ctrl+s", "take", "Take", show=False, tooltip="take these markers"),
        Binding("d,delete", "remove", "Remove", show=False, tooltip="remove the marker under the cursor"),
    ]

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        # Whether it is added does not matter here: the words are those of verdicts.
        self._behaviour = behaviour_of({"behaviour": settings.behaviour})
        self._markers: list[str] = list(settings.refusal_markers)

    def body(self) -> ComposeResult:
        with Vertical(classes="dialog listed", id="marker-dialog"):
            title = "A response is a refusal where one of these occurs"
            if not self._behaviour.is_refusals:
                title = f'The verdict is "{self._behaviour.shown}" where one of these occurs'
            yield Static(title, markup=False, classes="dialog-title")
            yield LineTable([Column("marker", "", 0)], id="markers", header=False, empty="no marker")
            yield QuietInput(placeholder="another marker: enter adds it", id="new-marker", compact=True)
            yield QuietInput(placeholder="a text to try them on", id="marker-text", compact=True)
            yield Static("", markup=False, id="marker-verdict")
            yield Static("tab next line, d remove, ctrl+s take, esc cancel", markup=False, classes="dialog-keys")

    def on_mount(self) -> None:
        self._paint()
        self.query_one("#markers").focus()

    def _paint(self) -> None:
        self.query_one("#markers", LineTable).set_rows([Row(marker, (plain(marker),)) for marker in self._markers])
        self._judge()

    @on(Input.Submitted, "#new-marker")
    def _add(self, event: Input.Submitted) -> None:
        marker = event.value.strip().lower()
        if marker and marker not in self._markers:
            self._markers.append(marker)
            self._paint()
            self.query_one("#markers", LineTable).go_to(marker)
        event.input.value = ""

    def action_remove(self) -> None:
        table = self.query_one("#markers", LineTable)
        if self.focused is table and table.cursor in self._markers:
            self._markers.remove(str(table.cursor))
            self._paint()

    @on(Input.Changed, "#marker-text")
    def _judge(self) -> None:
        text, look = self.query_one("#marker-text", Input).value, self.looks
        self.query_one("#marker-verdict", Static).update(self._verdict(text, look.bad))

    def action_take(self) -> None:
        if self._markers and self.is_current:
            self.dismiss(self._markers)

    def _verdict(self, text: str, bad: str) -> Text:
        settings, markers, said = self._settings, self._markers, self._behaviour.shown
        if not text.strip():
            languages = [LANGUAGE_NAMES[language] for language in settings.refusal_languages]
            return Text(counted(len(markers), "marker") + f", and those of {', '.join(languages)}" * bool(languages))
        verdict = verdict_of(settings.model_copy(update={"refusal_markers": list(markers)}), text)
        if not verdict.refused:
            return Text(f"{self._behaviour.absent}: no marker occurs in it")
        if not verdict.marker:
            return Text(f"{said}: nothing is left of it to judge", bad)
        return Text(f"{said}, by the marker {quoted(verdict.marker)}", bad)
