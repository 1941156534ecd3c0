"""The part of the Export screen that shows the model card, and lets a person write a text of their own into it."""

from __future__ import annotations

from rich.text import Text

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.report.model_card import card_text
from heretic_tui.run.card_text import keep_card_text, read_card_text, written
from heretic_tui.tui.exports import ExportJob
from heretic_tui.tui.messages import EditText
from heretic_tui.tui.screens.export_card import expected_record
from heretic_tui.tui.screens.export_text import Form, card_lines
from heretic_tui.tui.screens.export_where import ExportWhere
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import counted


class ExportCard(ExportWhere):
    """The card of the trial in view, with the text that is kept for it in the run folder."""

    def __init__(self) -> None:
        super().__init__()
        # Of which trial and run the card's own text was read.
        self._own, self._own_of = "", ("", -1)

    def forget_own_text(self) -> None:
        """Read the text again when it is shown next."""
        self._own_of = ("", -1)

    def paint_card(self) -> None:
        trial, form = self.record, self.chosen_form()
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
            if record is not None and (record.kind, record.dora, record.requantized) == (
                form.kind,
                form.dora,
                form.requantize,
            ):
                return job
        return None

    def _read_own(self) -> None:
        folder, trial = self.view.folder, self.trial
        if folder is None or trial is None or self._own_of == (str(folder.path), trial):
            return
        self._own_of, self._own = (str(folder.path), trial), ""
        try:
            self._own = read_card_text(folder, trial)
        except UsageError as error:
            self.say(f"Your text for the card is left out: {error}", "warning")

    def action_edit_card(self) -> None:
        trial, form, folder = self.record, self.chosen_form(), self.view.folder
        record = expected_record(self.view, trial, form) if trial and form else None
        if trial is None or folder is None or record is None:
            self.say("Select a trial first: its card is edited.")
            return
        self.forget_own_text()
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
            self.forget_own_text()
            self.paint_card()

        self.ask(EditText(card_text(record, self._own, to_edit=True), f"card-of-trial-{number}.md", done))
