"""Export: what a trial is written as and where, the steps of the exports, the figures of the files, the model card."""

from __future__ import annotations

import os
import shlex
from functools import partial
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Checkbox, Input, Label, Static

from heretic_tui.commands import Export
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import user_path
from heretic_tui.report.model_card import card_text
from heretic_tui.run.card_text import keep_card_text, read_card_text, written
from heretic_tui.run.exports import beside
from heretic_tui.run.state import TrialRecord
from heretic_tui.tui.exports import ExportJob, default_folder
from heretic_tui.tui.messages import CancelCommand, CopyText, EditText, SendCommand
from heretic_tui.tui.model_files import path_completions
from heretic_tui.tui.questions import before_cancelling_exports
from heretic_tui.tui.screens.base import ModeScreen, touched
from heretic_tui.tui.screens.dialogs import ChoiceDialog
from heretic_tui.tui.screens.export_card import expected_record
from heretic_tui.tui.screens.export_place import Place, looked_at, short_path, token_words
from heretic_tui.tui.screens.export_text import (
    Form,
    also_cells,
    card_lines,
    figures_text,
    forms,
    steps_text,
    trial_words,
    waiting_text,
)
from heretic_tui.tui.screens.folder_dialog import FolderDialog
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.tui.widgets.path_input import PathInput
from heretic_tui.tui.widgets.quiet_input import QuietInput
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import counted, plain, size_words

_TRIALS = ("trial_finished", "baseline_measured", "coverage", "model_loaded", "run_opened", "annotated")
_EXPORTS = ("export_started", "export_step", "export_finished", "progress", "state_changed", "run_opened")


