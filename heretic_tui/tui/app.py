"""The application: its screens over one run, the tick that feeds them, and how to leave."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from textual import events, on
from textual.binding import Binding
from textual.geometry import Size
from textual.screen import Screen

from heretic_tui import events as ev
from heretic_tui.calls import Calls
from heretic_tui.errors import HereticError
from heretic_tui.report.notify import Notifier
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.interface import Interface
from heretic_tui.settings.schema import Settings
from heretic_tui.tui import messages, questions
from heretic_tui.tui.announcements import announcement
from heretic_tui.tui.editor import edit_on_terminal
from heretic_tui.tui.host import Host, ThreadHost
from heretic_tui.tui.keys import named
from heretic_tui.tui.modes import Mode
from heretic_tui.tui.queue_app import QueueApp
from heretic_tui.tui.run_view import EVERYTHING
from heretic_tui.tui.runs_app import TICK
from heretic_tui.tui.screens.base import ModeScreen, RunScreen
from heretic_tui.tui.screens.chat import ChatScreen
from heretic_tui.tui.screens.chat_base import ROOM_FOR_TWO
from heretic_tui.tui.screens.dialogs import ChoiceDialog
from heretic_tui.tui.screens.export import ExportScreen
from heretic_tui.tui.screens.home import HomeScreen
from heretic_tui.tui.screens.layers import LayersScreen
from heretic_tui.tui.screens.log import LogScreen
from heretic_tui.tui.screens.setup import SetupScreen
from heretic_tui.tui.screens.tiny import TinyScreen
from heretic_tui.tui.screens.trials import TrialsScreen
from heretic_tui.tui.screens.workers import WorkersScreen
from heretic_tui.tui.serving_app import LAST_KEYS

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
    # Of runs that have any.
    ("7", "workers", "Workers"),
)


class HereticApp(QueueApp):
    """Shows one run at a time.

    Returns (from `run`): closed, or detach when the run is to go on without the screen.

    Args:
        form: the settings that Setup begins with; None while following.
        new_host: makes a host of settings; tests give one with a script.
        host: a run to show at once.
        opens: the screen in view at first, where there is a form and no host.
        interface: theme, keys and the like.
        notifier: calls the person at this terminal, which is the application's to write to while it runs.
        on_ready: called when the terminal is in the application's hands.
        timed: whether what depends on the clock is shown; not in pictures that are compared.
        strict: whether the failure of a handler ends the application; for tests.
    """

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
            *LAST_KEYS,
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
        # The screen in view at first: no other is made before it is asked for. (Read by Textual's own initialisation.)
        self.DEFAULT_MODE = "trials" if form is None or host else opens  # type: ignore[misc]
        super().__init__(form, new_host, interface, notifier or Notifier(Calls()), timed, strict=strict)
        self._first_host = host
        self._on_ready = on_ready
        self.notifier.to_terminal = self.steer_terminal
        self.notifier.problem = self._tell_from_thread
        makers: dict[str, Callable[[], Screen[None]]] = {
            "layers": LayersScreen, "trials": TrialsScreen, "chat": ChatScreen, "export": ExportScreen,
            "log": LogScreen, "workers": WorkersScreen,
        }  # fmt: skip
        if form is not None:
            makers["setup"] = partial(SetupScreen, form)
            makers["home"] = partial(HomeScreen, form, self.notifier.calls)
        self._every_mode = [Mode(key, name, title, makers[name]) for key, name, title in _MODES if name in makers]
        for mode in self._every_mode:
            self.add_mode(mode.name, mode.make)
        # By mode, the kinds of events that its screen has not painted yet.
        self._unpainted: dict[str, set[str]] = {mode.name: set() for mode in self._every_mode}

    @property
    def modes(self) -> list[Mode]:
        """The screens that the run in view has, with its keys: most runs have no workers."""
        return [mode for mode in self._every_mode if mode.name != "workers" or self.view.state.workers]

    def on_mount(self) -> None:
        self.set_interval(TICK, self.tick)
        self.set_interval(STREAM_TICK, self._stream_tick)
        self.set_interval(QUEUE_TICK, self.look_at_queue)
        self._on_ready()
        if self._first_host:
            self.show_run(self._first_host)
            self._first_host = None
        if os.environ.get("SSH_CONNECTION") and not (os.environ.get("TMUX") or os.environ.get("STY")):
            self.say("Not in tmux: if the link drops, the run goes on, and `heretic-tui follow` shows it.")

    def restyled(self) -> None:
        self.paint_everything()
        if isinstance(self.screen, ModeScreen):
            self.call_after_refresh(self.screen.careful(self.screen.paint_all))

    def paint_everything(self) -> None:
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
        if self.runs.left_has_ended():
            self.say("The run that was at work here has ended: enter on it among the runs (0) shows it.")
        self.tell_control()
        taken = self.view.take()
        for event in taken.news:
            self._announce(event)
        for call in taken.calls:
            if call.what == "stalled":
                self.say(call.text)
        if not isinstance(self.view.host, ThreadHost):
            # An engine of this process calls by itself. The user's command is run by the process of the engine alone.
            for call in taken.calls:
                self.notifier.tell(call, command=False)
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

    def _announce(self, event: ev.Event) -> None:
        if isinstance(event, ev.RunFailed):
            # A run of the queue asks nobody: the next has its turn.
            if not self.queue.has_begun(self.view.host):
                self.tell_failure(event)
        elif told := announcement(event, self.view.state, self.view.to_decode, self.view.reviews.nothing_left):
            self.say(told.text, told.severity)
        if isinstance(event, ev.TrialFinished):
            self.view.to_decode.discard(event.number)

    def tell_failure(self, failure: ev.RunFailed) -> None:
        """Tell why the run stopped, and offer to begin it again."""
        settings = self.view.host.settings if self.view.host else None
        batch_size = self.view.state.batch_size

        def answered(answer: str | None) -> None:
            if settings is None or answer in (None, "close"):
                return
            if answer == "edit":
                if self.form:
                    # Those of the run, which may have been resumed from the list.
                    self.form.update("the settings of the run that failed", settings.model_dump(mode="json"))
                self.action_mode("setup")
                return
            again = settings
            if answer == "smaller":
                size = max(1, (batch_size or settings.batch_size or 2) // 2)
                again = settings.model_copy(update={"batch_size": size})
            self.start(again)

        self.ask_person(questions.after_failure(failure, settings is not None), answered)

    def steer_terminal(self, sequence: str) -> None:
        """Send the terminal characters of its own, between those of the screen; from any thread."""
        if self._driver is not None and self.is_running:
            self._driver.write(sequence)

    def _tell_from_thread(self, text: str) -> None:
        self.post_message(messages.Say(text, "warning"))

    # What screens ask for

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
        self.view.conversations.choose(message.trial, room=self.size.width >= ROOM_FOR_TWO)
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
            case "mode" | "step_mode" if not isinstance(self.screen, ModeScreen):
                return False
            case "mode":
                # That of workers says how to have some.
                return "workers" in parameters or any(mode.name in parameters for mode in self.modes)
        return super().check_action(action, parameters)

    def works(self, action: str) -> bool:
        """Whether a key would do more now than say why it cannot."""
        return action not in ("pause", "go_on") or self.view.searching

    def action_mode(self, mode: str) -> None:
        if mode in self._unpainted:
            self.switch_mode(mode)

    def action_step_mode(self, by: int) -> None:
        modes = [mode.name for mode in self.modes]
        place = modes.index(self.current_mode) if self.current_mode in modes else 0
        self.switch_mode(modes[(place + by) % len(modes)])

    async def action_quit(self) -> None:
        if isinstance(self.screen, ModeScreen):
            # What is asked is asked of the run that would be cut off.
            self.come_back()
        if isinstance(self.screen, ChoiceDialog):
            return
        if question := questions.before_quitting(self.view):
            self.ask_person(question, self._leave)
        else:
            self._leave("close")

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
