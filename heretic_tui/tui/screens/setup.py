"""Setup: choose a model and prompts, change settings, start; and the earlier runs."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.suggester import Suggester
from textual.widgets import Input

from heretic_tui.errors import HereticError
from heretic_tui.runtime.draft import Draft, Entry
from heretic_tui.runtime.files import user_path
from heretic_tui.runtime.hosts import FollowHost, inspect_lines, preview_prompts
from heretic_tui.runtime.model_files import completions, devices, fits, model_facts
from heretic_tui.runtime.overview import overview
from heretic_tui.runtime.rundir import RunFolder, find_runs
from heretic_tui.runtime.text import plain
from heretic_tui.settings import from_dict
from heretic_tui.tui.look import safe_lines, size_words
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.dialogs import Choose
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.tui.widgets.quiet_input import QuietInput
from heretic_tui.tui.widgets.text_panel import TextPanel

_COMMON = (
    "model",
    "quantization",
    "good_prompts",
    "bad_prompts",
    "good_evaluation_prompts",
    "bad_evaluation_prompts",
    "n_trials",
    "n_startup_trials",
    "batch_size",
    "seed",
)
_SETS = tuple(name for name in _COMMON if name.endswith("_prompts"))
_START = "start"


class ModelSuggester(Suggester):
    """The first model, or folder, that begins with what was typed; the right arrow takes it."""

    async def get_suggestion(self, value: str) -> str | None:
        return next(iter(completions(value)), None) if value else None


class SetupScreen(ModeScreen):
    """Settings as a list with a line to edit them in, what is known of the chosen one beside it, runs beneath."""

    HELP_TEXT = """
