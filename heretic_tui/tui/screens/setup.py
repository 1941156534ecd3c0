"""Setup: choose a model and prompts, change settings, start; and the earlier runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from heretic_tui.errors import HereticError
from heretic_tui.settings.form import Entry, SettingsForm
from heretic_tui.settings.schema import PROMPT_FILES
from heretic_tui.tui.host import resumed_settings
from heretic_tui.tui.messages import CopyText, ShowRun, StartRun
from heretic_tui.tui.model_files import Device, completions, devices, path_completions
from heretic_tui.tui.questions import Question
from heretic_tui.tui.run_view import EVERYTHING
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.dialogs import ChoiceDialog
from heretic_tui.tui.screens.setup_settings import COMMON, START, setting_rows, setting_words
from heretic_tui.tui.screens.setup_words import inspect_words, model_words, preview_words, prompt_words
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.editor import Completer, Editor
from heretic_tui.tui.widgets.info_panel import InfoPanel
from heretic_tui.tui.widgets.line_table import Column, LineTable
from heretic_tui.tui.widgets.run_list import RunList
from heretic_tui.words import plain

_SETS = tuple(name for name in COMMON if name.endswith("_prompts"))
# Names that are told where there is more than one way to go on.
_OFFERED = 8


class SetupScreen(ModeScreen):
    """Settings as a list with a line to edit them in, what is known of the chosen one beside it, runs beneath."""

    SCOPE = "setup"
    HELP_TEXT = """
Enter edits a setting, opens or closes a group, and starts on the first line. Leaving a line, by enter, esc, tab, the
arrow keys or a click, takes what stands in it, unless that is wrong; tab completes models, folders and files of
prompts. Settings that differ from their default carry a mark; backspace brings the default back. i shows what of the
model would be edited. On a prompt set, w shows its first prompts as the model will see them.

