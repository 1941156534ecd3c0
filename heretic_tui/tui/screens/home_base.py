"""What the parts of Home share: what was found, what is under the cursor, and the settings to go on with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import user_path
from heretic_tui.run.queue import Entry, Queue
from heretic_tui.run.shelf import Glance
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.schema import Settings
from heretic_tui.tui.host import resumed_settings
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.home_text import Key
from heretic_tui.tui.widgets.line_table import LineTable


class HomeBase(ModeScreen):
    """The runs of the runs folder and its queue.

    Attributes:
        found: the runs, as they were when they were looked at last.
        worker: the process that works the queue off; None where none does.
    """

    def __init__(self, form: SettingsForm) -> None:
        super().__init__()
        self.form = form
        self.found: Sequence[Glance] = ()
        self.queue = Queue()
        self.worker: int | None = None

    def look_soon(self) -> None:
        """Look at the runs again at the next tick; to be called on any thread."""
        raise NotImplementedError

    def show_changes(self) -> None:
        """Show what was changed here."""
        raise NotImplementedError

    @property
    def runs_dir(self) -> Path:
        try:
            return user_path(self.form.settings.runs_dir)
        except UsageError:
            return Path(self.form.settings.runs_dir)

    @property
    def key(self) -> Key:
        cursor = self.query_one("#run-table", LineTable).cursor
        return cursor if isinstance(cursor, Key) else Key()

    @property
    def glance(self) -> Glance | None:
        """The run under the cursor."""
        name = self.key.run
        return next((glance for glance in self.found if glance.name == name), None) if name else None

    @property
    def entry(self) -> Entry | None:
        """The entry of the queue under the cursor."""
        number = self.key.entry
        return next((entry for entry in self.queue.entries if entry.id == number), None) if number else None

    def resumed(self) -> Settings | None:
        """The settings of the run under the cursor; told why where there are none to go on with."""
        glance = self.glance
        if glance is None:
            self.say("Put the cursor on a run first.")
            return None
        if glance.folder.holder():
            self.say(f"{glance.name} is running in process {glance.folder.holder()}: enter opens it, a controls it.")
            return None
        try:
            return resumed_settings(glance.folder, self.form.settings)
        except HereticError as error:
            self.say(f"{glance.name} cannot be resumed: {error}", "error")
            return None
