"""The part of the chat screen that draws several answers at once, and shows the share that is refused."""

from __future__ import annotations

from dataclasses import replace

from textual.app import ComposeResult
from textual.binding import Binding

from heretic_tui.commands import Asked, Samples
from heretic_tui.tui.conversation import Who
from heretic_tui.tui.messages import SendCommand
from heretic_tui.tui.screens.chat_base import ChatBase
from heretic_tui.tui.screens.chat_text import samples_text
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import plain

_COUNT = 8


class ChatSamples(ChatBase):
    """ctrl+y, and browsing what it brought."""

    SCOPE = "chat"
    BINDINGS = [
        Binding(
            "ctrl+y", "samples", "Sample 8x", priority=True,
            tooltip="draw eight answers of each column, to the message or the last one",
        ),
        Binding("full_stop", "browse(1)", "Next sample", show=False, tooltip="the next of the samples"),
        Binding("comma", "browse(-1)", "Previous sample", show=False, tooltip="the one before"),
    ]  # fmt: skip

    def samples_pane(self) -> ComposeResult:
        yield Frame("", TextPanel(id="samples"), id="samples-pane", keys=("browse", "next_pane"))

    def paint_samples(self) -> None:
        drawn = self.view.samples.latest
        self.set_class(drawn is not None, "-samples")
        if drawn is None:
            return
        sampling, seed = drawn.command.sampling, drawn.ended.seed if drawn.ended else None
        how = f"Sampled {drawn.command.count}x at T={sampling.temperature:g}"
        known = f"   seed {seed}" if seed is not None and self.view.timed else ""
        words = plain(" ".join(drawn.user.split()))
        self.query_one("#samples-pane", Frame).retitle(f"{how}{known}   {words:.60}")
        self.query_one("#samples", TextPanel).show(samples_text(drawn, self.view.samples.at, self.drawing))

    def action_browse(self, by: int) -> None:
        self.view.samples.browse(by)
        self.paint_samples()

    def action_samples(self) -> None:
        """Draw answers to the message that is being written, or to the last one again."""
        view, text = self.view, self.box.text
        if not view.can_ask:
            self.say(view.no_engine)
        elif view.answering and (self.talk.open or view.samples.open):
            self.say("One answer at a time: esc stops this one.")
        elif not text.strip() and not self.talk.turns:
            self.say("Write a message first: eight answers to it are drawn.")
        else:
            self._draw(text)

    def _draw(self, text: str) -> None:
        view, settings = self.view, self.settings
        sampling = settings.sampling if settings.sampling.temperature else self.sampled
        asked = [self._asked(who, text) for who in self.columns]
        command = Samples(0, (), settings.system_prompt, _COUNT, sampling, settings.thinking)
        self.ask(SendCommand(view.samples.ask(self.columns, asked, command)))
        self.paint_chat()
        if self.has_class("-narrow"):
            self.show_pane("samples-pane")

    def _asked(self, who: Who, text: str) -> Asked:
        edit = self.view.tweak.now if who.tweaked and self.view.tweak else None
        if text.strip():
            return Asked(who.trial, self.talk.history(who, text), edit)
        # The last message, as it was asked: what came after it is left out.
        last = self.talk.turns[-1]
        earlier = replace(self.talk, turns=self.talk.turns[:-1])
        return Asked(who.trial, earlier.history(who, last.user), edit)