Earlier runs: tab goes there; enter opens one to look at (a run that is at work here goes on meanwhile), R resumes it
with its own settings, D deletes it.
"""
    BINDINGS = [
        Binding("ctrl+s", "start", "Start"),
        Binding("i", "inspect", "Inspect model", show=False, tooltip="what of the model would be edited"),
        Binding("w", "preview", "Preview prompts", show=False),
        Binding("backspace", "reset", "Default", show=False, tooltip="bring the default back"),
        Binding("R", "resume", "Resume run"),
        Binding("D", "delete", "Delete run", show=False),
        Binding("y", "copy", "Copy command", show=False, tooltip="copy the command line that does the same"),
        Binding("escape", "leave_editor", "Leave the line", show=False),
    ]

    def __init__(self, form: SettingsForm) -> None:
        super().__init__()
        self.form = form
        self._open: set[str] = set()
        self._editing: str | None = None
        self._machine: list[Device] = []
        self._previewing = False
        self._finds = {
            "model": Completer(completions),
            "runs_dir": Completer(partial(path_completions, kinds=())),
            **dict.fromkeys(_SETS, Completer(partial(path_completions, kinds=PROMPT_FILES))),
        }

    def body(self) -> ComposeResult:
        columns = [Column("mark", "", 1), Column("name", "setting", 26), Column("value", "value", 0)]
        with Horizontal(id="setup-body"):
            with Vertical(id="setup-left"):
                yield LineTable(columns, id="settings", enter="edit")
                yield Editor(id="editor")
                yield RunList()
            yield InfoPanel(id="setup-info")

    def on_mount(self) -> None:
        self.query_one("#editor", Input).display = False
        self.query_one("#settings").focus()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self._runs.load(self.form.settings.runs_dir)
        # Asking the driver takes up to seconds: once for each time that the screen comes into view.
        on_thread(self, self._look_at_machine, "machine")

    def on_screen_suspend(self) -> None:
        if self.is_ready:
            self._commit()

    def _look_at_machine(self) -> None:
        self._machine = devices()
        self.app.call_from_thread(self._machine_known)

    def _machine_known(self) -> None:
        entry = self._entry()
        if entry and entry.key == "model" and not self._previewing and self.is_ready:
            self._paint_info()

    # Painting

    def paint(self, kinds: frozenset[str]) -> None:
        if EVERYTHING in kinds:
            self._paint_settings()
            self._paint_info()

    def _paint_settings(self) -> None:
        rows = setting_rows(self.form, self._open, self.view.glyphs)
        self.query_one("#settings", LineTable).set_rows(rows)

    def _entry(self) -> Entry | None:
        key = self.query_one("#settings", LineTable).cursor
        return next((e for e in self.form.entries() if e.key == key), None)

    def _paint_info(self) -> None:
        """Beside the settings: what the one under the cursor means, and what is known of the value it has, or has in
        the line. Otherwise what is wrong with the run under the cursor."""
        if self._runs.has_focus and (run := self._runs.run) and run.problem:
            self._previewing = True
            self._info.show(Text(plain(run.problem), "bold red"))
            return
        entry, text, settings, problem = self._entry(), Text(), self.form.settings, None
        if entry is None and not settings.model:
            text.append("Choose a model: j, then enter. Or look at an earlier run: tab, then enter.")
        elif entry is None:
            text.append("The same from a shell:\n", "bold")
            text.append(plain(self.form.command_line()))
        else:
            text = setting_words(entry)
        editor = self.query_one("#editor", Input)
        if self._editing:
            try:
                settings = self.form.tried(self._editing, editor.value)
            except HereticError as error:
                problem = str(error)
                text.append(plain(problem) + "\n", "bold red")
        editor.set_class(problem is not None, "-invalid")
        self._previewing = False
        glyphs, machine = self.view.glyphs, self._machine
        if entry and not problem and entry.key == "model":
            self._info.show_and_find(text, lambda: Text.assemble(text, "\n", model_words(settings.model, machine)))
        elif entry and not problem and entry.name in _SETS:
            name = entry.name
            self._info.show_and_find(text, lambda: Text.assemble(text, "\n", prompt_words(settings, name, glyphs)))
        else:
            self._info.show(text)

    @property
    def _info(self) -> InfoPanel:
        return self.query_one(InfoPanel)

    # Editing

    @on(LineTable.Highlighted, "#settings")
    def _highlighted(self) -> None:
        self._paint_info()

    @on(LineTable.Selected, "#settings")
    def edit(self) -> None:
        key = str(self.query_one("#settings", LineTable).cursor)
        if key == START:
            self.action_start()
        elif key.startswith("group:"):
            self._open ^= {key.removeprefix("group:")}
            self._paint_settings()
        elif entry := self._entry():
            if entry.value in ("true", "false"):
                self.form.set(key, "false" if entry.value == "true" else "true")
                self._paint_settings()
                self._paint_info()
                return
            self._editing = key
            box = self.query_one("#editor", Input)
            box.value = "" if entry.value == '""' and key == "model" else entry.value
            box.placeholder = key
            box.suggester = self._finds.get(key)
            box.display = True
            box.focus()

    @on(Input.Changed, "#editor")
    def _typing(self) -> None:
        if self._editing:
            self._paint_info()

    @on(Input.Submitted, "#editor")
    def _entered(self) -> None:
        if self._commit():
            self._leave()

    @on(Editor.Left)
    def _left(self, message: Editor.Left) -> None:
        if self._commit():
            self._leave()
            self.query_one("#settings", LineTable).action_move(message.by)

    @on(Editor.Offered)
    def _offered(self, message: Editor.Offered) -> None:
        names = [os.path.basename(name.rstrip("/")) + "/" * name.endswith("/") for name in message.names]
        more = f" and {len(names) - _OFFERED} more" if len(names) > _OFFERED else ""
        self._info.show(Text("It may go on as: " + plain(", ".join(names[:_OFFERED])) + more))

    @on(Input.Blurred, "#editor")
    def _blurred(self) -> None:
        # A terminal that is left for another window takes the focus along, and brings it back.
        if self._editing and self.app.app_focus:
            self.action_leave_editor()

    def _commit(self) -> bool:
        """Take the text of the line. Returns whether it is valid."""
        if not self._editing:
            return True
        try:
            self.form.set(self._editing, self.query_one("#editor", Input).value)
        except HereticError:
            self._paint_info()
            return False
        self._paint_settings()
        return True

    def _leave(self) -> None:
        self._editing = None
        self.query_one("#editor", Input).display = False
        if self.focused is None or self.focused.id == "editor":
            self.query_one("#settings").focus()
        self._paint_info()

    def action_leave_editor(self) -> None:
        """Leave the line and keep its text, or drop it where it is not valid."""
        key = self._editing
        if not self._commit():
            self.say(f"{key} stays as it was.", "warning")
        self._leave()

    def action_reset(self) -> None:
        if (entry := self._entry()) and entry.changed:
            self.form.reset(entry.key)
            self._paint_settings()
            self._paint_info()

    def action_copy(self) -> None:
        self.ask(CopyText(self.form.command_line(), "command line"))

    # Preview

    def action_preview(self) -> None:
        entry, settings = self._entry(), self.form.settings
        if entry is None or entry.name not in _SETS:
            self.say("Put the cursor on a set of prompts first.")
            return
        self._preview("Reading the prompts and the chat template …", partial(preview_words, settings, entry.name))

    def action_inspect(self) -> None:
        settings = self.form.settings
        if not settings.model:
            self.say("Choose a model first: enter on the line `model`.")
            return
        self._preview("Building the model without its weights …", partial(inspect_words, settings))

    def _preview(self, meanwhile: str, work: Callable[[], Text]) -> None:
        self._previewing = True
        self._info.show_and_find(Text(meanwhile), work)

    # Starting

    def works(self, action: str) -> bool:
        match action:
            case "start":
                return bool(self.form.settings.model)
            case "resume":
                return bool(self._runs.rows)
        return True

    def action_start(self) -> None:
        if not self._commit():
            return
        if self._editing:
            self._leave()
        settings = self.form.settings
        if not settings.model:
            self.say("Choose a model first: enter on the line `model`.")
            self.query_one("#settings", LineTable).go_to("model")
            return
        self.ask(StartRun(settings))

    # Earlier runs

    @property
    def _runs(self) -> RunList:
        return self.query_one(RunList)

    @on(LineTable.Highlighted, "#runs")
    def _run_highlighted(self) -> None:
        # They are listed again while the user may look at something else.
        if self._runs.has_focus:
            self._paint_info()

    @on(events.DescendantFocus, "#runs, #settings")
    def _list_entered(self) -> None:
        self._paint_info()

    @on(LineTable.Selected, "#runs")
    def open_run(self) -> None:
        if folder := self._runs.folder:
            self.ask(ShowRun(folder))

    def action_resume(self) -> None:
        folder = self._runs.folder
        if folder is None:
            return
        if folder.holder():
            self.say(f"{folder.name} is at work in process {folder.holder()}: enter shows it.")
            return
        try:
            settings = resumed_settings(folder, self.form.settings)
        except HereticError as error:
            self.say(f"{folder.name} cannot be resumed: {error}", "error")
            return
        self.ask(StartRun(settings))

    def action_delete(self) -> None:
        folder = self._runs.folder
        if folder is None or self.focused is not self._runs:
            return
        if folder.holder():
            self.say(f"{folder.name} is at work in process {folder.holder()}.")
            return
        exports = sorted(path.name for path in (folder.path / "exports").glob("*")) if folder.path.is_dir() else []
        text = f"{folder.path}\nAll its trials and responses go" + (
            f", and its exports: {', '.join(exports)}" * bool(exports)
        )

        def answered(answer: str | None) -> None:
            if answer == "delete":
                shutil.rmtree(folder.path, ignore_errors=True)
                self._runs.load(self.form.settings.runs_dir)

        answers = ("n", "no", "no, keep it"), ("y", "delete", "delete it; this cannot be undone")
        self.app.push_screen(ChoiceDialog(Question("Delete this run?", text, answers)), answered)
