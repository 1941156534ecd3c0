"""The application: five screens over one run, the tick that feeds them, and how to leave."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.text import Text
from textual import events
from textual.actions import parse
from textual.app import SystemCommand
from textual.binding import Binding
from textual.filter import LineFilter
from textual.geometry import Size
from textual.message import Message
from textual.screen import Screen

from heretic_tui import events as ev
from heretic_tui.commands import MoreTrials
from heretic_tui.errors import one_line
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.state import RunState, TrialRecord
from heretic_tui.settings.form import SettingsForm
from heretic_tui.settings.schema import Settings
from heretic_tui.tui import clipboard
from heretic_tui.tui.conversation import Conversations
from heretic_tui.tui.glyphs import ASCII, UNICODE, AsciiFrames, safe_lines
from heretic_tui.tui.host import FollowHost, Host
from heretic_tui.tui.keys import key_words, typed_number
from heretic_tui.tui.log_lines import LogLines
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.chat import ChatScreen
from heretic_tui.tui.screens.dialogs import ChoiceDialog, LineDialog, TextDialog, TooSmall
from heretic_tui.tui.screens.layers import LayersScreen
from heretic_tui.tui.screens.log import LogScreen
from heretic_tui.tui.screens.setup import SetupScreen
from heretic_tui.tui.screens.trials import TrialsScreen
from heretic_tui.tui.type_ahead import TypeAhead
from heretic_tui.tui.widgets.line_table import LineTable

TICK = 0.25


@dataclass
class _Aside:
    """What is shown of a run, while another is shown."""

    host: Host
    state: RunState
    conversations: Conversations
    log_lines: LogLines
    selected_trial: int | None
    ended: bool = False


_SMALLEST = (60, 16)

log = logging.getLogger(__name__)


def stylesheet() -> Path:
    """heretic.tcss: beside this package in an installation, at the root of the repository in a checkout."""
    inside = Path(__file__).parent / "heretic.tcss"
    return inside if inside.is_file() else Path(__file__).parents[2] / "heretic.tcss"


class HereticApp(TypeAhead):
    """Shows one run at a time.

    Returns (from `run`): closed, or detach when the run is to go on without the screen.

    Args:
        form: the settings that Setup begins with; None while following.
        new_host: makes a host of settings; tests give one with a script.
        host: a run to show at once.
        ascii_only: draw with ASCII characters.
        on_ready: called when the terminal is in the application's hands.
    """

    TITLE = "heretic-tui"
    ENABLE_COMMAND_PALETTE = True
    MODES = {
        "setup": SetupScreen,
        "layers": LayersScreen,
        "trials": TrialsScreen,
        "chat": ChatScreen,
        "log": LogScreen,
    }
    DEFAULT_MODE = "setup"
    BINDINGS = [
        Binding("1", "mode('setup')", "Setup"),
        Binding("2", "mode('layers')", "Layers"),
        Binding("3", "mode('trials')", "Trials"),
        Binding("4", "mode('chat')", "Chat"),
        Binding("5", "mode('log')", "Log"),
        Binding("[", "step_mode(-1)", "Screen before", show=False),
        Binding("]", "step_mode(1)", "Screen after", show=False),
        Binding("p", "pause", "Pause", tooltip="hold the trials; p again goes on"),
        Binding("p", "go_on", "Resume", tooltip="go on with the trials"),
        Binding("S", "stop", "Stop after trial", show=False),
        Binding("X", "abort", "Abort now", show=False),
        Binding("plus", "more", "More trials", show=False),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("f1", "help", "Help", key_display="F1"),
        Binding("q", "quit", "Quit"),
        Binding("ctrl+q", "quit", "Quit"),
        Binding("ctrl+c", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(
        self,
        form: SettingsForm | None,
        new_host: Callable[[Settings], Host],
        host: Host | None = None,
        ascii_only: bool = False,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        if form is None:
            # Who only watches has nothing to set up. (Read by Textual's own initialisation.)
            self.DEFAULT_MODE = "trials"  # type: ignore[misc]
        super().__init__(css_path=stylesheet())
        self.form = form
        self.glyphs = ASCII if ascii_only else UNICODE
        self.host: Host | None = None
        self.state = RunState()
        self.conversations = Conversations()
        self.log_lines = LogLines(self.state)
        self.selected_trial: int | None = None
        # Nothing that depends on the clock is shown: for pictures that are compared.
        self.frozen = False
        # What a handler fails of is raised: for tests.
        self.strict = False
        self._last_failure = ""
        self._new_host = new_host
        self._first_host = host
        self._on_ready = on_ready
        self._pending: dict[str, set[str]] = {mode: set() for mode in self.MODES}
        self._alive = False
        self._frames = AsciiFrames()
        # A run that is at work here while another is looked at, as it was when it was left; events wait in its host.
        self._aside: _Aside | None = None

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = super().get_line_filters()
        return [*filters, self._frames] if self.glyphs is ASCII else filters

    def on_mount(self) -> None:
        if self.console.color_system == "standard":
            self.theme = "ansi-dark"
        self.set_interval(TICK, self._safe_tick)
        self._on_ready()
        if self._first_host:
            self.show_run(self._first_host)
            self._first_host = None
        if os.environ.get("SSH_CONNECTION") and not (os.environ.get("TMUX") or os.environ.get("STY")):
            self.say("Not in tmux: if the link drops, the run goes on, and `heretic-tui follow` shows it.")

    # The run

    @property
    def alive(self) -> bool:
        """Whether an engine is at work on the run shown."""
        return self._alive

    @property
    def can_ask(self) -> bool:
        """Whether an engine is there that answers, exports, and looks at trials."""
        return self.host is not None and self.host.control is not None and self._alive

    @property
    def no_engine(self) -> str:
        """Where there is none: why, and what to do."""
        if self.host is None:
            return "Start a run first: key 1."
        if self._alive:
            return "Another process is at work on this run: only there can it be asked."
        return "No engine is at work on this run: R among the runs of Setup resumes it."

    @property
    def searching(self) -> bool:
        """Whether leaving now would cut something off."""
        return self._alive and self.state.phase != "ready"

    @property
    def note(self) -> str:
        """What stands before the run's state: that it is only watched, or what the engine was asked for and has not
        confirmed yet."""
        if self.host is None:
            return ""
        if self.host.control is None:
            return "FOLLOWING"
        requested = self.host.control.requested if self._alive else "running"
        confirmed = self.state.state == requested or (self.state.state, requested) == ("paused", "pausing")
        return "" if requested == "running" or confirmed else f"{requested} {self.glyphs.ellipsis}"

    @property
    def folder(self) -> RunFolder | None:
        return self.host.folder if self.host else None

    @property
    def trial(self) -> TrialRecord | None:
        """The trial selected on the trials screen, which the others show too."""
        return None if self.selected_trial is None else self.state.trials.get(self.selected_trial)

    @property
    def at_work(self) -> Host | None:
        """The run whose engine is at work in this process, whether it is the one shown or not."""
        host = self._aside.host if self._aside else self.host
        return host if host is not None and host.control is not None and host.alive else None

    def look_at(self, folder: RunFolder) -> None:
        """Show a run folder. A run that is at work here goes on meanwhile, and is shown again when it is asked for."""
        host = self._aside.host if self._aside else self.at_work
        if host is not None and host.folder is not None and host.folder.path.resolve() == folder.path.resolve():
            self.come_back()
            self.switch_mode("trials")
            return
        if host is not None and host is self.host:
            self._aside = _Aside(host, self.state, self.conversations, self.log_lines, self.selected_trial)
            name = host.folder.name if host.folder else "The run"
            self.say(f"{name} goes on meanwhile: enter on it among the runs of Setup shows it again.")
        aside = self._aside
        self.show_run(FollowHost(folder))
        self._aside = aside

    def come_back(self) -> None:
        """Show the run again that was left to look at another."""
        if aside := self._aside:
            self._aside = None
            self.host, self.state, self.conversations = aside.host, aside.state, aside.conversations
            self.log_lines, self.selected_trial = aside.log_lines, aside.selected_trial
            # As it was when it was left: what happened since is told now.
            self._alive = True
            for pending in self._pending.values():
                pending.add("*")
            self.tick()

    def start(self, settings: Settings) -> None:
        """Begin or go on with the run of these settings."""
        self.show_run(self._new_host(settings))

    def show_run(self, host: Host) -> None:
        """Show a run from its first event on."""
        self.state, self.conversations = RunState(), Conversations()
        self.log_lines = LogLines(self.state)
        self.selected_trial = None
        self._aside = None
        self.host = host
        host.start()
        self._alive = host.alive
        for pending in self._pending.values():
            pending.add("*")
        self.switch_mode("trials")

    # The tick

    def _safe_tick(self) -> None:
        # Textual takes the application down where what a timer calls fails.
        try:
            self.tick()
        except Exception as error:
            self.fell(error)

    def tick(self) -> None:
        """Fold what came, tell people what matters, and let the visible screen paint what changed."""
        host = self.host
        # While the application is taken down its screens lose their widgets one by one, and timers still strike.
        if host is None or not self.is_running:
            return
        if self._aside and not self._aside.ended and not self._aside.host.alive:
            self._aside.ended = True
            self.bell()
            self.say("The run that was at work here has ended: enter on it among the runs of Setup shows it.")
        alive, self._alive = self._alive, host.alive
        events = host.take()
        for event in events:
            self.state.fold(event)
            self._fold(event)
            if not event.past:
                self._announce(event)
        if alive and not self._alive:
            self.conversations.end("the engine has ended")
            self.keep()
        if self.selected_trial not in self.state.trials:
            self.selected_trial = next(iter(self.state.trials), None)
        kinds = {event.type for event in events} | ({"*"} if alive != self._alive else set())
        if kinds:
            for pending in self._pending.values():
                pending |= kinds
        screen = self.screen
        if isinstance(screen, ModeScreen) and screen.is_ready:
            pending = self._pending[self.current_mode]
            screen.paint_bar()
            if pending:
                painted = frozenset(pending)
                pending.clear()
                screen.paint(painted)

    def _fold(self, event: ev.Event) -> None:
        self.log_lines.add(event)
        match event:
            case ev.ChatStarted() | ev.ChatDelta():
                self.conversations.fold(event)
            case ev.ChatEnded():
                self.conversations.fold(event)
                self.keep()

    def _announce(self, event: ev.Event) -> None:
        match event:
            case ev.RunFailed():
                self.bell()
                self._show_failure(event)
            case ev.PhaseStarted() if event.phase == "ready" and self.state.finished:
                self.bell()
                self.say(f"{self.state.finished} trials are done: 4 to chat, e on a trial to export it")
            case ev.Notice() if event.level == "error":
                self.say(event.text, "error")
            case ev.ShiftFound() if event.error:
                self.say(f"first tokens of trial {event.trial}: {event.error}", "error")
            case ev.ExportFinished():
                self.bell()
                if event.error:
                    self.say(f"export of trial {event.trial}: {event.error}", "error")
                else:
                    self.say(f"trial {event.trial} is exported to {event.url or event.out}")

    def _show_failure(self, failure: ev.RunFailed) -> None:
        settings = getattr(self.host, "settings", None)
        answers = [("c", "close", "close; what is finished stays in the run folder")]
        if settings is not None:
            answers.insert(0, ("r", "retry", "go on from where it stopped"))
            if "memory" in failure.text:
                answers.insert(1, ("b", "smaller", "go on with half the batch size"))
        text = failure.text + (f"\n\n{failure.traceback}" if failure.traceback else "")

        def answered(answer: str | None) -> None:
            if settings is None or answer in (None, "close"):
                return
            again = settings
            if answer == "smaller":
                size = max(1, (self.state.batch_size or settings.batch_size or 2) // 2)
                again = settings.model_copy(update={"batch_size": size})
            self.start(again)

        self.push_screen(ChoiceDialog("The run stopped", text, answers), answered)

    def keep(self) -> None:
        """Write the conversation into the run folder as it stands."""
        opened, before = self.state.opened, self.conversations.not_kept
        header = {"model": opened.model, "run": opened.run, "version": opened.version} if opened else {}
        self.conversations.keep(self.folder, header)
        problem = self.conversations.not_kept
        if problem and problem != before and not self.conversations.open:
            self.say(f"The conversation is not kept: {problem}", "error")

    # What fails

    async def _on_message(self, message: Message) -> None:
        """A handler that fails costs what it was to do, and no more: a run may hang on this screen."""
        try:
            await super()._on_message(message)
        except Exception as error:
            if isinstance(message, events.Compose | events.Mount):
                raise
            self.fell(error)

    def fell(self, error: Exception) -> None:
        """Something of the screen failed: said once, and in the log with its place in the code."""
        if self.strict:
            raise error
        said = one_line(error)
        if said != self._last_failure:
            self._last_failure = said
            log.error("the screen failed", exc_info=error)
            self.say(f"This did not work ({said}). The run goes on; the log has more: 5, then f.", "error")

    def say(self, text: str, severity: Any = "information") -> None:
        """A toast."""
        self.notify(safe_lines(text).plain, severity=severity, timeout=4, markup=False)

    # Actions

    def action_mode(self, mode: str) -> None:
        if self.form is None and mode == "setup":
            return
        self.switch_mode(mode)

    def action_step_mode(self, by: int) -> None:
        modes = [mode for mode in self.MODES if self.form is not None or mode != "setup"]
        place = modes.index(self.current_mode) if self.current_mode in modes else 0
        self.switch_mode(modes[(place + by) % len(modes)])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "pause" | "go_on":
                control = self.host.control if self.host else None
                return control is not None and control.paused == (action == "go_on")
            case "stop" | "abort" | "more":
                return self.host is not None and self.host.control is not None
            case "help":
                return not isinstance(self.screen, TextDialog | TooSmall)
            case "command_palette":
                return not self.screen.is_modal
            case "mode" | "step_mode" if not isinstance(self.screen, ModeScreen):
                return False
            case "mode":
                return parameters != ("setup",) or self.form is not None
        return True

    def works(self, action: str) -> bool:
        """Whether a key would do more now than say why it cannot."""
        return action not in ("pause", "go_on") or self.searching

    def chat_with(self, trial: int) -> None:
        """Talk to this trial, whoever answered before."""
        self.conversations.chosen = [trial]
        self.switch_mode("chat")

    def action_pause(self) -> None:
        host = self.host
        if host is None or host.control is None or not self._alive:
            return
        if not host.control.pause():
            self.say("Nothing runs: there is nothing to pause.")
        self.tick()

    def action_go_on(self) -> None:
        if self.host and self.host.control:
            self.host.control.resume()
        self.tick()

    def action_stop(self) -> None:
        """Stop after this trial."""
        control = self.host.control if self.host and self._alive else None
        if control is None or not control.stop_after_trial():
            self.say("Nothing runs: there is nothing to stop.")
        elif control.in_trial:
            self.say("The search stops after this trial; + goes on with it.")
        else:
            self.say("No trial runs yet: it stops when the model is ready; X ends it now.")
        self.tick()

    def action_abort(self) -> None:
        def answered(answer: str | None) -> None:
            control = self.host.control if self.host and self._alive else None
            if answer == "abort" and (control is None or not control.abort()):
                self.say("Nothing runs any more: there was nothing to abort.")

        if not (self.host and self.host.control and self.searching):
            self.say("Nothing runs: there is nothing to abort.")
            return
        in_trial = self.host.control.in_trial
        dropped = "the trials in hand are dropped, and done again" if in_trial else "the preparation is broken off"
        answers = [("n", "no", "no, go on"), ("y", "abort", f"abort: {dropped}")]
        self.push_screen(ChoiceDialog("Abort now?", "Finished trials stay.", answers), answered)

    def action_more(self) -> None:
        """Ask for the number of trials; the search goes on up to it."""
        if not (self.host and self.host.control and self._alive):
            return

        def check(text: str) -> str | None:
            number, least = typed_number(text), max(1, self.state.finished)
            return None if number is not None and number >= least else f"a whole number, at least {least}"

        def answered(text: str | None) -> None:
            if text and self.host and self.host.control:
                self.host.control.send(MoreTrials(int(text)))

        now = max(self.state.n_trials, self.state.finished)
        finished = self.state.finished >= self.state.n_trials
        suggestion = str(now + 50 if finished else now)
        self.push_screen(
            LineDialog("Trials of this run, in all", suggestion, "the search goes on up to it", check), answered
        )

    async def action_quit(self) -> None:
        if isinstance(self.screen, ModeScreen):
            # What is asked is asked of the run that would be cut off.
            self.come_back()
        if isinstance(self.screen, ChoiceDialog):
            return
        talk = self.conversations
        unsaved = f"The conversation is not kept: {talk.not_kept}." if talk.turns and talk.not_kept else ""
        active = self.searching and self.host is not None and self.host.control is not None
        export = self.state.export if self.can_ask and not active else None
        if isinstance(export, ev.ExportStarted):
            answers = [
                ("s", "stay", "stay"),
                ("k", "detach", "let it be written without the screen"),
                ("a", "abort", "drop it; nothing of it is left behind"),
            ]
            text = f"Trial {export.trial} is being written to {export.out}." + f"\n\n{unsaved}" * bool(unsaved)
            self.push_screen(ChoiceDialog("An export is not done", text, answers), self._leave)
        elif not active and not unsaved:
            self._leave("close")
        elif not active:
            answers = [("s", "stay", "stay (on Chat ctrl+s saves it)"), ("x", "close", "quit all the same")]
            self.push_screen(ChoiceDialog("Quit?", unsaved, answers), self._leave)
        else:
            in_trial = self.host is not None and self.host.control is not None and self.host.control.in_trial
            answers = [
                ("s", "stay", "stay"),
                ("k", "detach", "keep running without the screen (`heretic-tui follow` shows it)"),
                ("t", "stop", "stop after this trial" if in_trial else "stop when the model is ready"),
                ("a", "abort", f"abort now; {'the running trial' if in_trial else 'this step'} is done again later"),
            ]
            text = "The same command resumes it later." + f"\n\n{unsaved}" * bool(unsaved)
            self.push_screen(ChoiceDialog("A run is active", text, answers), self._leave)

    def _leave(self, answer: str | None) -> None:
        if answer in (None, "stay"):
            return
        control = self.host.control if self.host and self._alive else None
        if control is not None:
            # What has been said of an answer so far is kept; nobody will read the rest.
            self.stop_answers()
            self.keep()
            control.close()
            if answer == "stop":
                control.stop_after_trial()
            elif answer == "abort":
                control.abort()
        self.exit("detach" if answer in ("detach", "stop") else "closed")

    def stop_answers(self) -> str | None:
        """Withdraw what waits for an answer, and stop the answers that are being given. Returns the text of a turn that
        was withdrawn as a whole."""
        for answer in self.conversations.open:
            if self.host and self.host.control and answer.command:
                self.host.control.cancel(answer.command)
            answer.stopping = True
        return self.conversations.withdraw()

    def action_help(self) -> None:
        screen = self.screen
        text = Text()
        for paragraph in getattr(screen, "HELP_TEXT", "").strip().split("\n\n"):
            if paragraph:
                text.append(" ".join(paragraph.split()) + "\n\n")
        seen: set[str] = set()
        for active in self._bindings_in_view(screen):
            if active.description and active.description not in seen:
                seen.add(active.description)
                keys = active.key_display or ", ".join(key_words(key) for key in active.key.split(","))
                text.append(f"{keys:>16}  ", "bold")
                text.append(f"{active.tooltip or active.description}\n")
        self.push_screen(TextDialog("Help", text))

    def _bindings_in_view(self, screen: Screen[Any]) -> Iterable[Binding]:
        """The keys of the screen, of the widget in focus, and those of the application that lead anywhere now."""
        for node in [screen, *([self.focused] if self.focused else []), self]:
            for cls in type(node).__mro__:
                if cls.__module__.startswith("heretic_tui"):
                    for binding in cls.__dict__.get("BINDINGS", []):
                        if isinstance(binding, Binding) and (known := self._as_it_works(binding, node)):
                            yield known

    def _as_it_works(self, binding: Binding, node: Any) -> Binding | None:
        if binding.key == "enter" and isinstance(node, LineTable):
            # Nothing opens by it in some tables.
            return replace(binding, description=node.enter.capitalize()) if node.enter else None
        if node is self and not self.check_action(*parse(binding.action)[1:]):
            return None
        return binding

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        seen: set[str] = set()
        for binding in self._bindings_in_view(screen):
            action, title = binding.action, binding.description
            if title and title not in seen and self.check_action(action.partition("(")[0], ()):
                seen.add(title)
                words = binding.tooltip or f"key {binding.key_display or key_words(binding.key)}"
                yield SystemCommand(title, words, self._runner(screen, action))

    def _runner(self, screen: Screen[Any], action: str) -> Callable[[], Any]:
        async def run() -> None:
            for node in (self.focused, screen, self):
                if node is not None and hasattr(node, f"action_{action.partition('(')[0]}"):
                    await self.run_action(action, node)
                    return

        return run

    def copy(self, text: str, what: str) -> None:
        """Copy by every way there is, and say which."""
        self.copy_to_clipboard(text)
        ways = ["clipboard"]
        if clipboard.to_tmux(text):
            ways.append("tmux")
        if path := clipboard.to_file(text, self.folder.path if self.folder else None):
            ways.append(str(path.name) + " in the run folder")
        self.say(f"{what} copied: {', '.join(ways)}")

    def on_resize(self, event: Any) -> None:
        self.fit(event.size)

    def fit(self, size: Size | None = None) -> None:
        """Cover the screen in view where the terminal is too small for it, and uncover it where it is not. Each mode
        has screens of its own, so this is asked at every resize and whenever a screen comes into view."""
        width, height = size or self.size
        small = width < _SMALLEST[0] or height < _SMALLEST[1]
        if small and not isinstance(self.screen, TooSmall):
            self.push_screen(TooSmall())
        elif not small and isinstance(self.screen, TooSmall):
            self.pop_screen()