class ExportScreen(ModeScreen):
    """What, steps and card; on a narrow terminal one at a time. It can be left while an export is written."""

    SCOPE = "export"
    PANES = ("what-pane", "export-steps-pane", "card-pane")
    HELP_TEXT = """
Writes the selected trial as a model of its own, loads what was written, and measures it as the trial was measured.
While that goes on, every other screen works; the search waits. Files that are exactly the trial differ from it by
rounding alone: refused prompts within 1 of 100, KL within 5 %. A figure outside is red, and a sentence says so.

Several trials: space on a trial under "also export" takes it along; each gets a folder of its own, and one that fails
costs the others nothing.

The card (README.md) says what was done to the model, and always will. Your own text in it is kept in the run folder,
trial by trial; E opens the card in your editor ($VISUAL or $EDITOR).

The folder must not exist yet: it is there as a whole when it is written, or not at all. Tab completes what you type.
"""
    BINDINGS = [
        Binding("ctrl+s", "start", "Start", tooltip="export the trial, and those under also export"),
        # Before the line to type in, which cuts with this key.
        Binding("ctrl+x", "cancel_exports", "Cancel", priority=True, tooltip="cancel an export; it leaves nothing"),
        Binding("space", "take_along", "Choose", tooltip="take the trial under the cursor along, or leave it"),
        Binding("b", "browse", "Browse", tooltip="browse folders, and choose where to write"),
        Binding("E", "edit_card", "Edit card", tooltip="edit your text of the model card in your editor"),
        Binding("y", "copy", "Copy command", tooltip="copy the same export as a command"),
        Binding(
            "n", "other_trial(1)", "Next trial", show=False, tooltip="the next trial that is marked or on the front"
        ),
        Binding("N", "other_trial(-1)", "Previous trial", show=False, tooltip="the trial before it"),
        Binding("escape", "leave_field", "Keys", tooltip="leave the line, so that keys are keys again"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._trial: int | None = None
        self._forms: list[Form] = []
        self._form = "merged"
        self._also: set[int] = set()
        # The folder that was suggested: as long as it stands there, another is suggested with the trial and the form.
        self._suggested = ""
        self._place = Place(())
        self._problem = ""
        # Of which trial and run the card's own text was read.
        self._own, self._own_of = "", ("", -1)

    def body(self) -> ComposeResult:
        with Horizontal(id="export-body"):
            with Vertical(id="export-top", classes="column"):
                with (
                    Frame("What", id="what-pane", keys=("start", "browse", "take_along")),
                    VerticalScroll(can_focus=False),
                ):
                    yield Static("", markup=False, id="export-trial")
                    columns = [Column("form", "", 0), Column("exact", "", 11), Column("size", "", 9, right=True)]
                    yield LineTable(columns, id="forms", header=False, empty="no run is open")
                    yield Static("", markup=False, id="form-words")
                    with Horizontal(classes="field"):
                        yield Label("to", markup=False)
                        yield PathInput("", id="out", compact=True, complete=partial(path_completions, kinds=()))
                    yield Static("", markup=False, id="export-facts")
                    with Horizontal(classes="field"):
                        yield Label("upload", markup=False)
                        name = "OWNER/NAME on the Hub; empty: no upload"
                        yield QuietInput("", placeholder=name, id="hub", compact=True)
                    with Horizontal(classes="field", id="hub-more"):
                        yield Label("", markup=False)
                        yield Checkbox("private", True, id="private", compact=True)
                        yield QuietInput("", placeholder=token_words(), password=True, id="token", compact=True)
                    yield Static(Text("also export, one after another"), markup=False, id="also-words")
                    columns = [Column("trial", "", 14), Column("figures", "", 32), Column("note", "", 0)]
                    yield LineTable(columns, id="also", header=False, empty="no other trial is marked or on the front")
                with Frame("Steps", id="export-steps-pane", keys=("cancel_exports",)):
                    yield TextPanel(id="steps")
            with Frame("Model card", id="card-pane", keys=("edit_card",)):
                yield TextPanel(id="card")

    def on_mount(self) -> None:
        self.query_one("#forms").focus()

    # Painting

    def paint(self, kinds: frozenset[str]) -> None:
        if touched(kinds, *_TRIALS) or self._trial != self.view.selected_trial:
            self._take_trial(self.view.selected_trial)
        if touched(kinds, *_EXPORTS):
            self._paint_steps()
        if touched(kinds, "export_finished"):
            self._paint_card()
            # What was free there is written now.
            self._look_at_place()

    def on_screen_resume(self) -> None:
        # Another process may have written it.
        self._own_of = ("", -1)
        super().on_screen_resume()

    def ticked(self) -> None:
        # Seconds of a step that tells no progress.
        if (job := self.view.exports.in_hand) and job.progress is None:
            self._paint_steps()

    def _take_trial(self, number: int | None) -> None:
        """Show this trial."""
        if number != self._trial:
            self._trial = number
            self._also.discard(-1 if number is None else number)
            self._problem = ""
        self._forms = forms(self.view.state) if self.view.state.opened else []
        if self._forms and self._form not in {form.name for form in self._forms}:
            self._form = self._forms[0].name
        self._suggest()
        self._paint_what()
        self._paint_card()

    @property
    def _record(self) -> TrialRecord | None:
        return None if self._trial is None else self.view.state.trials.get(self._trial)

    def _chosen_form(self) -> Form | None:
        return next((form for form in self._forms if form.name == self._form), None)

    def _suggest(self) -> None:
        """The usual folder for the trial and the form, unless another was typed."""
        box, form, folder = self.query_one("#out", Input), self._chosen_form(), self.view.folder
        if form is None or folder is None or self._trial is None:
            return
        suggested = short_path(default_folder(folder.path, self._trial, form.kind, form.dora))
        if box.value in ("", self._suggested):
            box.value = suggested
        elif self._suggested:
            # One that was chosen by browsing keeps its place.
            before, now = os.path.basename(self._suggested), os.path.basename(suggested)
            if os.path.basename(box.value) == before:
                box.value = os.path.join(os.path.dirname(box.value), now)
        self._suggested = suggested

    def _paint_what(self) -> None:
        look, glyphs, view = self.looks, self.view.glyphs, self.view
        self.query_one("#export-trial", Static).update(trial_words(self._record, view, look))
        rows = []
        for form in self._forms:
            mark = f"({glyphs.changed if form.name == self._form else ' '}) {form.title}"
            size = f"{glyphs.about if form.kind == 'adapter' else ''}{size_words(form.size)}" if form.size else "?"
            kinds = ((1, {"exact": "good", "approximate": "busy"}.get(form.short, "dim")),)
            rows.append(Row(form.name, (mark, form.short, size), kinds=kinds))
        table = self.query_one("#forms", LineTable)
        table.set_rows(rows)
        table.go_to(self._form)
        chosen = self._chosen_form()
        self.query_one("#form-words", Static).update(Text(chosen.words if chosen else "", look.dim))
        self._paint_also()
        self._paint_facts()
        self._look_at_place()

    def _others(self) -> list[TrialRecord]:
        """Trials that can be taken along: those on the front and marked ones, but for the one in view."""
        state = self.view.state
        numbers = [*self.view.annotations.marks, *(trial.number for trial in state.front()), *self._also]
        found = (state.trials.get(number) for number in dict.fromkeys(numbers))
        return [t for t in found if t is not None and t.state == "complete" and t.number != self._trial]

    def _paint_also(self) -> None:
        others = self._others()
        self._also &= {trial.number for trial in others}
        rows = []
        for trial in others:
            chosen = trial.number in self._also
            kinds = ((0, "mark"),) if chosen else ()
            rows.append(Row(trial.number, also_cells(trial, self.view, chosen), kinds=kinds))
        self.query_one("#also", LineTable).set_rows(rows)

    def _paint_steps(self) -> None:
        if not self.is_ready:
            return
        view, look, panel = self.view, self.looks, self.query_one("#steps", TextPanel)
        exports = view.exports
        job = exports.latest
        hub = bool(self.query_one("#hub", Input).value.strip())
        text = steps_text(job, view, look, panel.size.width or 60, hub)
        shown = [job] if job else []
        # Of earlier sessions only what lies on the disk.
        ended = [
            other
            for other in reversed(exports.jobs)
            if other.end is not None and other is not job and not (other.end.past and other.failed)
        ]
        text.append("\n")
        text.append_text(figures_text([*shown, *ended], view, look))
        waiting = [other for other in exports.jobs if other.waits and other is not job]
        if job is not None and job.waits:
            waiting.insert(0, job)
        if waiting:
            text.append("\n")
            text.append_text(waiting_text(waiting, view, look))
        panel.show(text)
        pane = self.query_one("#export-steps-pane", Frame)
        open_jobs = len(exports.open)
        pane.retitle("Steps" if not open_jobs else f"Steps: {counted(open_jobs, 'export')} to go")
        self.refresh_bindings()

    # The place

    def _out(self) -> Path:
        """
        Raises:
            UsageError: where what was typed cannot be a path.
        """
        return user_path(self.query_one("#out", Input).value.strip())

    def _plan(self) -> list[tuple[int, Path]]:
        """Each trial that is to be exported, and its folder.

        Raises:
            UsageError: where what was typed cannot be a path.
        """
        if self._trial is None:
            return []
        out, trial = self._out(), self._trial
        others = [(other, out.with_name(beside(out.name, trial, other))) for other in sorted(self._also)]
        return [(trial, out), *others]

    def _look_at_place(self) -> None:
        """Find out on a thread whether the folders can be made, and whether there is room."""
        if not self.is_ready:
            return
        typed = self.query_one("#out", Input).value.strip()
        if not typed:
            self._place = Place((), problem="Type a folder, or b browses.")
            self._paint_facts()
            return
        try:
            folders = tuple(folder for _, folder in self._plan())
        except UsageError as error:
            self._place = Place((), problem=str(error))
            self._paint_facts()
            return
        form = self._chosen_form()
        needed = (form.size if form else 0) * max(1, len(folders))

        def run() -> None:
            place = looked_at(folders, needed)
            self.app.call_from_thread(self._place_known, place)

        on_thread(self, run, "place")

    def _place_known(self, place: Place) -> None:
        self._place = place
        if self.is_ready:
            self._paint_facts()

    def _paint_facts(self) -> None:
        look, view, form = self.looks, self.view, self._chosen_form()
        text, place, count = Text(), self._place, max(1, len(self._place.folders))
        if form is not None and form.size:
            text.append(
                f"Needs {size_words(form.size * count)}{f' for {count} of them' if count > 1 else ''}", look.ink
            )
            if place.free is not None:
                text.append(f"; {size_words(place.free)} free", look.ink)
        problem = self._problem or place.problem or self._cannot()
        written = {Path(job.out) for job in view.exports.jobs if job.end is not None and not job.failed}
        if place.folders and place.folders[0] in written and not self._problem:
            text.append(f"\n{view.glyphs.done} It is written there. Name another folder to write it again.", look.good)
        elif problem:
            text.append(f"\n{view.glyphs.failed} {plain(problem)}", look.bad)
        elif place.free is not None:
            words = "new folder" if count == 1 else "new folders, each its own"
            text.append(f"  {view.glyphs.done} {words}", look.good)
            if view.searching:
                text.append("\nIt waits for the running trials; the search goes on afterwards.", look.dim)
        self.query_one("#export-facts", Static).update(text)

    def _cannot(self) -> str:
        """Why nothing can be exported now; empty where it can."""
        if self.view.can_ask or self.view.folder is None:
            return "" if self.view.folder is not None else self.view.no_engine
        command = f" Or from a shell: {self._command()}" if not self.view.alive else ""
        return f"{self.view.no_engine}{command}"

    # The card

    def _paint_card(self) -> None:
        trial, form = self._record, self._chosen_form()
        panel, look = self.query_one("#card", TextPanel), self.looks
        if trial is None or form is None:
            panel.show(Text("The card of the selected trial will be here.", look.dim))
            return
        self._read_own()
        job = self._exported(trial.number, form)
        record = (job.record if job else None) or expected_record(self.view, trial, form)
        pane = self.query_one("#card-pane", Frame)
        pane.retitle(f"Model card of trial {trial.number}{', as written' if job else ''}")
        if record is not None:
            panel.show(card_lines(card_text(record, self._own), look, self.view.glyphs))

    def _exported(self, trial: int, form: Form) -> ExportJob | None:
        """The latest export of a trial in this form."""
        for job in reversed(self.view.exports.jobs):
            record = job.record if job.trial == trial else None
            if record is not None and (record.kind, record.dora) == (form.kind, form.dora):
                return job
        return None

    def _read_own(self) -> None:
        folder, trial = self.view.folder, self._trial
        if folder is None or trial is None or self._own_of == (str(folder.path), trial):
            return
        self._own_of, self._own = (str(folder.path), trial), ""
        try:
            self._own = read_card_text(folder, trial)
        except UsageError as error:
            self.say(f"Your text for the card is left out: {error}", "warning")

    def action_edit_card(self) -> None:
        trial, form, folder = self._record, self._chosen_form(), self.view.folder
        record = expected_record(self.view, trial, form) if trial and form else None
        if trial is None or folder is None or record is None:
            self.say("Select a trial first: its card is edited.")
            return
        self._own_of = ("", -1)
        self._read_own()
        made, number = card_text(record), trial.number

        def done(edited: str) -> None:
            found = written(edited, made)
            if found.text == self._own:
                self.say("Your text of the card is as it was. What you write between the two marked lines is kept.")
                return
            try:
                keep_card_text(folder, number, found.text)
            except HereticError as error:
                self.say(f"Your text is not kept: {error}", "error")
                return
            moved = (
                f"; {counted(found.moved, 'line')} from elsewhere in the card now in your part" if found.moved else ""
            )
            self.say(f"Your text of the card of trial {number} is kept{moved}.")
            self._own_of = ("", -1)
            self._paint_card()

        self.ask(EditText(card_text(record, self._own, to_edit=True), f"card-of-trial-{number}.md", done))

    # Messages

    @on(LineTable.Highlighted, "#forms")
    def _form_chosen(self, message: LineTable.Highlighted) -> None:
        if message.key is not None and message.key != self._form:
            self._form = str(message.key)
            self._suggest()
            self._paint_what()
            self._paint_card()

    @on(LineTable.Selected, "#forms")
    def _form_taken(self) -> None:
        self.query_one("#out").focus()

    @on(LineTable.Selected, "#also")
    def action_take_along(self) -> None:
        table = self.query_one("#also", LineTable)
        if not table.has_focus or not isinstance(table.cursor, int):
            return
        self._also ^= {table.cursor}
        self._paint_also()
        self._look_at_place()

    @on(Input.Changed)
    def _typed(self, message: Input.Changed) -> None:
        self._problem = ""
        if message.input.id == "out":
            self._look_at_place()
        elif message.input.id == "hub":
            self._paint_steps()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.focus_next()

    # Actions

    def works(self, action: str) -> bool:
        match action:
            case "start":
                return self._record is not None and self._record.state == "complete" and self.view.can_ask
            case "edit_card":
                return self._record is not None
        return True

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "cancel_exports":
                # Where there is nothing to cancel the key is that of the line to type in.
                return bool(self.view.exports.open)
            case "take_along":
                return self.is_ready and self.query_one("#also").has_focus
            case "leave_field":
                return isinstance(self.focused, Input)
        return super().check_action(action, parameters)

    def action_leave_field(self) -> None:
        self.query_one("#forms").focus()

    def action_other_trial(self, by: int) -> None:
        state = self.view.state
        numbers = [*(t.number for t in state.front()), *self.view.annotations.marks]
        numbers = [n for n in dict.fromkeys(numbers) if n in state.trials]
        if not numbers:
            self.say("No trial is marked or on the front.")
            return
        place = numbers.index(self._trial) + by if self._trial in numbers else 0
        self.view.selected_trial = numbers[place % len(numbers)]
        self._take_trial(self.view.selected_trial)

    def action_browse(self) -> None:
        try:
            out = self._out().absolute()
        except UsageError:
            out = Path.home() / "x"

        def answered(folder: Path | None) -> None:
            if folder is not None:
                box = self.query_one("#out", Input)
                name = out.name if out.name and out.parent != Path("/") else os.path.basename(self._suggested)
                box.value = short_path(folder / (name or "export"))

        self.app.push_screen(FolderDialog(out.parent), answered)

    def action_start(self) -> None:
        trial, form = self._record, self._chosen_form()
        if trial is None or form is None or trial.state != "complete" or not self.view.can_ask:
            self._refuse(self._cannot() or "Only a complete trial can be exported.")
            return
        try:
            plan = self._plan() if self.query_one("#out", Input).value.strip() else []
        except UsageError as error:
            self._refuse(str(error))
            return
        if not plan:
            self._refuse("Type a folder, or b browses.")
            return
        taken = {Path(job.out) for job in self.view.exports.open}
        for _, folder in plan:
            if os.path.lexists(folder):
                self._refuse(f"{short_path(folder)} exists: choose another folder.")
                return
            if folder in taken:
                self._refuse(f"{short_path(folder)} is the folder of an export that is still to be made.")
                return
        hub, token = self.query_one("#hub", Input).value.strip(), self.query_one("#token", Input)
        for number, folder in plan:
            command = Export(
                trial=number,
                out=str(folder),
                kind=form.kind,
                dora=form.dora,
                hub=(beside(hub, trial.number, number) if hub and number != trial.number else hub) or None,
                private=self.query_one("#private", Checkbox).value,
                token=token.value or None,
            )
            self.view.exports.ask(command)
            self.ask(SendCommand(command))
        token.value = ""
        self._also.clear()
        waits = "; it waits for the running trials" if self.view.searching else ""
        names = f"trial {trial.number}" if len(plan) == 1 else f"{len(plan)} trials, one after another"
        self.say(f"Export of {names}{waits}. You can leave this screen meanwhile.")
        self._paint_also()
        self._paint_steps()
        if self.has_class("-narrow"):
            self.show_pane("export-steps-pane")

    def _refuse(self, problem: str) -> None:
        self._problem = problem
        self._paint_facts()
        self.say(problem, "warning")

    def action_cancel_exports(self) -> None:
        jobs = [job for job in self.view.exports.open if job.command is not None]
        if not jobs:
            self.say("Another terminal asked for this export: only there can it be cancelled.")
            return

        def answered(answer: str | None) -> None:
            for place, job in enumerate(jobs):
                if answer in ("all", str(place)) and job.command is not None and job.end is None:
                    job.cancelled = True
                    self.ask(CancelCommand(job.command))

        self.app.push_screen(ChoiceDialog(before_cancelling_exports(jobs)), answered)

    def _command(self) -> str:
        """The same export for a shell."""
        form, folder = self._chosen_form(), self.view.folder
        words = ["heretic-tui", "export", folder.name if folder else "RUN"]
        for number in (self._trial, *sorted(self._also)):
            words += ["--trial", str(number)]
        if form is not None and form.kind == "adapter":
            words += ["--as", "adapter", *(["--dora"] if form.dora else [])]
        if hub := self.query_one("#hub", Input).value.strip():
            words += ["--hub", hub, *(["--private"] if self.query_one("#private", Checkbox).value else [])]
        out = self.query_one("#out", Input).value.strip() or "FOLDER"
        # A shell knows ~ only where it is not quoted.
        out = f"~/{shlex.quote(out[2:])}" if out.startswith("~/") else shlex.quote(out)
        return f"{shlex.join(words)} {out}"

    def action_copy(self) -> None:
        self.ask(CopyText(self._command(), "command"))
