"""The part of the chat screen in which the edit of a trial is turned by its knobs."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding

from heretic_tui.errors import HereticError
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import read_responses
from heretic_tui.tui.conversation import MOST_COLUMNS, Who
from heretic_tui.tui.messages import SendCommand
from heretic_tui.tui.screens.chat_base import ChatBase
from heretic_tui.tui.screens.chat_text import pinned_text, tweak_figures
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.tweak import Tweak
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.knobs import Knobs
from heretic_tui.tui.widgets.text_panel import TextPanel

# Prompts that are pinned at first.
_PINNED = 2


class ChatTweak(ChatBase):
    """ctrl+k, the knobs, what the turned edit answers, and W."""

    SCOPE = "chat"
    BINDINGS = [
        Binding(
            "ctrl+k", "tweak", "Tweak", priority=True, tooltip="turn the edit of this trial by knobs, or close them"
        ),
        Binding("W", "keep_trial", "Keep as trial", show=False, tooltip="make the turned edit a trial of the run"),
        Binding("P", "pin", "Pin", show=False, tooltip="answer the last message at every turn of a knob, or no longer"),
    ]

    def __init__(self) -> None:
        super().__init__()
        # Whether the knobs are to be shown as soon as the screen is.
        self._wanted = False

    def knobs_pane(self) -> ComposeResult:
        keys = ("turn_knob", "type", "put", "as_it_was", "keep_trial", "reset", "own_directions")
        yield Frame("", Knobs(id="knobs"), TextPanel(id="tweak-figures"), id="knobs-pane", keys=keys)

    def pinned_pane(self) -> ComposeResult:
        yield Frame("Pinned prompts", TextPanel(id="pinned"), id="pinned-pane", keys=("pin",))

    def paint_tweak(self) -> None:
        if self._wanted and self.is_ready:
            self.open_knobs()
        tweak = self.view.tweak
        if tweak is None or not self.knobs_open:
            self.remove_class("-knobs")
            return
        changed = f" {self.view.glyphs.changed}" if tweak.changed else ""
        self.query_one("#knobs-pane", Frame).retitle(f"Tweak trial {tweak.trial}{changed}")
        self.query_one("#knobs", Knobs).show(tweak, self.view.glyphs)
        figures = tweak_figures(tweak, self.view.state, self.drawing)
        answers = pinned_text(tweak, self.drawing)
        self.query_one("#pinned", TextPanel).show(answers)
        if self.has_class("-narrow"):
            # There is no other pane beside this one.
            figures.append("\n").append_text(answers)
        self.query_one("#tweak-figures", TextPanel).show(figures)

    # Opening and closing

    def action_tweak(self) -> None:
        if self.knobs_open:
            self._close_knobs()
            return
        trial = self.active.trial
        if trial is None:
            selected = self.view.trial
            trial = next((who.trial for who in self.columns if who.trial is not None), None)
            trial = selected.number if trial is None and selected else trial
        if trial is None:
            self.say("Choose a trial first: ctrl+t.")
        elif problem := self.view.start_tweak(trial):
            self.say(f"Its edit cannot be turned: {problem}.")
        else:
            self.open_knobs()

    def open_knobs(self) -> None:
        """Show the knobs of the edit that was begun, and its model in a column."""
        tweak = self.view.tweak
        if tweak is None:
            return
        # Where the screen comes into view for the first time, it has no widgets yet.
        self._wanted = not self.is_ready
        if self._wanted:
            return
        who, columns = Who(tweak.trial, tweaked=True), list(self.columns)
        columns = [each for each in columns if not each.tweaked or each == who]
        if who not in columns:
            columns = [*columns[: MOST_COLUMNS - 1], who]
        self.talk.chosen, self.talk.active = columns, columns.index(who)
        self.add_class("-knobs")
        if not tweak.pinned:
            self._pin_first(tweak)
        if self.has_class("-narrow"):
            self.show_pane("knobs-pane")
        self.query_one("#knobs", Knobs).focus()
        self._try()

    def _close_knobs(self) -> None:
        self.remove_class("-knobs")
        tweaked = [who for who in self.columns if who.tweaked and not self.talk.history(who)]
        if len(self.columns) > len(tweaked):
            self.talk.chosen = [who for who in self.columns if who not in tweaked]
        self.talk.active = min(self.talk.active, len(self.columns) - 1)
        if self.pane in ("knobs-pane", "pinned-pane"):
            self.show_pane("chat-0")
        self.box.focus()
        self.paint_chat()

    def _pin_first(self, tweak: Tweak) -> None:
        """Pin the last message, and prompts that the trial still refuses, or the original model did."""
        if self.talk.turns:
            tweak.pin(self.talk.turns[-1].user)
        if folder := self.view.folder:

            def work() -> None:
                prompts = _telling_prompts(folder, tweak.trial)
                self.app.call_from_thread(self.careful(lambda: self._take_pins(tweak, prompts)))

            on_thread(self, work, "pins")

    def _take_pins(self, tweak: Tweak, prompts: list[str]) -> None:
        if tweak is not self.view.tweak or not self.is_ready:
            return
        tweak.pinned = [*dict.fromkeys([*prompts[:_PINNED], *tweak.pinned])]
        self._try()

    # Turning

    @on(Knobs.Turned)
    def _turned(self) -> None:
        self._try()

    @on(Knobs.Refused)
    def _refused(self, message: Knobs.Refused) -> None:
        self.say(message.reason, "warning")

    def _try(self) -> None:
        tweak = self.view.tweak
        if tweak and self.view.can_ask:
            self.ask(SendCommand(tweak.try_it()))
        self.paint_chat()

    def action_pin(self) -> None:
        tweak = self.view.tweak
        prompt = self.box.text.strip() or (self.talk.turns[-1].user if self.talk.turns else "")
        if tweak is None or not prompt:
            self.say("There is no message to pin: write one, or send one.")
            return
        self.say("Pinned: it is answered at every turn." if tweak.pin(prompt) else "It is no longer pinned.")
        self._try()

    def action_keep_trial(self) -> None:
        tweak = self.view.tweak
        if tweak is None:
            return
        if not self.view.can_ask:
            self.say(self.view.no_engine)
        elif not tweak.changed:
            self.say(f"This is trial {tweak.trial} as it is: turn a knob first.")
        else:
            self.ask(SendCommand(tweak.keep_it()))
            paused = self.view.control is not None and self.view.control.paused
            waits = "when the search goes on (p)" if paused else "next, as any other"
            self.say(f"Kept as a trial of the run: it is measured {waits}.")


def _telling_prompts(folder: RunFolder, trial: int) -> list[str]:
    """Harmful prompts whose answers tell most: those that the trial still refuses, then those that the original model
    refuses."""
    found: list[str] = []
    for whose in (trial, None):
        try:
            found += [each.prompt for each in read_responses(folder, whose) if each.refused]
        except (FileNotFoundError, HereticError):
            # Some runs judge no responses.
            continue
    return list(dict.fromkeys(found))
