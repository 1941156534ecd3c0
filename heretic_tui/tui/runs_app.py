"""The part of the application that has the runs: which are open, which is in view, and how one is begun or shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual import on

from heretic_tui.errors import HereticError
from heretic_tui.run.folder import RunFolder
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.interface import Interface
from heretic_tui.settings.schema import Settings
from heretic_tui.tui import messages, questions
from heretic_tui.tui.host import Host
from heretic_tui.tui.open_runs import OpenRuns
from heretic_tui.tui.other_process import AttachHost, FollowHost
from heretic_tui.tui.questions import Question
from heretic_tui.tui.run_view import RunView
from heretic_tui.tui.screens.base import Dialog
from heretic_tui.tui.screens.dialogs import ChoiceDialog
from heretic_tui.tui.second_round import second_round
from heretic_tui.tui.serving_app import ServingApp
from heretic_tui.tui.threads import on_thread

# Seconds between two looks at what came.
TICK = 0.25


class RunsApp(ServingApp):
    """Shows one run at a time.

    Attributes:
        runs: the run in view, and one that is at work here while another is looked at.
    """

    def __init__(
        self,
        form: SettingsForm | None,
        new_host: Callable[[Settings], Host],
        interface: Interface,
        timed: bool,
        **options: Any,
    ) -> None:
        super().__init__(interface, **options)
        self.form = form
        self.runs = OpenRuns(lambda host: RunView(host, self.glyphs, timed))
        self.new_host = new_host

    def tick(self) -> None:
        """Fold what came, and let the visible screen paint it."""
        raise NotImplementedError

    def ask_person(self, question: Question, answered: Callable[[str | None], None]) -> None:
        """Ask the person; None is answered where the question was left."""
        self.push_screen(ChoiceDialog(question), answered)

    def paint_everything(self) -> None:
        """Let each screen paint all of itself when it is in view next."""
        raise NotImplementedError

    @property
    def view(self) -> RunView:
        """The run in view, which the screens read."""
        return self.runs.view

    @property
    def at_work(self) -> Host | None:
        """The run whose engine is at work in this process, whether it is the one in view or not."""
        return self.runs.at_work

    def start(self, settings: Settings) -> None:
        """Begin or go on with the run of these settings."""
        self.show_run(self.new_host(settings))

    def show_run(self, host: Host) -> None:
        """Show a run from its first event on."""
        self.close_dialogs()
        # What was said of another run.
        self.told = None
        self.runs.show(host)
        self.show_trials()

    def close_dialogs(self) -> None:
        """A dialog asks about the run that was in view: its answer must not reach another."""
        while isinstance(self.screen, Dialog):
            self.pop_screen()

    def come_back(self) -> None:
        """Show the run again that was left to look at another; what happened since is told now."""
        if self.runs.come_back():
            self.paint_everything()
            self.tick()

    def show_trials(self) -> None:
        self.paint_everything()
        self.switch_mode("trials")

    @on(messages.StartRun)
    def _start_run(self, message: messages.StartRun) -> None:
        host, settings = self.at_work, message.settings
        if host is None:
            self.start(settings)
            return
        if host.controller:
            self.say(f"{host.controller} controls the run that is open here: show it, and T takes control.", "warning")
            return

        def answered(answer: str | None) -> None:
            if answer == "end" and host.control:
                host.control.close()
                host.control.abort()
                self.say("The run is being ended; what you asked for begins when it has.")
                self._begin_after(host, settings)
            elif answer == "queue":
                self.post_message(messages.QueueRun(settings))

        name = host.folder.name if host.folder else "it"
        self.ask_person(questions.before_replacing(name), answered)

    def _begin_after(self, host: Host, settings: Settings) -> None:
        def look() -> None:
            if not host.alive:
                timer.stop()
                # Another run may have begun meanwhile: then the user is asked again.
                self.post_message(messages.StartRun(settings))

        timer = self.set_interval(TICK, look)

    @on(messages.SearchOnTop)
    def _search_on_top(self, message: messages.SearchOnTop) -> None:
        folder, form, trial = self.view.folder, self.form, message.trial
        if folder is None:
            return
        if form is None:
            self.say(
                f"This terminal only shows a run: heretic-tui open --from {folder.name} --trial {trial} sets it up."
            )
            return
        own = form.settings

        def work() -> None:
            try:
                found = second_round(folder, trial, own)
            except HereticError as error:
                self.post_message(messages.Say(f"Nothing can be searched on top of trial {trial}: {error}", "error"))
            else:
                self.call_from_thread(set_up, found)

        def set_up(found: dict[str, object]) -> None:
            try:
                form.begin_with(f"the second round on top of trial {trial} of {folder.name}", found)
            except HereticError as error:
                self.say(str(error), "error")
                return
            self.switch_mode("setup")
            self.say(f"A second round on top of trial {trial}: ctrl+s starts it, u brings the settings before back.")

        on_thread(self.screen, work, "second round")

    @on(messages.ShowRun)
    def _show_run(self, message: messages.ShowRun) -> None:
        self.close_dialogs()
        if not self._return_to(message.folder):
            self._look_at(FollowHost(message.folder))

    @on(messages.AttachRun)
    def _attach_run(self, message: messages.AttachRun) -> None:
        self.close_dialogs()
        if self._return_to(message.folder):
            return
        try:
            self._look_at(AttachHost(message.folder))
        except HereticError as error:
            self.say(str(error), "error")

    def _return_to(self, folder: RunFolder) -> bool:
        """Show a run that is open, whether in view or left. Returns whether it is."""
        if found := self.runs.return_to(folder):
            self.show_trials()
            self.tick()
        return found

    def _look_at(self, host: FollowHost | AttachHost) -> None:
        self.told = None
        if left := self.runs.look_at(host):
            name = left.folder.name if left.folder else "The run"
            self.say(f"{name} goes on meanwhile: enter on it among the runs (0) shows it again.")
        self.show_trials()
