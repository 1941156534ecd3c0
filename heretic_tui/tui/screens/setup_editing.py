"""The part of Setup that changes settings: the line to type in, switches and choices, defaults, undo."""

from __future__ import annotations

import os
from functools import partial

from rich.text import Text
from textual import on
from textual.widgets import Input, Static

from heretic_tui.bounds import SPACES
from heretic_tui.errors import HereticError
from heretic_tui.settings.form import Entry, SettingsForm
from heretic_tui.settings.prompt_sets import PROMPT_FILES
from heretic_tui.settings.titles import title_of
from heretic_tui.tui.model_files import completions, path_completions
from heretic_tui.tui.screens.setup_preview import PAUSE
from heretic_tui.tui.screens.setup_probe import SetupProbe
from heretic_tui.tui.screens.setup_settings import SETS
from heretic_tui.tui.widgets.editor import Completer, Editor
from heretic_tui.words import plain

# Names that are told where there is more than one way to go on.
_OFFERED = 8


def _spaces(typed: str) -> list[str]:
    """Search spaces with a name, and files, that begin with what was typed."""
    return [name for name in SPACES if name.startswith(typed)] + path_completions(typed, (".toml",))


class SetupEditing(SetupProbe):
    """One setting at a time is edited; leaving the line takes what stands in it."""

    def __init__(self, form: SettingsForm) -> None:
        super().__init__(form)
        self._finds = {
            "model": Completer(completions),
            "runs_dir": Completer(partial(path_completions, kinds=())),
            "search_space": Completer(_spaces),
            **dict.fromkeys(SETS, Completer(partial(path_completions, kinds=PROMPT_FILES))),
        }

    def open_line(self, entry: Entry) -> None:
        self.editing = entry.key
        box = self.query_one("#editor", Editor)
        self.query_one("#editor-name", Static).update(Text(f"{entry.title}: "))
        value = "" if entry.value == '""' and entry.key == "model" else entry.value
        box.value = self.refused.get(entry.key, value)
        box.placeholder = entry.words
        box.suggester = self._finds.get(entry.key)
        if entry.choices and box.suggester is None:
            box.suggester = Completer(lambda typed: [each for each in entry.choices if each.startswith(typed)])
        finding = self.outlook.finding(entry.key)
        box.instead = finding.instead if finding else None
        self.query_one("#edit").display = True
        box.focus()

    @on(Input.Changed, "#editor")
    def _typing(self) -> None:
        if not self.editing:
            return
        try:
            settings = self.form.tried(self.editing, self.typed)
            self.query_one("#editor").remove_class("-invalid")
        except HereticError:
            self.query_one("#editor").add_class("-invalid")
        else:
            self.look(settings, PAUSE)
        self.paint_about()

    @on(Input.Submitted, "#editor")
    def _entered(self) -> None:
        if self.commit():
            self.leave()

    @on(Editor.Left)
    def _left(self, message: Editor.Left) -> None:
        if self.commit():
            self.leave()
            self.table.action_move(message.by)

    @on(Editor.Offered)
    def _offered(self, message: Editor.Offered) -> None:
        names = [os.path.basename(name.rstrip("/")) + "/" * name.endswith("/") for name in message.names]
        more = f" and {len(names) - _OFFERED} more" if len(names) > _OFFERED else ""
        self.panel("about").show(Text("It may go on as: " + plain(", ".join(names[:_OFFERED])) + more))

    @on(Input.Blurred, "#editor")
    def _blurred(self) -> None:
        # A terminal that is left for another window takes the focus along, and brings it back.
        if self.editing and self.app.app_focus:
            self.action_leave_editor()

    def commit(self) -> bool:
        """Take the text of the line. Returns whether it is valid."""
        if not self.editing:
            return True
        key = self.editing
        if not self.set_value(key, self.typed):
            self.refused[key] = self.typed
            return False
        self.refused.pop(key, None)
        return True

    def set_value(self, key: str, text: str) -> bool:
        try:
            self.form.set(key, text)
        except HereticError:
            self.paint_about()
            return False
        self.changed()
        return True

    def leave(self) -> None:
        self.editing = None
        self.query_one("#edit").display = False
        if self.focused is None or self.focused.id == "editor":
            self.table.focus()
        self.paint_about()

    def action_leave_editor(self) -> None:
        """Leave the line and take its text, or keep it for the next time where it is not valid."""
        key = self.editing
        if key and not self.commit():
            self.say(f"The {title_of(key)} stays as it was; enter brings back what you typed.", "warning")
            self.look(self.form.settings)
        self.leave()

    def action_turn(self) -> None:
        """The next value of a switch or of a choice; the parts of a prompt set; what a group holds."""
        entry, key = self.entry(), str(self.table.cursor)
        if entry and entry.part is None and entry.name in SETS:
            self.fold(entry.name)
        elif entry and entry.value in ("true", "false"):
            self.set_value(key, "false" if entry.value == "true" else "true")
        elif entry and entry.choices:
            now = entry.value if entry.value in entry.choices else entry.choices[0]
            self.set_value(key, entry.choices[(entry.choices.index(now) + 1) % len(entry.choices)])
        elif key.startswith("group:"):
            self.fold(key.removeprefix("group:"))

    def fold(self, name: str) -> None:
        self.opened ^= {name}
        self.paint_plan()

    def action_take_hint(self) -> None:
        """Take the value that is offered for the setting under the cursor, else go to the next pane."""
        finding = self.outlook.finding(str(self.table.cursor))
        if self.focused is self.table and finding and finding.instead:
            self.set_value(str(self.table.cursor), finding.instead)
        else:
            self.focus_next()

    def action_reset(self) -> None:
        if (entry := self.entry()) and entry.changed:
            self.refused.pop(entry.key, None)
            self.form.reset(entry.key)
            self.changed()

    def action_undo(self) -> None:
        if what := self.form.undo():
            self.say(f"Undone: {what}.")
            self.changed()
