"""What is chosen on the Export screen: trials, a form and a folder for each, and the same as a command."""

from __future__ import annotations

import shlex
from pathlib import Path

from textual.widgets import Checkbox, Input

from heretic_tui.files import user_path
from heretic_tui.run.exports import beside
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.export_text import Form


class ExportChoice(ModeScreen):
    """The choice of a person.

    Attributes:
        trial: number of the trial in view.
        form: name of the chosen one of the `forms` that the model can be written in.
        also: numbers of the trials that are taken along.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trial: int | None = None
        self.forms: list[Form] = []
        self.form = "merged"
        self.also: set[int] = set()

    @property
    def record(self) -> TrialRecord | None:
        return None if self.trial is None else self.view.state.trials.get(self.trial)

    def chosen_form(self) -> Form | None:
        return next((form for form in self.forms if form.name == self.form), None)

    def out(self) -> Path:
        """
        Raises:
            UsageError: where what was typed cannot be a path.
        """
        return user_path(self.query_one("#out", Input).value.strip())

    def plan(self) -> list[tuple[int, Path]]:
        """Each trial that is to be exported, and its folder.

        Raises:
            UsageError: where what was typed cannot be a path.
        """
        if self.trial is None:
            return []
        out, trial = self.out(), self.trial
        others = [(other, out.with_name(beside(out.name, trial, other))) for other in sorted(self.also)]
        return [(trial, out), *others]

    def command(self) -> str:
        """The same export for a shell."""
        form, folder = self.chosen_form(), self.view.folder
        words = ["heretic-tui", "export", folder.name if folder else "RUN"]
        for number in (self.trial, *sorted(self.also)):
            words += ["--trial", str(number)]
        if form is not None and form.kind == "adapter":
            words += ["--as", "adapter", *(["--dora"] if form.dora else [])]
        if form is not None and form.requantize:
            words.append("--requantize")
        if hub := self.query_one("#hub", Input).value.strip():
            words += ["--hub", hub, *(["--private"] if self.query_one("#private", Checkbox).value else [])]
        out = self.query_one("#out", Input).value.strip() or "FOLDER"
        # A shell knows ~ only where it is not quoted.
        out = f"~/{shlex.quote(out[2:])}" if out.startswith("~/") else shlex.quote(out)
        return f"{shlex.join(words)} {out}"
