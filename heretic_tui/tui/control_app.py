"""The part of the application that controls the run in view: pause, stop, abort, more trials, and who has control."""

from __future__ import annotations

from heretic_tui.commands import MoreTrials
from heretic_tui.errors import HereticError
from heretic_tui.tui import messages, questions
from heretic_tui.tui.announcements import told_of_control
from heretic_tui.tui.host import Host
from heretic_tui.tui.runs_app import RunsApp
from heretic_tui.tui.screens.dialogs import more_trials_dialog


class ControlApp(RunsApp):
    """Asks the engine of the run in view, and tells who controls it."""

    def tell_control(self) -> None:
        """Tell who controls the run, where that changed."""
        host = self.view.host
        for news in host.take_news() if host else ():
            if news.kind == "held":
                self._ask_to_take_over(news.text)
            else:
                self.say(*told_of_control(news))
            if news.kind == "ended":
                self.view.end_answers("the connection to the run's process has ended")
            self.paint_everything()
            self.refresh_bindings()

    def action_pause(self) -> None:
        if self.view.control and self.view.alive:
            if not self.view.control.pause():
                self.say("Nothing runs: there is nothing to pause.")
            self.tick()

    def action_go_on(self) -> None:
        if self.view.control:
            self.view.control.resume()
        self.tick()

    def action_stop(self) -> None:
        """Stop after this trial."""
        control = self.view.control if self.view.alive else None
        if control is None or not control.stop_after_trial():
            self.say("Nothing runs: there is nothing to stop.")
        elif control.in_trial:
            self.say("The search stops after this trial; + goes on with it.")
        else:
            self.say("No trial runs yet: it stops when the model is ready; X ends it now.")
        self.tick()

    def action_abort(self) -> None:
        question = questions.before_aborting(self.view)
        if question is None:
            self.say("Nothing runs: there is nothing to abort.")
            return

        def answered(answer: str | None) -> None:
            control = self.view.control if self.view.alive else None
            if answer == "abort" and (control is None or not control.abort()):
                self.say("Nothing runs any more: there was nothing to abort.")

        self.ask_person(question, answered)

    def action_more(self) -> None:
        """Ask for the number of trials; the search goes on up to it."""
        view, state = self.view, self.view.state

        def answered(number: str | None) -> None:
            if number and view.control:
                view.control.send(MoreTrials(int(number)))

        if view.can_ask:
            self.push_screen(more_trials_dialog(state.finished, state.n_trials), answered)

    def action_take_control(self) -> None:
        """Control the run in view from here."""
        host = self.view.host
        if host is None or not self.view.alive or host.control:
            return
        if not host.attached and host.folder:
            self.post_message(messages.AttachRun(host.folder))
        elif host.controller:
            self._ask_to_take_over(host.controller)
        else:
            self._take_control(host)

    def _ask_to_take_over(self, controller: str) -> None:
        host = self.view.host

        def answered(answer: str | None) -> None:
            if host and answer == "over":
                self._take_control(host)

        self.ask_person(questions.before_taking_over(controller), answered)

    def _take_control(self, host: Host) -> None:
        try:
            host.take_control(over=True)
        except HereticError as error:
            self.say(str(error), "error")
