"""The part of Home that deletes runs."""

from __future__ import annotations

import shutil
from functools import partial

from heretic_tui.errors import UsageError
from heretic_tui.files import folder_size
from heretic_tui.run.folder import RunFolder
from heretic_tui.tui.questions import Question
from heretic_tui.tui.screens.dialogs import ChoiceDialog
from heretic_tui.tui.screens.home_queue import HomeQueue
from heretic_tui.tui.threads import on_thread
from heretic_tui.words import size_words


class HomeDeleting(HomeQueue):
    """A run is deleted after a question, an entry of the queue is taken out."""

    def action_delete(self) -> None:
        if entry := self.entry:
            self.ask_to_remove(entry)
            return
        glance = self.glance
        if glance is None:
            self.say("Put the cursor on a run first.")
        elif holder := glance.folder.holder():
            self.say(f"{glance.name} is running in process {holder}: it cannot be deleted.")
        else:
            folder = glance.folder
            # Thousands of files may have to be looked at.
            on_thread(
                self, lambda: self.app.call_from_thread(self._ask_to_delete, folder, folder_size(folder.path)), "size"
            )

    def _ask_to_delete(self, folder: RunFolder, size: int) -> None:
        if self.app.screen is not self:
            return
        exports = sorted(path.name for path in (folder.path / "exports").glob("*"))
        text = f"{folder.path}, {size_words(size)}\nAll its trials and responses will be deleted" + (
            f", and its exports: {', '.join(exports)}." if exports else "."
        )
        answers = ("n", "no", "no, keep it"), ("y", "delete", "delete it; this cannot be undone")

        def answered(answer: str | None) -> None:
            if answer == "delete":
                on_thread(self, partial(self._delete, folder), f"delete {folder.name}", exclusive=False)

        self.app.push_screen(ChoiceDialog(Question(f"Delete {folder.name}?", text, answers)), answered)

    def _delete(self, folder: RunFolder) -> None:
        problems: list[str] = []
        try:
            # Nobody begins to write to it meanwhile.
            folder.lock()
        except UsageError as error:
            self.say(f"{folder.name} is not deleted: {error}", "error")
            return
        try:
            shutil.rmtree(folder.path, onerror=lambda call, path, error: problems.append(f"{path}: {error[1]}"))
        finally:
            folder.unlock()
        if problems:
            self.say(f"{folder.name} is deleted in part: {problems[0]}", "error")
        self.look_soon()
