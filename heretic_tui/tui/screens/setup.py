"""Setup: a plan of settings that is checked while it is typed, what the run will take, and prompts as the model will
see them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Static

from heretic_tui.errors import HereticError
from heretic_tui.machine import Looker as MachineLooker
from heretic_tui.settings.form import Entry, SettingsForm
from heretic_tui.settings.presets import PRESETS, changes
from heretic_tui.settings.schema import PROMPT_FILES, Settings
from heretic_tui.settings.titles import title_of
from heretic_tui.tui.messages import CopyText, QueueRun, StartRun
from heretic_tui.tui.model_files import completions, path_completions
from heretic_tui.tui.outlook import Outlook, survey, to_fix_words
from heretic_tui.tui.preview import Looker
from heretic_tui.tui.questions import Question
from heretic_tui.tui.run_view import EVERYTHING
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.dialogs import ChoiceDialog, TextDialog
from heretic_tui.tui.screens.setup_before import before_words
from heretic_tui.tui.screens.setup_find import FindDialog
from heretic_tui.tui.screens.setup_markers import MarkersDialog
from heretic_tui.tui.screens.setup_preview import PAUSE, PromptPane
from heretic_tui.tui.screens.setup_settings import COMMON, PRESET, SETS, about_words, plan_columns, plan_rows
from heretic_tui.tui.screens.setup_words import edits_words
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.editor import Completer, Editor
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import plain

# Names that are told where there is more than one way to go on.
_OFFERED = 8


class SetupScreen(ModeScreen):
    """Frames: the plan with a line to edit it in, what the run will take, a prompt, the matrices, the command."""

    SCOPE = "setup"
    IDLE = "Everything is checked while you type. ctrl+s starts."
    PANES = ("plan-pane", "before-pane", "preview-pane", "edits-pane", "command-pane")
    HELP_TEXT = """
Everything is checked while you type: a value that can be used has a check mark, one that cannot has a cross and the
reason beneath. Nothing is fetched from the Hub before the start, unless you press w on a data set.