Enter edits a setting, opens or closes a group, and starts on the first line. Settings that differ from their default
carry a mark; backspace brings the default back. i shows what of the model would be edited. On a prompt set, w shows
its first prompts as the model will see them.
Earlier runs: tab goes there; enter opens one to look at, R resumes it with its own settings, D deletes it.
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

    def __init__(self) -> None:
        super().__init__()
        self._open: set[str] = set()
        self._editing: str | None = None
        self._runs: list[dict[str, Any]] = []
        self._models = ModelSuggester(use_cache=False, case_sensitive=True)

    @property
    def draft(self) -> Draft:
        draft = self.heretic.draft
        assert draft is not None
        return draft

    def body(self) -> ComposeResult:
        columns = [Column("mark", "", 1), Column("name", "setting", 26), Column("value", "value", 0)]
        runs = [
            Column("state", "state", 11),
            Column("trials", "trials", 7, right=True),
            Column("base", "base", 7, right=True),
            Column("best", "best", 18),
            Column("run", "earlier run", 0),
        ]
        with Horizontal(id="setup-body"):
            with Vertical(id="setup-left"):
                yield LineTable(columns, id="settings", enter="edit")
                yield QuietInput(id="editor")
                yield LineTable(runs, id="runs", empty="no earlier run", enter="open")
            yield TextPanel(id="setup-info")

    def on_mount(self) -> None:
        self.query_one("#editor", Input).display = False
        self.query_one("#settings").focus()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.run_worker(self._load_runs, thread=True, exclusive=True, exit_on_error=False, group="runs")

    # Painting

    def paint(self, kinds: frozenset[str]) -> None:
        if "*" in kinds:
            self._paint_settings()
            self._paint_info()

    def _paint_settings(self) -> None:
        glyphs = self.heretic.glyphs
        entries = list(self.draft.entries())
        by_key = {entry.key: entry for entry in entries}
        ready = "Start" if self.draft.settings.model else "Start: choose a model first"
        rows = [Row(_START, (f"{glyphs.running} {ready}   ctrl+s",), "group")]
        rows += [self._row(by_key[name]) for name in _COMMON]
        for group in dict.fromkeys(entry.group for entry in entries):
            members = [e for e in entries if e.group == group and e.key not in _COMMON]
            changed = sum(entry.changed for entry in members)
            words = f" ({changed} changed)" if changed else ""
            opened = group in self._open
            rows.append(Row(f"group:{group}", (f"{glyphs.open if opened else glyphs.closed} {group}{words}",), "group"))
            if opened:
                rows += [self._row(entry) for entry in members]
        self.query_one("#settings", LineTable).set_rows(rows)

    def _row(self, entry: Entry) -> Row:
        mark = self.heretic.glyphs.changed if entry.changed else " "
        name = entry.name if entry.part is None else f"  .{entry.part}"
        if entry.part is not None:
            name = f"{_short(entry.name)}.{entry.part}"
        value = entry.value if entry.value not in ("", '""') else "unset" if not entry.value else "empty"
        return Row(entry.key, (mark, name, plain(value)), "changed" if entry.changed else "row")

    def _entry(self) -> Entry | None:
        key = self.query_one("#settings", LineTable).cursor
        return next((e for e in self.draft.entries() if e.key == key), None)

    def _paint_info(self, problem: str | None = None) -> None:
        entry, text = self._entry(), Text()
        if entry is None and not self.draft.settings.model:
            text.append("Choose a model: j, then enter. Or look at an earlier run: tab, then enter.")
        elif entry is None:
            text.append("The same from a shell:\n", "bold")
            text.append(plain(self.draft.command_line()))
        else:
            text.append(f"{entry.key}\n", "bold")
            text.append(f"{plain(entry.description)}\n")
            default = entry.default if entry.default not in ("", '""') else "unset" if not entry.default else "empty"
            text.append(f"default: {plain(default)}\n", "dim")
            if problem:
                text.append(plain(problem) + "\n", "bold red")
            if entry.key == "model":
                text.append_text(self._model_words(entry.value))
            elif entry.key in _SETS:
                text.append("\nw shows the first prompts as the model will see them", "italic")
        self.query_one("#setup-info", TextPanel).show(text)

    def _model_words(self, model: str) -> Text:
        text = Text("\n")
        if model in ("", '""'):
            text.append("A folder, or a Hub id such as Qwen/Qwen3-4B-Instruct-2507.\n")
            text.append("The bundled demo: leave here and run `heretic-tui demo`.")
            return text
        facts = model_facts(model)
        if facts is None:
            text.append("Not on this disk: it will be downloaded from the Hub when the run starts.")
            return text
        text.append(f"{plain(facts.architecture)}", "bold")
        if facts.layers:
            text.append(f", {facts.layers} layers of {facts.hidden_size}")
        text.append(f"\nweights {size_words(facts.weight_bytes)}, {facts.dtype or 'dtype not said'}\n")
        text.append("i shows what of it would be edited\n", "italic")
        for device in devices():
            as_it_is, in_four = fits(facts, device)
            text.append(f"{plain(device.name)}: {size_words(device.free)} free; ")
            text.append(
                f"{'fits' if as_it_is else 'does not fit'}, in 4 bits {'fits' if in_four else 'does not fit'}\n"
            )
        return text

    # Editing

    @on(LineTable.Highlighted, "#settings")
    def _highlighted(self) -> None:
        self._paint_info()

    @on(LineTable.Selected, "#settings")
    def edit(self) -> None:
        key = str(self.query_one("#settings", LineTable).cursor)
        if key == _START:
            self.action_start()
        elif key.startswith("group:"):
            self._open ^= {key.removeprefix("group:")}
            self._paint_settings()
        elif entry := self._entry():
            if entry.value in ("true", "false"):
                self.draft.set(key, "false" if entry.value == "true" else "true")
                self._paint_settings()
                self._paint_info()
                return
            self._editing = key
            box = self.query_one("#editor", Input)
            box.value = "" if entry.value == '""' and key == "model" else entry.value
            box.placeholder = key
            box.suggester = self._models if key == "model" else None
            box.display = True
            box.focus()

    @on(Input.Changed, "#editor")
    def _typing(self, event: Input.Changed) -> None:
        if self._editing:
            problem = self.draft.check(self._editing, event.value)
            event.input.set_class(problem is not None, "-invalid")
            self._paint_info(problem)

    @on(Input.Submitted, "#editor")
    def _entered(self, event: Input.Submitted) -> None:
        if not self._editing:
            return
        try:
            self.draft.set(self._editing, event.value)
        except HereticError as error:
            self._paint_info(str(error))
            return
        self.action_leave_editor()
        self._paint_settings()
        self._paint_info()

    def action_leave_editor(self) -> None:
        self._editing = None
        self.query_one("#editor", Input).display = False
        self.query_one("#settings").focus()
        self._paint_info()

    def action_reset(self) -> None:
        if (entry := self._entry()) and entry.changed:
            self.draft.reset(entry.key)
            self._paint_settings()
            self._paint_info()

    def action_copy(self) -> None:
        self.heretic.copy(self.draft.command_line(), "command line")

    # Preview

    def action_preview(self) -> None:
        entry = self._entry()
        if entry and entry.name in _SETS:
            self.query_one("#setup-info", TextPanel).show(Text("reading the prompts and the chat template …"))
            work = partial(self._preview, entry.name)
            self.run_worker(work, thread=True, exclusive=True, exit_on_error=False, group="preview")

    def action_inspect(self) -> None:
        if not self.draft.settings.model:
            self.heretic.say("Choose a model first: enter on the line `model`.")
            return
        self.query_one("#setup-info", TextPanel).show(Text("building the model without its weights …"))
        self.run_worker(self._inspect, thread=True, exclusive=True, exit_on_error=False, group="preview")

    def _inspect(self) -> None:
        try:
            lines = inspect_lines(self.draft.settings)
        except HereticError as error:
            # The cursor may be on any line, not only on the model's.
            problem = Text(plain(str(error)), "bold red")
            self.app.call_from_thread(self.query_one("#setup-info", TextPanel).show, problem)
            return
        text = Text("What would be edited\n\n", "bold")
        # Columns are for a terminal's width; a panel is narrower.
        text.append("\n".join(plain(" ".join(line.split())) for line in lines))
        self.app.call_from_thread(self.query_one("#setup-info", TextPanel).show, text)

    def _preview(self, name: str) -> None:
        try:
            prompts, note = preview_prompts(self.draft.settings, name)
        except HereticError as error:
            self.app.call_from_thread(self._paint_info, str(error))
            return
        text = Text(f"{name}: the first prompts{note}\n", "bold")
        for prompt in prompts:
            text.append("\n")
            text.append_text(safe_lines(prompt))
            text.append("\n")
        self.app.call_from_thread(self.query_one("#setup-info", TextPanel).show, text)

    # Starting

    def action_start(self) -> None:
        settings = self.draft.settings
        if not settings.model:
            self.heretic.say("Choose a model first: enter on the line `model`.")
            self.query_one("#settings", LineTable).go_to("model")
            return
        self._replace_run(partial(self.heretic.start, settings))

    def _replace_run(self, begin: Any) -> None:
        """Begin, after asking where a run is at work in this process."""
        host = self.heretic.host
        if host is None or host.control is None or not self.heretic.alive:
            begin()
            return
        control = host.control

        def answered(answer: str | None) -> None:
            if answer == "end":
                control.close()
                control.abort()
                self.heretic.say("The run is being ended; start again when it has.")

        answers = [("n", "no", "no, go on with it"), ("y", "end", "end it now; it can be resumed")]
        self.app.push_screen(Choose("One run at a time", "A run is open in this process.", answers), answered)

    # Earlier runs

    def _load_runs(self) -> None:
        try:
            folders = find_runs(user_path(self.draft.settings.runs_dir))
        except HereticError:
            folders = []
        found = [{**overview(folder), "path": folder.path} for folder in folders]
        found.sort(key=lambda run: run["path"].stat().st_mtime, reverse=True)
        self.app.call_from_thread(self._show_runs, found)

    def _show_runs(self, found: list[dict[str, Any]]) -> None:
        self._runs = found
        rows = []
        for run in found:
            best = next(iter(run["best"]), None)
            rows.append(
                Row(
                    run["run"],
                    (
                        str(run["state"]).partition(" ")[0],
                        "" if run["trials"] is None else f"{run['trials']}/{run['n_trials']}",
                        f"{run['base_refusals']}/{run['prompts']}" if run["prompts"] else "",
                        f"{best['refusals']}, KL {best['kl_divergence']:.4f}" if best else "",
                        plain(run["run"]),
                    ),
                )
            )
        self.query_one("#runs", LineTable).set_rows(rows)

    def _chosen_run(self) -> RunFolder | None:
        key = self.query_one("#runs", LineTable).cursor
        return next((RunFolder(run["path"]) for run in self._runs if run["run"] == key), None)

    @on(LineTable.Selected, "#runs")
    def open_run(self) -> None:
        if folder := self._chosen_run():
            self._replace_run(lambda: self.heretic.show_run(FollowHost(folder)))

    def action_resume(self) -> None:
        folder = self._chosen_run()
        if folder is None:
            return
        if folder.holder():
            self.heretic.say(f"{folder.name} is at work in process {folder.holder()}: enter shows it.")
            return
        try:
            settings = from_dict(folder.read_record()["settings"])
        except (HereticError, KeyError) as error:
            self.heretic.say(f"{folder.name} cannot be resumed: {error}", "error")
            return
        # The run's own folder of runs may have been moved with it.
        settings = settings.model_copy(update={"runs_dir": str(folder.path.parent)})
        self._replace_run(lambda: self.heretic.start(settings))

    def action_delete(self) -> None:
        folder = self._chosen_run()
        if folder is None or self.focused is not self.query_one("#runs"):
            return
        if folder.holder():
            self.heretic.say(f"{folder.name} is at work in process {folder.holder()}.")
            return
        exports = sorted(path.name for path in (folder.path / "exports").glob("*")) if folder.path.is_dir() else []
        text = f"{folder.path}\nAll its trials and responses go" + (
            f", and its exports: {', '.join(exports)}" * bool(exports)
        )

        def answered(answer: str | None) -> None:
            if answer == "delete":
                shutil.rmtree(folder.path, ignore_errors=True)
                self.run_worker(self._load_runs, thread=True, exclusive=True, exit_on_error=False, group="runs")

        answers = [("n", "no", "no, keep it"), ("y", "delete", "delete it; this cannot be undone")]
        self.app.push_screen(Choose("Delete this run?", text, answers), answered)


def _short(name: str) -> str:
    return name.replace("_evaluation_prompts", "_eval").replace("_prompts", "")
