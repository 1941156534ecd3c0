"""The part of Home that changes the queue."""

from __future__ import annotations

import time
from collections.abc import Callable

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.run.queue import Entry, QueueFile, kept_free, stop_time
from heretic_tui.settings.form import command_line
from heretic_tui.settings.record import from_record
from heretic_tui.tui.messages import QueueRun, WorkQueue
from heretic_tui.tui.questions import Choice, Question
from heretic_tui.tui.screens.dialogs import ChoiceDialog, LineDialog
from heretic_tui.tui.screens.home_base import HomeBase
from heretic_tui.tui.screens.home_text import limits
from heretic_tui.words import counted, plain


class HomeQueue(HomeBase):
    """Runs that start one after another: their order, their limits, and who works them off."""

    def ask_to_remove(self, entry: Entry) -> None:
        def answered(answer: str | None) -> None:
            if answer == "remove":
                self.change_queue(lambda file: file.remove(entry.id))

        text = f"{entry.model}\nIts settings are lost; what its run has done so far stays."
        answers = ("n", "no", "no, keep it"), ("y", "remove", "take it out of the queue")
        self.app.push_screen(ChoiceDialog(Question("Take it out of the queue?", text, answers)), answered)

    def action_move_entry(self, by: int) -> None:
        if entry := self.entry:
            self.change_queue(lambda file: file.move(entry.id, by))
        else:
            self.say("J and K move a run of the queue: put the cursor on one.")

    def change_queue(self, change: Callable[[QueueFile], object]) -> None:
        file = QueueFile(self.runs_dir)
        try:
            change(file)
            self.queue = file.read()
        except HereticError as error:
            self.say(str(error), "error")
            return
        self.show_changes()

    def command(self, entry: Entry) -> str:
        """The command that does what an entry does, or what is wrong with its settings."""
        try:
            return command_line(from_record(entry.settings, self.form.settings, "the queue"))
        except HereticError as error:
            return str(error)

    def action_queue(self) -> None:
        """All that can be done with the queue, as one question."""
        entry, glance, queue = self.entry, self.glance, self.queue
        answers: list[Choice] = []
        if glance and not glance.at_work and glance.word != "damaged":
            answers.append(("a", "add", f"add {plain(glance.model)}: it goes on where it stopped"))
        if entry and entry.problem:
            answers.append(("t", "retry", "try it again"))
        if entry:
            answers.append(("r", "remove", "take it out of the queue"))
        if queue.waiting and self.worker is None:
            answers.append(("s", "start", "start the queue in this terminal"))
        answers += [
            ("u", "until", "a time after which no run starts"),
            ("f", "free", "disk space that is to stay free"),
            ("c", "close", "close"),
        ]
        by = f"Process {self.worker} works it off." if self.worker else "Nobody works it off now."
        waits = counted(len(queue.waiting), "run") if queue.waiting else "No run"
        text = "\n".join([f"{waits} in the queue. {by}", *limits(queue, time.time())])
        self.app.push_screen(ChoiceDialog(Question("Queue", text, tuple(answers))), self._queue_answered)

    def _queue_answered(self, answer: str | None) -> None:
        entry = self.entry
        match answer:
            case "add" if (settings := self.resumed()) is not None:
                self.ask(QueueRun(settings))
                self.look_soon()
            case "retry" if entry:
                self.change_queue(lambda file: file.retry(entry.id))
            case "remove" if entry:
                self.ask_to_remove(entry)
            case "start":
                self.ask(WorkQueue())
            case "until":
                self._ask_until()
            case "free":
                self._ask_free()

    def _ask_until(self) -> None:
        def answered(text: str | None) -> None:
            if text is not None:
                self.change_queue(lambda file: file.limit(stop_at=stop_time(text, time.time())))

        check = _checked(lambda text: stop_time(text, time.time()))
        dialog = LineDialog("No run starts after", "", "HH:MM, a date, both, or never", check)
        self.app.push_screen(dialog, answered)

    def _ask_free(self) -> None:
        def answered(text: str | None) -> None:
            if text is not None:
                self.change_queue(lambda file: file.limit(keep_free=kept_free(text)))

        title = "GB that are to stay free on the disk of the runs"
        self.app.push_screen(LineDialog(title, "", "0: no limit", _checked(kept_free)), answered)


def _checked(read: Callable[[str], object]) -> Callable[[str], str | None]:
    """What is wrong with a text, None where nothing is."""

    def check(text: str) -> str | None:
        try:
            read(text)
        except UsageError as error:
            return str(error)
        return None

    return check
