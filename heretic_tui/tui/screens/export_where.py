"""The part of the Export screen that suggests folders, browses for one, and says whether it can be written."""

from __future__ import annotations

import os
from pathlib import Path

from rich.text import Text
from textual.widgets import Input, Static

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import short_path
from heretic_tui.run.rounds import parameters_before
from heretic_tui.tui.exports import default_folder
from heretic_tui.tui.run_preview import adapter_refused
from heretic_tui.tui.screens.export_choice import ExportChoice
from heretic_tui.tui.screens.export_place import Place, looked_at
from heretic_tui.tui.screens.folder_dialog import FolderDialog
from heretic_tui.tui.threads import on_thread
from heretic_tui.words import plain, size_words


class ExportWhere(ExportChoice):
    """The folder of the export.

    Attributes:
        problem: why the last try to start was refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self.problem = ""
        # The folder that was suggested: as long as it stands there, another is suggested with the trial and the form.
        self._suggested = ""
        self._place = Place(())
        # By the run and the trial, why PEFT takes no adapter of it, once that was found out; empty where it does.
        self._refused: dict[tuple[Path, int], str] = {}

    def suggest(self) -> None:
        """The usual folder for the trial and the form, unless another was typed."""
        box, form, folder = self.query_one("#out", Input), self.chosen_form(), self.view.folder
        if form is None or folder is None or self.trial is None:
            return
        suggested = short_path(default_folder(folder.path, self.trial, form.name))
        if box.value in ("", self._suggested):
            box.value = suggested
        elif self._suggested:
            # One that was chosen by browsing keeps its place.
            before, now = os.path.basename(self._suggested), os.path.basename(suggested)
            if os.path.basename(box.value) == before:
                box.value = os.path.join(os.path.dirname(box.value), now)
        self._suggested = suggested

    def look_at_place(self) -> None:
        """Find out on a thread whether the folders can be made, and whether there is room."""
        if not self.is_ready:
            return
        typed = self.query_one("#out", Input).value.strip()
        if not typed:
            self._place = Place((), problem="Type a folder, or b browses.")
            self.paint_facts()
            return
        try:
            folders = tuple(folder for _, folder in self.plan())
        except UsageError as error:
            self._place = Place((), problem=str(error))
            self.paint_facts()
            return
        if not folders:
            # No trial is selected: nothing would be written.
            self._place = Place(())
            self.paint_facts()
            return
        form = self.chosen_form()
        needed = (form.size if form else 0) * max(1, len(folders))

        def run() -> None:
            place = looked_at(folders, needed)
            self.app.call_from_thread(self._place_known, place)

        on_thread(self, run, "place")

    def look_at_adapter(self) -> None:
        """Where an adapter is chosen, find out on a thread whether PEFT takes one of the trial."""
        view, form, trial = self.view, self.chosen_form(), self.record
        folder, opened = view.folder, view.state.opened
        if form is None or form.kind != "adapter" or not view.can_ask or folder is None or opened is None:
            return
        if trial is None or (edit := trial.parameters) is None or (folder.path, trial.number) in self._refused:
            return
        key, own = (folder.path, trial.number), view.host.settings if view.host else None

        def run() -> None:
            try:
                why = adapter_refused(opened.settings, own, [*parameters_before(folder), edit])
            except HereticError:
                # The export says what it is.
                why = ""
            self.app.call_from_thread(known, why)

        def known(why: str) -> None:
            self._refused[key] = why
            if why and self.is_ready:
                self.paint_facts()

        on_thread(self, run, "adapter")

    def adapter_refused(self) -> str:
        """Why the adapter that is chosen cannot be written; empty where that is not known, or it can."""
        form, folder = self.chosen_form(), self.view.folder
        if form is None or form.kind != "adapter" or folder is None or self.trial is None:
            return ""
        return self._refused.get((folder.path, self.trial), "")

    def _place_known(self, place: Place) -> None:
        self._place = place
        if self.is_ready:
            self.paint_facts()

    def paint_facts(self) -> None:
        look, view, form = self.looks, self.view, self.chosen_form()
        text, place, count = Text(), self._place, max(1, len(self._place.folders))
        if form is not None and form.size:
            text.append(
                f"Needs {size_words(form.size * count)}{f' for {count} of them' if count > 1 else ''}", look.ink
            )
            if place.free is not None:
                text.append(f"; {size_words(place.free)} free", look.ink)
        problem = self.problem or place.problem or self.adapter_refused() or self.cannot()
        written = {Path(job.out) for job in view.exports.jobs if job.end is not None and not job.failed}
        if place.folders and place.folders[0] in written and not self.problem:
            text.append(f"\n{view.glyphs.done} It is written there. Name another folder to write it again.", look.good)
        elif problem:
            text.append(f"\n{view.glyphs.failed} {plain(problem)}", look.bad)
        elif place.free is not None:
            words = "new folder" if count == 1 else "new folders, each its own"
            text.append(f"  {view.glyphs.done} {words}", look.good)
            if view.searching:
                text.append("\nIt waits for the running trials; the search goes on afterwards.", look.dim)
        self.query_one("#export-facts", Static).update(text)

    def cannot(self) -> str:
        """Why nothing can be exported now; empty where it can."""
        if self.view.can_ask or self.view.folder is None:
            return "" if self.view.folder is not None else self.view.no_engine
        command = f" Or from a shell: {self.command()}" if not self.view.alive else ""
        return f"{self.view.no_engine}{command}"

    def action_browse(self) -> None:
        try:
            out = self.out().absolute()
        except UsageError:
            out = Path.home() / "x"

        def answered(folder: Path | None) -> None:
            if folder is not None:
                box = self.query_one("#out", Input)
                name = out.name if out.name and out.parent != Path("/") else os.path.basename(self._suggested)
                box.value = short_path(folder / (name or "export"))

        self.app.push_screen(FolderDialog(out.parent), answered)

    def refuse(self, problem: str) -> None:
        self.problem = problem
        self.paint_facts()
        self.say(problem, "warning")
