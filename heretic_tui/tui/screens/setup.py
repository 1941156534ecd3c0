"""Setup: a plan of settings that is checked while it is typed, what the run will take, and prompts as the model will
see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from heretic_tui.plugins import DIRECTION_METHODS
from heretic_tui.settings.presets import PRESETS, changes
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.titles import title_of
from heretic_tui.tui.messages import CopyText, QueueRun, StartRun
from heretic_tui.tui.outlook import to_fix_words
from heretic_tui.tui.questions import Question
from heretic_tui.tui.run_view import EVERYTHING
from heretic_tui.tui.screens.dialogs import ChoiceDialog, TextDialog
from heretic_tui.tui.screens.setup_checks import ChecksDialog
from heretic_tui.tui.screens.setup_editing import SetupEditing
from heretic_tui.tui.screens.setup_find import FindDialog
from heretic_tui.tui.screens.setup_markers import MarkersDialog
from heretic_tui.tui.screens.setup_preview import PromptPane
from heretic_tui.tui.screens.setup_settings import COMMON, PRESET, SETS, plan_columns
from heretic_tui.tui.screens.setup_words import edits_words
from heretic_tui.tui.widgets.editor import Editor
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import LineTable
from heretic_tui.tui.widgets.text_panel import TextPanel


class SetupScreen(SetupEditing):
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
        Binding("t", "probe", "Time", show=False, tooltip="measure how long a run would take; again drops it"),
        Binding("m", "markers", "Markers", show=False, tooltip="edit and try the refusal markers"),
        Binding("y", "copy_command", "Copy command", show=False, tooltip="copy the command line that does the same"),
        Binding(
            "escape", "leave_editor", "Leave the line", show=False, tooltip="leave the line and keep what it holds"
        ),
    ]

    # The settings when the screen was left last.
    _left_with: Settings | None = None

    def body(self) -> ComposeResult:
        with Vertical(id="setup-body"):
            with Horizontal(id="setup-top", classes="column"):
                with Vertical(id="setup-left", classes="column"):
                    yield Frame(
                        "Plan",
                        LineTable(plan_columns(self.outlook), id="settings", enter="edit", header=False, spill=True),
                        Horizontal(Static(id="editor-name"), Editor(id="editor", compact=True), id="edit"),
                        TextPanel(id="about"),
                        keys=("complete", "leave_editor", "reset", "turn", "find", "presets", "undo"),
                        id="plan-pane",
                    )
                with Vertical(id="setup-middle", classes="column"):
                    yield Frame(
                        "Before you start", TextPanel(id="before"), keys=("start", "queue", "probe"), id="before-pane"
                    )
                    yield PromptPane(self.looker)
                with Vertical(id="setup-right", classes="column"):
                    yield Frame("What is edited", TextPanel(id="edits"), keys=("inspect",), id="edits-pane")
            yield Frame(
                "Same from the command line", TextPanel(id="command"), keys=("copy_command",), id="command-pane"
            )

    def on_mount(self) -> None:
        self.query_one("#edit").display = False
        self.query_one("#about", TextPanel).can_focus = False
        self.table.focus()

    def on_screen_resume(self) -> None:
        if self._left_with not in (None, self.form.settings):
            # They were replaced meanwhile, by those of another run: what could not be taken was typed for others.
            self.refused.clear()
        self.refresh_bindings()
        self.look(self.form.settings)

    def on_screen_suspend(self) -> None:
        if self.is_ready:
            self.commit()
        self._left_with = self.form.settings

    # Painting

    def paint(self, kinds: frozenset[str]) -> None:
        if EVERYTHING in kinds:
            self.paint_plan()
            self.paint_beside()
            self.paint_prompt()

    # The prompt

    def action_next_prompt(self, by: int) -> None:
        self.prompt.step(by)
        self.paint_prompt()

    def action_whole_prompt(self) -> None:
        """The prompt in a window of its own; a data set of the Hub is read first."""
        settings, name = self.form.settings, self.prompt.set_name
        finding = self.outlook.finding(name)
        if finding and finding.state == "unknown":
            self.say(f"Reading {getattr(settings, name).dataset} from the Hub.")
            self.looker.fetch(settings, name)
            self.look(settings)
            return
        self.app.push_screen(TextDialog(str(self.prompt.border_title), self.prompt.text))

    def action_inspect(self) -> None:
        self.app.push_screen(TextDialog("What is edited", edits_words(self.outlook, self.view.glyphs, self.looks)))

    @on(LineTable.Highlighted, "#settings")
    def _highlighted(self) -> None:
        self.paint_about()
        entry = self.entry()
        if entry and self.prompt.set_name != entry.name in SETS:
            self.paint_prompt()

    @on(LineTable.Selected, "#settings")
    def edit(self) -> None:
        key = str(self.table.cursor)
        if key == PRESET:
            self.action_presets()
        elif key.startswith("group:"):
            self.fold(key.removeprefix("group:"))
        elif key == "refusal_markers":
            self.action_markers()
        elif key == "review_checks":
            self._choose_checks()
        elif key == "direction_method":
            self._choose_direction_methods()
        elif entry := self.entry():
            if entry.value in ("true", "false"):
                self.set_value(key, "false" if entry.value == "true" else "true")
            else:
                self.open_line(entry)

    def action_find(self) -> None:
        entries = sorted(self.form.entries(), key=lambda e: COMMON.index(e.key) if e.key in COMMON else len(COMMON))

        def chosen(key: str | None) -> None:
            if key is not None:
                self._go_to(key)

        self.app.push_screen(FindDialog(entries), chosen)

    def _go_to(self, key: str) -> None:
        """Put the cursor on a setting, and open its line."""
        entry = self.show_setting(key)
        if entry.value not in ("true", "false") and key not in ("refusal_markers", "review_checks", "direction_method"):
            self.open_line(entry)

    def action_presets(self) -> None:
        steps = {each.name: _steps(changes(each, self.form.settings)) for each in PRESETS}
        text = "\n".join(f"{each.name}: {steps[each.name] or 'changes nothing'}." for each in PRESETS)
        choices = tuple((each.name[0], each.name, f"{each.name}: {each.words}") for each in PRESETS)

        def chosen(name: str | None) -> None:
            preset = next((each for each in PRESETS if each.name == name), None)
            if preset and steps[preset.name]:
                self.form.update(f"preset {preset.name}", preset.values)
                self.say(f"{preset.name}: {steps[preset.name]}. u takes it back.")
                self.changed()

        self.app.push_screen(ChoiceDialog(Question("How much of a search?", text, choices)), chosen)

    def action_markers(self) -> None:
        def taken(markers: list[str] | None) -> None:
            if markers is not None and markers != self.form.settings.refusal_markers:
                self.form.update("refusal markers", {"refusal_markers": markers})
                self.changed()

        self.app.push_screen(MarkersDialog(self.form.settings), taken)

    def _choose_checks(self) -> None:
        def taken(checks: list[str] | None) -> None:
            if checks is not None and checks != self.form.settings.review_checks:
                self.form.update("checks of a review", {"review_checks": checks})
                self.changed()

        self.app.push_screen(ChecksDialog(self.form.settings.review_checks), taken)

    def _choose_direction_methods(self) -> None:
        def taken(methods: list[str] | None) -> None:
            if methods is not None and methods != self.form.settings.direction_method:
                self.form.update("direction method", {"direction_method": methods})
                self.changed()

        title = "How directions are found; of several the search tries which is best"
        self.app.push_screen(ChecksDialog(self.form.settings.direction_method, DIRECTION_METHODS, title), taken)

    def action_copy_command(self) -> None:
        self.ask(CopyText(self.form.command_line(), "command line"))

    # Starting

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "leave_editor":
                return self.editing is not None
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
        if not self.commit():
            return
        if self.editing:
            self.leave()
        # It would compute beside the run.
        self.end_probe()
        settings = self.form.settings
        if not settings.model:
            self.say("Choose a model first: press enter on the line model.")
            self.table.go_to("model")
            return
        if self.outlook.settings == settings and (wrong := self.outlook.to_fix):
            self.say(f"{to_fix_words(self.outlook)}.", "warning")
            self.show_setting(wrong[0])
            # It may have been mended outside meanwhile.
            self.look(settings)
            return
        self.ask(message(settings))


def _steps(changed: Mapping[str, tuple[int, int]]) -> str:
    """What a preset changes, in words."""
    return ", ".join(f"{title_of(key)} {now} to {then}" for key, (now, then) in changed.items())
