"""The application: its screens over one run, the tick that feeds them, and how to leave."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from textual import events, on
from textual.app import SystemCommand
from textual.binding import Binding
from textual.geometry import Size
from textual.screen import Screen

from heretic_tui import events as ev
from heretic_tui.calls import Calls
from heretic_tui.commands import MoreTrials
from heretic_tui.errors import HereticError
from heretic_tui.files import user_path
from heretic_tui.report.notify import Notifier
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.queue import QueueFile
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.interface import Interface
from heretic_tui.settings.local_files import check_local_files, with_whole_paths
from heretic_tui.settings.record import to_record
from heretic_tui.settings.schema import Settings
from heretic_tui.tui import clipboard, messages, questions
from heretic_tui.tui.announcements import announcement, told_of_control
from heretic_tui.tui.editor import edit_on_terminal
from heretic_tui.tui.help import help_text, palette_commands
from heretic_tui.tui.host import Host, ThreadHost
from heretic_tui.tui.keys import named
from heretic_tui.tui.modes import Mode
from heretic_tui.tui.open_runs import OpenRuns
from heretic_tui.tui.other_process import AttachHost, FollowHost
from heretic_tui.tui.questions import Question
from heretic_tui.tui.queue_worker import PATIENCE, QueueWorker
from heretic_tui.tui.run_view import EVERYTHING, RunView
from heretic_tui.tui.screens.base import Dialog, ModeScreen, RunScreen
from heretic_tui.tui.screens.chat import ChatScreen
from heretic_tui.tui.screens.dialogs import ChoiceDialog, TextDialog, more_trials_dialog
from heretic_tui.tui.screens.export import ExportScreen
from heretic_tui.tui.screens.home import HomeScreen
from heretic_tui.tui.screens.layers import LayersScreen
from heretic_tui.tui.screens.log import LogScreen
from heretic_tui.tui.screens.setup import SetupScreen
from heretic_tui.tui.screens.tiny import TinyScreen
from heretic_tui.tui.screens.trials import TrialsScreen
from heretic_tui.tui.themed_app import ThemedApp
from heretic_tui.tui.threads import on_thread

TICK = 0.25
# While an answer streams onto the chat.
STREAM_TICK = 0.1
QUEUE_TICK = 2.0
_SMALLEST = (60, 16)
# Key, name and title of each screen, as they stand in the line at the top.
_MODES = (
    ("0", "home", "Runs"),
    ("1", "setup", "Setup"),
    ("2", "layers", "Layers"),
    ("3", "trials", "Trials"),
    ("4", "chat", "Chat"),
    ("5", "export", "Export"),
    ("6", "log", "Log"),
)


def stylesheet() -> Path:
    """heretic.tcss: beside this package in an installation, at the root of the repository in a checkout."""
    inside = Path(__file__).parent / "heretic.tcss"
    return inside if inside.is_file() else Path(__file__).parents[2] / "heretic.tcss"


class HereticApp(ThemedApp):
    """Shows one run at a time.

    Returns (from `run`): closed, or detach when the run is to go on without the screen.

    Args:
        form: the settings that Setup begins with; None while following.
        new_host: makes a host of settings; tests give one with a script.
        host: a run to show at once.
        opens: the screen in view at first, where there is a form.
        interface: theme, keys and the like.
        notifier: calls the person at this terminal, which is the application's to write to while it runs.
        on_ready: called when the terminal is in the application's hands.
        timed: whether what depends on the clock is shown; not in pictures that are compared.
        strict: whether the failure of a handler ends the application; for tests.
    """

    TITLE = "heretic-tui"
    ENABLE_COMMAND_PALETTE = True
    DEFAULT_MODE = "setup"
    BINDINGS = named(
        "app",
        [
            *(Binding(key, f"mode('{name}')", title, tooltip=f"the screen {title}") for key, name, title in _MODES),
            Binding("left_square_bracket", "step_mode(-1)", "Screen before", show=False),
            Binding("right_square_bracket", "step_mode(1)", "Screen after", show=False),
            Binding("p", "pause", "Pause", tooltip="pause the run; p again goes on"),
            Binding("p", "go_on", "Resume", tooltip="go on with the run"),
            Binding("S", "stop", "Stop after trial", show=False, tooltip="stop the search after this trial"),
            Binding("X", "abort", "Abort now", show=False, tooltip="drop the running trials; they are redone later"),
            Binding("plus", "more", "More trials", show=False, tooltip="set the total number of trials"),
            Binding("T", "take_control", "Take control", tooltip="control the run from here; others only watch then"),
            Binding("question_mark", "help", "Help", key_display="?"),
            # Before a line that is typed in.
            Binding("f1", "help", "Help", id="app.help-anywhere", key_display="F1", priority=True),
            Binding("q", "quit", "Quit"),
            Binding("ctrl+q", "quit", "Quit", id="app.quit-anywhere"),
            Binding("ctrl+c", "quit", "Quit", id="app.interrupt", show=False, priority=True),
        ],
    )

    def __init__(
        self,
        form: SettingsForm | None,
        new_host: Callable[[Settings], Host],
        host: Host | None = None,
        *,
        opens: str = "setup",
        interface: Interface = Interface(),  # noqa: B008 - frozen
        on_ready: Callable[[], None] = lambda: None,
        notifier: Notifier | None = None,
        timed: bool = True,
        strict: bool = False,
    ) -> None:
        # Where a run of another process is watched there is nothing to set up. (Read by Textual's own initialisation.)
        self.DEFAULT_MODE = "trials" if form is None else opens  # type: ignore[misc]
        super().__init__(interface, css_path=stylesheet(), strict=strict)
        self.form = form
        self._runs = OpenRuns(lambda host: RunView(host, self.glyphs, timed))
        self._new_host = new_host
        self._first_host = host
        self._on_ready = on_ready
        self._notifier = notifier or Notifier(Calls())
        self._notifier.to_terminal = self.steer_terminal
        self._notifier.problem = self._tell_from_thread
        makers: dict[str, Callable[[], Screen[None]]] = {
            "layers": LayersScreen, "trials": TrialsScreen, "chat": ChatScreen, "export": ExportScreen,
            "log": LogScreen,
        }  # fmt: skip
        if form is not None:
            makers["setup"] = partial(SetupScreen, form)
            makers["home"] = partial(HomeScreen, form, self._notifier.calls)
        self.modes = [Mode(key, name, title, makers[name]) for key, name, title in _MODES if name in makers]
        for mode in self.modes:
            self.add_mode(mode.name, mode.make)
        self._queue = QueueWorker(self, self.say, self._notifier.tell)
        self._queue_looks = False
        # By mode, the kinds of events that its screen has not painted yet.
        self._unpainted: dict[str, set[str]] = {mode.name: set() for mode in self.modes}

    def on_mount(self) -> None:
        self.set_interval(TICK, self.tick)
        self.set_interval(STREAM_TICK, self._stream_tick)
        self.set_interval(QUEUE_TICK, self._look_at_queue)
        self._on_ready()
        if self._first_host:
            self.show_run(self._first_host)
            self._first_host = None
        if os.environ.get("SSH_CONNECTION") and not (os.environ.get("TMUX") or os.environ.get("STY")):
            self.say("Not in tmux: if the link drops, the run goes on, and `heretic-tui follow` shows it.")

    def restyled(self) -> None:
        self._paint_everything()
        if isinstance(self.screen, ModeScreen):
            self.call_after_refresh(self.screen.careful(self.screen.paint_all))

    # The run

    @property
    def view(self) -> RunView:
        """The run in view, which the screens read."""
        return self._runs.view

    @property
    def at_work(self) -> Host | None:
        """The run whose engine is at work in this process, whether it is the one in view or not."""
        return self._runs.at_work

    def start(self, settings: Settings) -> None:
        """Begin or go on with the run of these settings."""
        self.show_run(self._new_host(settings))

    def show_run(self, host: Host) -> None:
        """Show a run from its first event on."""
        self._close_dialogs()
        self._runs.show(host)
        self._show_trials()

    def _close_dialogs(self) -> None:
        """A dialog asks about the run that was in view: its answer must not reach another."""
        while isinstance(self.screen, Dialog):
            self.pop_screen()

    def come_back(self) -> None:
        """Show the run again that was left to look at another; what happened since is told now."""
        if self._runs.come_back():
            self._paint_everything()
            self.tick()

    def _show_trials(self) -> None:
        self._paint_everything()
        self.switch_mode("trials")

    def _paint_everything(self) -> None:
        for kinds in self._unpainted.values():
            kinds.add(EVERYTHING)

    # The tick

    def tick(self) -> None:
        """Fold what came, tell people what matters, and let the visible screen paint what changed. What fails of it is
        told: Textual takes the application down where what a timer calls fails."""
        try:
            self._tick()
        except Exception as error:  # noqa: BLE001 - `handler_failed` logs it
            self.handler_failed(error)

    def _stream_tick(self) -> None:
        if self.current_mode == "chat" and self.view.answering:
            self.tick()

    def _tick(self) -> None:
        # While the application is taken down its screens lose their widgets one by one, and timers still run.
        if not self.is_running:
            return
        if self._runs.left_has_ended():
            self.say("The run that was at work here has ended: enter on it among the runs (0) shows it.")
        self._tell_control()
        taken = self.view.take()
        for event in taken.news:
            self._announce(event)
        for call in taken.calls:
            if call.what == "stalled":
                self.say(call.text)
        if not isinstance(self.view.host, ThreadHost):
            # An engine of this process calls by itself. The user's command is run by the process of the engine alone.
            for call in taken.calls:
                self._notifier.tell(call, command=False)
        if taken.problem:
            self.say(f"The conversation is not kept: {taken.problem}", "error")
        for damage in taken.damage:
            self.say(damage, "warning")
        for unpainted in self._unpainted.values():
            unpainted |= taken.kinds
        screen = self.screen
        if not isinstance(screen, RunScreen) or not screen.is_ready:
            return
        screen.ticked()
        screen.paint_lines()
        if isinstance(screen, ModeScreen):
            unpainted = self._unpainted[self.current_mode]
            if unpainted:
                kinds = frozenset(unpainted)
                unpainted.clear()
                screen.paint(kinds)

    def _tell_control(self) -> None:
        """Tell who controls the run, where that changed."""
        host = self.view.host
        for news in host.take_news() if host else ():
            if news.kind == "held":
                self._ask_to_take_over(news.text)
            else:
                self.say(*told_of_control(news))
            if news.kind == "ended":
                self.view.end_answers("the connection to the run's process has ended")
            self._paint_everything()
            self.refresh_bindings()

    def _announce(self, event: ev.Event) -> None:
        if isinstance(event, ev.RunFailed):
            # A run of the queue asks nobody: the next has its turn.
            if not self._queue.has_begun(self.view.host):
                self.tell_failure(event)
        elif told := announcement(event, self.view.state):
            self.say(told.text, told.severity)

    def tell_failure(self, failure: ev.RunFailed) -> None:
        """Tell why the run stopped, and offer to begin it again."""
        settings = self.view.host.settings if self.view.host else None
        batch_size = self.view.state.batch_size

        def answered(answer: str | None) -> None:
            if settings is None or answer in (None, "close"):
                return
            if answer == "edit":
                self.action_mode("setup")
                return
            again = settings
            if answer == "smaller":
                size = max(1, (batch_size or settings.batch_size or 2) // 2)
                again = settings.model_copy(update={"batch_size": size})
            self.start(again)

        self._ask(questions.after_failure(failure, settings is not None), answered)

    def steer_terminal(self, sequence: str) -> None:
        """Send the terminal characters of its own, between those of the screen; from any thread."""
        if self._driver is not None and self.is_running:
            self._driver.write(sequence)

    def _tell_from_thread(self, text: str) -> None:
        self.post_message(messages.Say(text, "warning"))

    # What screens ask for

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
        self._ask(questions.before_replacing(name), answered)

    def _begin_after(self, host: Host, settings: Settings) -> None:
        def look() -> None:
            if not host.alive:
                timer.stop()
                # Another run may have begun meanwhile: then the user is asked again.
                self.post_message(messages.StartRun(settings))

        timer = self.set_interval(TICK, look)

    @on(messages.ShowRun)
    def _show_run(self, message: messages.ShowRun) -> None:
        self._close_dialogs()
        if not self._return_to(message.folder):
            self._look_at(FollowHost(message.folder))

    @on(messages.AttachRun)
    def _attach_run(self, message: messages.AttachRun) -> None:
        self._close_dialogs()
        if self._return_to(message.folder):
            return
        try:
            self._look_at(AttachHost(message.folder))
        except HereticError as error:
            self.say(str(error), "error")

    def _return_to(self, folder: RunFolder) -> bool:
        """Show a run that is open, whether in view or left. Returns whether it is."""
        if found := self._runs.return_to(folder):
            self._show_trials()
            self.tick()
        return found

    def _look_at(self, host: FollowHost | AttachHost) -> None:
        if left := self._runs.look_at(host):
            name = left.folder.name if left.folder else "The run"
            self.say(f"{name} goes on meanwhile: enter on it among the runs (0) shows it again.")
        self._show_trials()

    # The queue

    @on(messages.QueueRun)
    def _queue_run(self, message: messages.QueueRun) -> None:
        """Put a run into the queue. It is worked off here where a run is at work; otherwise when somebody says so."""
        settings = message.settings
        try:
            check_local_files(settings)
            file = QueueFile(user_path(settings.runs_dir))
            entry = file.add(to_record(with_whole_paths(settings)))
            place = file.read().place(entry.id)
        except HereticError as error:
            self.say(str(error), "error")
            return
        then = "it starts after the run that is open here" if self.at_work else "Q on Runs starts the queue"
        self.say(f"Queued as #{place}: {entry.model}; {then}.")

    @on(messages.WorkQueue)
    def _work_queue(self) -> None:
        if self.form is None:
            return
        try:
            self._queue.begin(user_path(self.form.settings.runs_dir), self.form.settings)
        except HereticError as error:
            self.say(str(error), "error")
            return
        # Who starts it does not want to be waited for.
        self.last_key -= PATIENCE
        self._look_at_queue()

    def _look_at_queue(self) -> None:
        """Look what comes next in the queue: the files on a thread, what follows from them here."""
        host, form = self._runs.here, self.form
        at_rest = isinstance(host, ThreadHost) and (host.engine.ready or not host.alive)
        if form is None or self._queue_looks or not (self._queue.works or at_rest):
            return
        runs_dir = user_path(form.settings.runs_dir)

        def look() -> None:
            try:
                if self._queue.works:
                    seen = self._queue.find()
                    self.call_later(lambda: self._queue.look(seen))
                elif host is not None and self._queue.is_to_begin(runs_dir, host):
                    self.call_later(self._work_queue_after, host)
            finally:
                self._queue_looks = False

        self._queue_looks = True
        on_thread(self, look, "queue", exclusive=False)

    def _work_queue_after(self, host: Host) -> None:
        """The run here has come to its end, and others wait."""
        if self.form and self._runs.here is host and not self._queue.works:
            with suppress(HereticError):
                self._queue.begin(user_path(self.form.settings.runs_dir), self.form.settings)

    def busy_with(self) -> str:
        host = self.at_work
        if self._person_is_here and isinstance(self.screen, Dialog):
            return "a question is open"
        if not isinstance(host, ThreadHost):
            return ""
        name = host.folder.name if host.folder else "the run here"
        if not host.engine.ready:
            return f"it starts when {name} has ended"
        if host.controller:
            return f"{host.controller} controls {name}"
        if host.engine.busy or (self.view.host is host and self.view.conversations.open):
            return f"{name} has an answer or an export in hand"
        if self._person_is_here:
            return f"you are here; it starts {PATIENCE / 60:.0f} minutes after your last key, or with Q on Runs"
        return ""

    def close_run(self) -> bool:
        host = self.at_work
        if not isinstance(host, ThreadHost):
            return True
        if self.view.host is host:
            self.view.keep_conversation()
        host.engine.close()
        return False

    def begin_queued(self, settings: Settings) -> Host:
        host = self._new_host(settings)
        if self.view.host is not None and not self.view.host.here:
            # Another run is looked at.
            self._runs.begin_aside(host)
            return host
        if not self._person_is_here:
            self._close_dialogs()
        self._runs.show(host)
        self._paint_everything()
        if self.current_mode not in ("home", "setup"):
            self.switch_mode("trials")
        return host

    @property
    def _person_is_here(self) -> bool:
        return time.monotonic() - self.last_key < PATIENCE

    @on(messages.SendCommand)
    def _send_command(self, message: messages.SendCommand) -> None:
        if self.view.control:
            self.view.control.send(message.command)

    @on(messages.CancelCommand)
    def _cancel_command(self, message: messages.CancelCommand) -> None:
        if self.view.control:
            self.view.control.cancel(message.command)

    @on(messages.ChatWith)
    def _chat_with(self, message: messages.ChatWith) -> None:
        self.view.conversations.choose(message.trial)
        self.switch_mode("chat")

    @on(messages.ExportTrial)
    def _export_trial(self, message: messages.ExportTrial) -> None:
        self.view.selected_trial = message.trial
        self._unpainted["export"].add(EVERYTHING)
        self.switch_mode("export")
        self.tick()

    @on(messages.EditText)
    def _edit_text(self, message: messages.EditText) -> None:
        try:
            found = edit_on_terminal(self, message.text, message.name)
        except HereticError as error:
            self.say(str(error), "warning")
        else:
            message.done(found)

    @on(messages.TweakFrom)
    def _tweak_from(self, message: messages.TweakFrom) -> None:
        if problem := self.view.start_tweak(message.trial):
            self.say(f"Its edit cannot be turned: {problem}.")
            return
        self.view.conversations.choose(message.trial)
        self.switch_mode("chat")
        if isinstance(self.screen, ChatScreen):
            self.screen.open_knobs()

    @on(messages.CopyText)
    def _copy_text(self, message: messages.CopyText) -> None:
        self.copy_to_clipboard(message.text)
        ways = ["clipboard", *clipboard.further_ways(message.text, self.view.folder)]
        self.say(f"{message.what} copied: {', '.join(ways)}")

    @on(messages.Say)
    def _say(self, message: messages.Say) -> None:
        self.say(message.text, message.severity)

    @on(messages.HandlerFailed)
    def _handler_failed(self, message: messages.HandlerFailed) -> None:
        self.handler_failed(message.error)

    @on(messages.ScreenShown)
    def _screen_shown(self) -> None:
        self._fit(self.size)

    def on_resize(self, event: events.Resize) -> None:
        self._fit(event.size)

    def _fit(self, size: Size) -> None:
        """Cover the screen in view where the terminal is too small for it, and uncover it where it is not. Each mode
        has screens of its own, so this is asked at every resize and whenever a screen comes into view."""
        small = size.width < _SMALLEST[0] or size.height < _SMALLEST[1]
        if small and not isinstance(self.screen, TinyScreen):
            self.push_screen(TinyScreen())
        elif not small and isinstance(self.screen, TinyScreen):
            self.pop_screen()

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        control = self.view.control
        match action:
            case "pause" | "go_on":
                return control is not None and control.paused == (action == "go_on")
            case "stop" | "abort" | "more":
                return control is not None
            case "take_control":
                return control is None and self.view.alive
            case "help":
                return not isinstance(self.screen, TextDialog)
            case "command_palette":
                return not self.screen.is_modal
            case "mode" | "step_mode" if not isinstance(self.screen, ModeScreen):
                return False
            case "mode":
                return any(mode.name in parameters for mode in self.modes)
        return True

    def works(self, action: str) -> bool:
        """Whether a key would do more now than say why it cannot."""
        return action not in ("pause", "go_on") or self.view.searching

    def action_mode(self, mode: str) -> None:
        if mode in self._unpainted:
            self.switch_mode(mode)

    def action_step_mode(self, by: int) -> None:
        modes = list(self._unpainted)
        place = modes.index(self.current_mode) if self.current_mode in modes else 0
        self.switch_mode(modes[(place + by) % len(modes)])

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

        self._ask(question, answered)

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

        self._ask(questions.before_taking_over(controller), answered)

    def _take_control(self, host: Host) -> None:
        try:
            host.take_control(over=True)
        except HereticError as error:
            self.say(str(error), "error")

    def action_help(self) -> None:
        self.push_screen(TextDialog("Help", help_text(self, self.screen)))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        yield from palette_commands(self, screen)

    async def action_quit(self) -> None:
        if isinstance(self.screen, ModeScreen):
            # What is asked is asked of the run that would be cut off.
            self.come_back()
        if isinstance(self.screen, ChoiceDialog):
            return
        if question := questions.before_quitting(self.view):
            self._ask(question, self._leave)
        else:
            self._leave("close")

    def _ask(self, question: Question, answered: Callable[[str | None], None]) -> None:
        self.push_screen(ChoiceDialog(question), answered)

    def _leave(self, answer: str | None) -> None:
        if answer in (None, "stay"):
            return
        control = self.view.control if self.view.alive else None
        if control is not None:
            # The part of an answer that has come so far is kept; the rest is not needed.
            self.view.stop_answers()
            self.view.keep_conversation()
            control.close()
            if answer == "stop":
                control.stop_after_trial()
            elif answer == "abort":
                control.abort()
        self.exit("detach" if answer in ("detach", "stop") else "closed")
