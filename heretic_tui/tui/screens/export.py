"""Export: what a trial is written as and where, the steps of the exports, the figures of the files, the model card."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Checkbox, Input, Label, Static

from heretic_tui.commands import Export
from heretic_tui.errors import UsageError
from heretic_tui.files import short_path
from heretic_tui.run.exports import beside
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.tui.messages import CancelCommand, CopyText, SendCommand
from heretic_tui.tui.model_files import path_completions
from heretic_tui.tui.questions import before_cancelling_exports
from heretic_tui.tui.screens.base import touched
from heretic_tui.tui.screens.dialogs import ChoiceDialog
from heretic_tui.tui.screens.export_own_card import ExportCard
from heretic_tui.tui.screens.export_place import token_words
from heretic_tui.tui.screens.export_text import (
    also_cells,
    figures_text,
    forms,
    not_for_export,
    steps_text,
    trial_words,
    waiting_text,
)
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.line_table import Column, LineTable, Row
from heretic_tui.tui.widgets.path_input import PathInput
from heretic_tui.tui.widgets.quiet_input import QuietInput
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import counted, size_words

_TRIALS = ("trial_finished", "baseline_measured", "coverage", "model_loaded", "run_opened", "annotated")
_EXPORTS = ("export_started", "export_step", "export_finished", "progress", "state_changed", "run_opened")


class ExportScreen(ExportCard):
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
        if touched(kinds, *_TRIALS) or self.trial != self.view.selected_trial:
            self._take_trial(self.view.selected_trial)
        if touched(kinds, *_EXPORTS):
            self._paint_steps()
        if touched(kinds, "export_finished"):
            self.paint_card()
            # What was free there is written now.
            self.look_at_place()

    def on_screen_resume(self) -> None:
        # Another process may have written it.
        self.forget_own_text()
        super().on_screen_resume()

    def ticked(self) -> None:
        # Seconds of a step that tells no progress.
        if (job := self.view.exports.in_hand) and job.progress is None:
            self._paint_steps()

    def _take_trial(self, number: int | None) -> None:
        """Show this trial."""
        if number != self.trial:
            self.trial = number
            self.also.discard(-1 if number is None else number)
            self.problem = ""
        self.forms = forms(self.view.state, self.record) if self.view.state.opened else []
        if self.forms and self.form not in {form.name for form in self.forms}:
            self.form = self.forms[0].name
        self.suggest()
        self._paint_what()
        self.paint_card()

    def _paint_what(self) -> None:
        look, glyphs, view = self.looks, self.view.glyphs, self.view
        self.query_one("#export-trial", Static).update(trial_words(self.record, view, look))
        rows = []
        for form in self.forms:
            mark = f"({glyphs.changed if form.name == self.form else ' '}) {form.title}"
            # Of a quantised source a merged model is smaller by what is not edited.
            about = form.kind == "adapter" or (form.name == "merged" and any(other.requantize for other in self.forms))
            size = f"{glyphs.about if about else ''}{size_words(form.size)}" if form.size else "?"
            kinds = ((1, {"exact": "good", "approximate": "busy"}.get(form.short, "dim")),)
            rows.append(Row(form.name, (mark, form.short, size), kinds=kinds))
        table = self.query_one("#forms", LineTable)
        table.set_class(len(rows) > 3, "-four")
        table.set_rows(rows)
        table.go_to(self.form)
        chosen = self.chosen_form()
        self.query_one("#form-words", Static).update(Text(chosen.words if chosen else "", look.dim))
        self._paint_also()
        self.paint_facts()
        self.look_at_place()
        self.look_at_adapter()

    def _others(self) -> list[TrialRecord]:
        """Trials that can be taken along: those on the front and marked ones, but for the one in view."""
        state = self.view.state
        numbers = [*self.view.annotations.marks, *(trial.number for trial in state.front()), *self.also]
        found = (state.trials.get(number) for number in dict.fromkeys(numbers))
        return [t for t in found if t is not None and t.state == "complete" and t.number != self.trial]

    def _paint_also(self) -> None:
        others = self._others()
        self.also &= {trial.number for trial in others}
        rows = []
        for trial in others:
            chosen = trial.number in self.also
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
        text = steps_text(job, view, look, (panel.size.width or 60) - 1, hub)
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

    # Messages

    @on(LineTable.Highlighted, "#forms")
    def _form_chosen(self, message: LineTable.Highlighted) -> None:
        if message.key is not None and message.key != self.form:
            self.form = str(message.key)
            self.suggest()
            self._paint_what()
            self.paint_card()

    @on(LineTable.Selected, "#forms")
    def _form_taken(self) -> None:
        self.query_one("#out").focus()

    @on(LineTable.Selected, "#also")
    def action_take_along(self) -> None:
        table = self.query_one("#also", LineTable)
        if not table.has_focus or not isinstance(table.cursor, int):
            return
        self.also ^= {table.cursor}
        self._paint_also()
        self.look_at_place()

    @on(Input.Changed)
    def _typed(self, message: Input.Changed) -> None:
        self.problem = ""
        if message.input.id == "out":
            self.look_at_place()
        elif message.input.id == "hub":
            self._paint_steps()

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.focus_next()

    # Actions

    def works(self, action: str) -> bool:
        match action:
            case "start":
                return self.record is not None and self.record.state == "complete" and self.view.can_ask
            case "edit_card":
                return self.record is not None
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
        place = numbers.index(self.trial) + by if self.trial in numbers else 0
        self.view.selected_trial = numbers[place % len(numbers)]
        self._take_trial(self.view.selected_trial)

    def action_start(self) -> None:
        trial, form = self.record, self.chosen_form()
        if trial is None or form is None or trial.state != "complete" or not self.view.can_ask:
            screened = trial is not None and trial.state == "screened"
            whole = f"It was screened, not decoded: {not_for_export(self.view.state.behaviour)}." if screened else ""
            self.refuse(self.cannot() or whole or "Only a complete trial can be exported.")
            return
        if why := self.adapter_refused():
            self.refuse(why)
            return
        try:
            plan = self.plan() if self.query_one("#out", Input).value.strip() else []
        except UsageError as error:
            self.refuse(str(error))
            return
        if not plan:
            self.refuse("Type a folder, or b browses.")
            return
        taken = {Path(job.out) for job in self.view.exports.open}
        for _, folder in plan:
            if os.path.lexists(folder):
                self.refuse(f"{short_path(folder)} exists: choose another folder.")
                return
            if folder in taken:
                self.refuse(f"{short_path(folder)} is the folder of an export that is still to be made.")
                return
        hub, token = self.query_one("#hub", Input).value.strip(), self.query_one("#token", Input)
        for number, folder in plan:
            command = Export(
                trial=number,
                out=str(folder),
                kind=form.kind,
                dora=form.dora,
                requantize=form.requantize,
                hub=(beside(hub, trial.number, number) if hub and number != trial.number else hub) or None,
                private=self.query_one("#private", Checkbox).value,
                token=token.value or None,
            )
            self.view.exports.ask(command)
            self.ask(SendCommand(command))
        token.value = ""
        self.also.clear()
        waits = "; it waits for the running trials" if self.view.searching else ""
        names = f"trial {trial.number}" if len(plan) == 1 else f"{len(plan)} trials, one after another"
        self.say(f"Export of {names}{waits}. You can leave this screen meanwhile.")
        self._paint_also()
        self._paint_steps()
        if self.has_class("-narrow"):
            self.show_pane("export-steps-pane")

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

    def action_copy(self) -> None:
        self.ask(CopyText(self.command(), "command"))