Enter edits a setting; leaving the line, by enter, esc, tab, the arrow keys or a click, takes what stands in it, unless
that is wrong. Tab completes models, folders and files of prompts. Space turns a switch on and off, goes through the
choices of a setting, and shows the parts of a prompt set: split, column, texts around.
"""
    BINDINGS = [
        Binding("ctrl+s", "start", "Start", tooltip="start the run"),
        Binding("Q", "queue", "Queue", tooltip="add the run to the queue"),
        Binding("slash", "find", "Find", tooltip="find a setting"),
        Binding("P", "presets", "Presets", show=False, tooltip="choose a preset"),
        Binding("u", "undo", "Undo", tooltip="undo the last change of a setting"),
        Binding("backspace", "reset", "Default", show=False, tooltip="bring the default of the setting back"),
        Binding("space", "turn", "Next value", show=False, tooltip="next value of the setting, or its parts"),
        Binding("tab", "take_hint", "Complete", show=False, tooltip="take the value that is offered, or the next pane"),
        Binding("n", "next_prompt(1)", "Next prompt", show=False),
        Binding("N", "next_prompt(-1)", "Prompt before", show=False),
        Binding("w", "whole_prompt", "Whole prompt", show=False, tooltip="the whole prompt; fetches a data set"),
        Binding("i", "inspect", "Matrices", show=False, tooltip="list the matrices that are edited"),
        Binding("m", "markers", "Markers", show=False, tooltip="edit and try the refusal markers"),
        Binding("y", "copy_command", "Copy command", show=False, tooltip="copy the command line that does the same"),
        Binding(
            "escape", "leave_editor", "Leave the line", show=False, tooltip="leave the line and keep what it holds"
        ),
    ]

    def __init__(self, form: SettingsForm) -> None:
        super().__init__()
        self.form = form
        self._opened: set[str] = set()
        self._editing: str | None = None
        # What was typed for a setting and could not be taken: it stands in the line again when that is opened.
        self._refused: dict[str, str] = {}
        self._looker, self._machine = Looker(), MachineLooker()
        self._outlook = Outlook(form.settings)
        # The settings that are being looked at; those of the form, or with what is being typed.
        self._surveyed: Settings | None = None
        self._finds = {
            "model": Completer(completions),
            "runs_dir": Completer(partial(path_completions, kinds=())),
            **dict.fromkeys(SETS, Completer(partial(path_completions, kinds=PROMPT_FILES))),
        }

    def body(self) -> ComposeResult:
        with Vertical(id="setup-body"):
            with Horizontal(id="setup-top", classes="column"):
                with Vertical(id="setup-left", classes="column"):
                    yield Frame(
                        "Plan",
                        LineTable(plan_columns(self._outlook), id="settings", enter="edit", header=False, spill=True),
                        Horizontal(Static(id="editor-name"), Editor(id="editor", compact=True), id="edit"),
                        TextPanel(id="about"),
                        keys=("complete", "leave_editor", "reset", "turn", "find", "presets", "undo"),
                        id="plan-pane",
                    )
                with Vertical(id="setup-middle", classes="column"):
                    yield Frame("Before you start", TextPanel(id="before"), keys=("start", "queue"), id="before-pane")
                    yield PromptPane(self._looker)
                with Vertical(id="setup-right", classes="column"):
                    yield Frame("What is edited", TextPanel(id="edits"), keys=("inspect",), id="edits-pane")
            yield Frame(
                "Same from the command line", TextPanel(id="command"), keys=("copy_command",), id="command-pane"
            )

    def on_mount(self) -> None:
        self.query_one("#edit").display = False
        self.query_one("#about", TextPanel).can_focus = False
        self._table.focus()

    def on_screen_resume(self) -> None:
        self._look(self.form.settings)

    def on_screen_suspend(self) -> None:
        if self.is_ready:
            self._commit()

    @property
    def _table(self) -> LineTable:
        return self.query_one("#settings", LineTable)

    def _panel(self, name: str) -> TextPanel:
        return self.query_one(f"#{name}", TextPanel)

    # Looking

    def _look(self, settings: Settings, pause: float = 0.0) -> None:
        """Look at everything that settings name, on a thread, and paint what is found."""
        self._surveyed = settings

        def run() -> None:
            time.sleep(pause)
            if self._surveyed is not settings:
                return
            for outlook in survey(settings, self._looker, self._machine):
                if self._surveyed is not settings or not self.is_attached:
                    return
                self.app.call_from_thread(found, outlook)

        def found(outlook: Outlook) -> None:
            if self._surveyed is settings and self.is_ready:
                self._outlook = outlook
                offered = outlook.finding(self._editing or "")
                self.query_one("#editor", Editor).instead = offered.instead if offered else None
                self._open_what_is_wrong()
                self._paint_plan()
                self._paint_beside()
                if outlook.complete:
                    self._paint_prompt()

        on_thread(self, run, "survey", exclusive=False)

    def _open_what_is_wrong(self) -> None:
        """Show the parts of a set that can be read but for its split or its column."""
        for name in SETS:
            finding = self._outlook.finding(name)
            if finding and finding.state == "bad" and ("column" in finding.reason or "split" in finding.reason):
                self._opened.add(name)

    # Painting

    def paint(self, kinds: frozenset[str]) -> None:
        if EVERYTHING in kinds:
            self._paint_plan()
            self._paint_beside()
            self._paint_prompt()

    def _paint_plan(self) -> None:
        outlook = self._outlook.with_refused(self._refused)
        width = self._table.scrollable_content_region.width
        rows = plan_rows(self.form, self._opened, outlook, self.view.glyphs, width, tight=self.has_class("-short"))
        self._table.set_columns(plan_columns(outlook))
        self._table.set_rows(rows)
        self._paint_about()

    def _entry(self) -> Entry | None:
        key = self._table.cursor
        return next((e for e in self.form.entries() if e.key == key), None)

    def _paint_about(self) -> None:
        """Below the plan: what the setting under the cursor means, and what is wrong with what is typed."""
        text = about_words(self._entry(), self._outlook, self.looks)
        if self._editing and (problem := self.form.check(self._editing, self._typed)):
            text = Text(plain(problem), f"bold {self.looks.bad}")
        elif self._table.cursor == PRESET:
            text = Text("Preset\nHow much of a search: enter or P chooses, and says what it changes.")
        self._panel("about").show(text)

    def _paint_beside(self) -> None:
        view, look = self.view, self.looks
        notify = getattr(self.app, "interface").notify  # noqa: B009 - what ShowsRun does not promise
        before = self._panel("before")
        width = before.scrollable_content_region.width
        before.show(before_words(self._outlook, notify, view.glyphs, look, view.timed, width))
        self._panel("edits").show(edits_words(self._outlook, view.glyphs, look))
        self._panel("command").show(Text(plain(self.form.command_line())))

    # The prompt

    @property
    def _prompt(self) -> PromptPane:
        return self.query_one(PromptPane)

    def _paint_prompt(self) -> None:
        """Show a prompt of the set under the cursor, or of the one that was there last."""
        if (entry := self._entry()) and entry.name in SETS:
            self._prompt.choose(entry.name)
        self._prompt.look(self._surveyed or self.form.settings, self._outlook)

    def action_next_prompt(self, by: int) -> None:
        self._prompt.step(by)
        self._paint_prompt()

    def action_whole_prompt(self) -> None:
        """The prompt in a window of its own; a data set of the Hub is read first."""
        settings, name = self.form.settings, self._prompt.set_name
        finding = self._outlook.finding(name)
        if finding and finding.state == "unknown":
            self.say(f"Reading {getattr(settings, name).dataset} from the Hub.")
            self._looker.fetch(settings, name)
            self._look(settings)
            return
        self.app.push_screen(TextDialog(str(self._prompt.border_title), self._prompt.text))

    def action_inspect(self) -> None:
        self.app.push_screen(TextDialog("What is edited", edits_words(self._outlook, self.view.glyphs, self.looks)))

    # Editing

    @on(LineTable.Highlighted, "#settings")
    def _highlighted(self) -> None:
        self._paint_about()
        entry = self._entry()
        if entry and self._prompt.set_name != entry.name in SETS:
            self._paint_prompt()

    @on(LineTable.Selected, "#settings")
    def edit(self) -> None:
        key = str(self._table.cursor)
        if key == PRESET:
            self.action_presets()
        elif key.startswith("group:"):
            self._fold(key.removeprefix("group:"))
        elif key == "refusal_markers":
            self.action_markers()
        elif entry := self._entry():
            if entry.value in ("true", "false"):
                self._set_value(key, "false" if entry.value == "true" else "true")
            else:
                self._open_line(entry)

    def _open_line(self, entry: Entry) -> None:
        self._editing = entry.key
        box = self.query_one("#editor", Editor)
        self.query_one("#editor-name", Static).update(Text(f"{entry.title}: "))
        value = "" if entry.value == '""' and entry.key == "model" else entry.value
        box.value = self._refused.get(entry.key, value)
        box.placeholder = entry.words
        box.suggester = self._finds.get(entry.key)
        if entry.choices:
            box.suggester = Completer(lambda typed: [each for each in entry.choices if each.startswith(typed)])
        finding = self._outlook.finding(entry.key)
        box.instead = finding.instead if finding else None
        self.query_one("#edit").display = True
        box.focus()

    @property
    def _typed(self) -> str:
        return self.query_one("#editor", Input).value

    @on(Input.Changed, "#editor")
    def _typing(self) -> None:
        if not self._editing:
            return
        try:
            settings = self.form.tried(self._editing, self._typed)
            self.query_one("#editor").remove_class("-invalid")
        except HereticError:
            self.query_one("#editor").add_class("-invalid")
        else:
            self._look(settings, PAUSE)
        self._paint_about()

    @on(Input.Submitted, "#editor")
    def _entered(self) -> None:
        if self._commit():
            self._leave()

    @on(Editor.Left)
    def _left(self, message: Editor.Left) -> None:
        if self._commit():
            self._leave()
            self._table.action_move(message.by)

    @on(Editor.Offered)
    def _offered(self, message: Editor.Offered) -> None:
        names = [os.path.basename(name.rstrip("/")) + "/" * name.endswith("/") for name in message.names]
        more = f" and {len(names) - _OFFERED} more" if len(names) > _OFFERED else ""
        self._panel("about").show(Text("It may go on as: " + plain(", ".join(names[:_OFFERED])) + more))

    @on(Input.Blurred, "#editor")
    def _blurred(self) -> None:
        # A terminal that is left for another window takes the focus along, and brings it back.
        if self._editing and self.app.app_focus:
            self.action_leave_editor()

    def _commit(self) -> bool:
        """Take the text of the line. Returns whether it is valid."""
        if not self._editing:
            return True
        key = self._editing
        if not self._set_value(key, self._typed):
            self._refused[key] = self._typed
            return False
        self._refused.pop(key, None)
        return True

    def _set_value(self, key: str, text: str) -> bool:
        try:
            self.form.set(key, text)
        except HereticError:
            self._paint_about()
            return False
        self._changed()
        return True

    def _changed(self) -> None:
        """The settings are others now."""
        self.refresh_bindings()
        self._look(self.form.settings)
        self._paint_plan()
        self._paint_beside()

    def _leave(self) -> None:
        self._editing = None
        self.query_one("#edit").display = False
        if self.focused is None or self.focused.id == "editor":
            self._table.focus()
        self._paint_about()

    def action_leave_editor(self) -> None:
        """Leave the line and take its text, or keep it for the next time where it is not valid."""
        key = self._editing
        if key and not self._commit():
            self.say(f"The {title_of(key)} stays as it was; enter brings back what you typed.", "warning")
            self._look(self.form.settings)
        self._leave()

    def action_turn(self) -> None:
        """The next value of a switch or of a choice; the parts of a prompt set; what a group holds."""
        entry, key = self._entry(), str(self._table.cursor)
        if entry and entry.part is None and entry.name in SETS:
            self._fold(entry.name)
        elif entry and entry.value in ("true", "false"):
            self._set_value(key, "false" if entry.value == "true" else "true")
        elif entry and entry.choices:
            now = entry.value if entry.value in entry.choices else entry.choices[0]
            self._set_value(key, entry.choices[(entry.choices.index(now) + 1) % len(entry.choices)])
        elif key.startswith("group:"):
            self._fold(key.removeprefix("group:"))

    def _fold(self, name: str) -> None:
        self._opened ^= {name}
        self._paint_plan()

    def action_take_hint(self) -> None:
        """Take the value that is offered for the setting under the cursor, else go to the next pane."""
        finding = self._outlook.finding(str(self._table.cursor))
        if self.focused is self._table and finding and finding.instead:
            self._set_value(str(self._table.cursor), finding.instead)
        else:
            self.focus_next()

    def action_reset(self) -> None:
        if (entry := self._entry()) and entry.changed:
            self._refused.pop(entry.key, None)
            self.form.reset(entry.key)
            self._changed()

    def action_undo(self) -> None:
        if what := self.form.undo():
            self.say(f"Undone: {what}.")
            self._changed()

    def action_find(self) -> None:
        entries = sorted(self.form.entries(), key=lambda e: COMMON.index(e.key) if e.key in COMMON else len(COMMON))

        def chosen(key: str | None) -> None:
            if key is not None:
                self._go_to(key)

        self.app.push_screen(FindDialog(entries), chosen)

    def _go_to(self, key: str) -> None:
        """Put the cursor on a setting, and open its line."""
        entry = self._show_setting(key)
        if entry.value not in ("true", "false") and key != "refusal_markers":
            self._open_line(entry)

    def _show_setting(self, key: str) -> Entry:
        """Put the cursor on a setting, in a group that is opened for it."""
        entry = next(e for e in self.form.entries() if e.key == key)
        if entry.part:
            self._opened.add(entry.name)
        elif key not in COMMON:
            self._opened.add(entry.group)
        self._paint_plan()
        self._table.focus()
        self._table.go_to(key)
        return entry

    def action_presets(self) -> None:
        steps = {each.name: _steps(changes(each, self.form.settings)) for each in PRESETS}
        text = "\n".join(f"{each.name}: {steps[each.name] or 'changes nothing'}." for each in PRESETS)
        choices = tuple((each.name[0], each.name, f"{each.name}: {each.words}") for each in PRESETS)

        def chosen(name: str | None) -> None:
            preset = next((each for each in PRESETS if each.name == name), None)
            if preset and steps[preset.name]:
                self.form.update(f"preset {preset.name}", preset.values)
                self.say(f"{preset.name}: {steps[preset.name]}. u takes it back.")
                self._changed()

        self.app.push_screen(ChoiceDialog(Question("How much of a search?", text, choices)), chosen)

    def action_markers(self) -> None:
        def taken(markers: list[str] | None) -> None:
            if markers is not None and markers != self.form.settings.refusal_markers:
                self.form.update("refusal markers", {"refusal_markers": markers})
                self._changed()

        self.app.push_screen(MarkersDialog(self.form.settings), taken)

    def action_copy_command(self) -> None:
        self.ask(CopyText(self.form.command_line(), "command line"))

    # Starting

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "leave_editor":
                return self._editing is not None
            case "undo":
                return self.form.can_undo
        return super().check_action(action, parameters)

    def works(self, action: str) -> bool:
        match action:
            case "start" | "queue" | "inspect":
                return bool(self.form.settings.model)
        return True

    def action_start(self) -> None:
        self._begin(StartRun)

    def action_queue(self) -> None:
        self._begin(QueueRun)

    def _begin(self, message: Callable[[Settings], StartRun | QueueRun]) -> None:
        if not self._commit():
            return
        if self._editing:
            self._leave()
        settings = self.form.settings
        if not settings.model:
            self.say("Choose a model first: press enter on the line model.")
            self._table.go_to("model")
            return
        if self._outlook.settings == settings and (wrong := self._outlook.to_fix):
            self.say(f"{to_fix_words(self._outlook)}.", "warning")
            self._show_setting(wrong[0])
            # It may have been mended outside meanwhile.
            self._look(settings)
            return
        self.ask(message(settings))


def _steps(changed: Mapping[str, tuple[int, int]]) -> str:
    """What a preset changes, in words."""
    return ", ".join(f"{title_of(key)} {now} to {then}" for key, (now, then) in changed.items())
