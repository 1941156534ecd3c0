"""The part of Setup that shows the plan: the settings, what is found out about them, and what follows from them."""

from __future__ import annotations

import time

from rich.text import Text
from textual.widgets import Input

from heretic_tui.machine import Looker as MachineLooker
from heretic_tui.settings.form import Entry, SettingsForm
from heretic_tui.settings.schema import Settings
from heretic_tui.tui.outlook import Outlook, survey
from heretic_tui.tui.preview import Looker
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.setup_before import before_words
from heretic_tui.tui.screens.setup_preview import PromptPane
from heretic_tui.tui.screens.setup_settings import COMMON, PRESET, SETS, about_words, plan_columns, plan_rows
from heretic_tui.tui.screens.setup_words import edits_words
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.editor import Editor
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import plain


class SetupPlan(ModeScreen):
    """The settings in their table, and the panes that follow from them.

    Attributes:
        opened: groups of settings, and prompt sets, whose parts are shown.
        editing: the key of the setting whose line is open.
        refused: what was typed for a setting and could not be taken: it stands in the line again when that is opened.
        outlook: what is known of the settings so far.
        surveyed: the settings that are being looked at; those of the form, or with what is being typed.
        probed: percent of the probe that is under way; None where none is.
    """

    def __init__(self, form: SettingsForm) -> None:
        super().__init__()
        self.form = form
        self.opened: set[str] = set()
        self.editing: str | None = None
        self.refused: dict[str, str] = {}
        self.looker, self._machine = Looker(), MachineLooker()
        self.outlook = Outlook(form.settings)
        self.surveyed: Settings | None = None
        self.probed: int | None = None

    @property
    def table(self) -> LineTable:
        return self.query_one("#settings", LineTable)

    def panel(self, name: str) -> TextPanel:
        return self.query_one(f"#{name}", TextPanel)

    @property
    def prompt(self) -> PromptPane:
        return self.query_one(PromptPane)

    @property
    def typed(self) -> str:
        return self.query_one("#editor", Input).value

    def entry(self) -> Entry | None:
        key = self.table.cursor
        return next((e for e in self.form.entries() if e.key == key), None)

    def look(self, settings: Settings, pause: float = 0.0) -> None:
        """Look at everything that settings name, on a thread, and paint what is found."""
        self.surveyed = settings

        def run() -> None:
            time.sleep(pause)
            if self.surveyed is not settings:
                return
            for outlook in survey(settings, self.looker, self._machine):
                if self.surveyed is not settings or not self.is_attached:
                    return
                self.app.call_from_thread(found, outlook)

        def found(outlook: Outlook) -> None:
            if self.surveyed is settings and self.is_ready:
                self.outlook = outlook
                offered = outlook.finding(self.editing or "")
                self.query_one("#editor", Editor).instead = offered.instead if offered else None
                self._open_what_is_wrong()
                self.paint_plan()
                self.paint_beside()
                if outlook.complete:
                    self.paint_prompt()

        on_thread(self, run, "survey", exclusive=False)

    def _open_what_is_wrong(self) -> None:
        """Show the parts of a set that can be read but for its split or its column."""
        for name in SETS:
            finding = self.outlook.finding(name)
            if finding and finding.state == "bad" and ("column" in finding.reason or "split" in finding.reason):
                self.opened.add(name)

    def paint_plan(self) -> None:
        outlook = self.outlook.with_refused(self.refused)
        width = self.table.scrollable_content_region.width
        rows = plan_rows(self.form, self.opened, outlook, self.view.glyphs, width, tight=self.has_class("-short"))
        self.table.set_columns(plan_columns(outlook))
        self.table.set_rows(rows)
        self.paint_about()

    def paint_about(self) -> None:
        """Below the plan: what the setting under the cursor means, and what is wrong with what is typed."""
        text = about_words(self.entry(), self.outlook, self.looks)
        if self.editing and (problem := self.form.check(self.editing, self.typed)):
            text = Text(plain(problem), f"bold {self.looks.bad}")
        elif self.table.cursor == PRESET:
            text = Text("Preset\nHow much of a search: enter or P chooses, and says what it changes.")
        self.panel("about").show(text)

    def paint_beside(self) -> None:
        view, look = self.view, self.looks
        notify = self.interface.notify
        before = self.panel("before")
        width = before.scrollable_content_region.width
        before.show(before_words(self.outlook, notify, view.glyphs, look, view.timed, width, self.probed))
        self.panel("edits").show(edits_words(self.outlook, view.glyphs, look))
        self.panel("command").show(Text(plain(self.form.command_line())))

    def paint_prompt(self) -> None:
        """Show a prompt of the set under the cursor, or of the one that was there last."""
        if (entry := self.entry()) and entry.name in SETS:
            self.prompt.choose(entry.name)
        self.prompt.look(self.surveyed or self.form.settings, self.outlook)

    def changed(self) -> None:
        """The settings are others now."""
        self.refresh_bindings()
        self.look(self.form.settings)
        self.paint_plan()
        self.paint_beside()

    def show_setting(self, key: str) -> Entry:
        """Put the cursor on a setting, in a group that is opened for it."""
        entry = next(e for e in self.form.entries() if e.key == key)
        if entry.part:
            self.opened.add(entry.name)
        elif key not in COMMON:
            self.opened.add(entry.group)
        self.paint_plan()
        self.table.focus()
        self.table.go_to(key)
        return entry
