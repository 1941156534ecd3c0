"""Chat: talk to the original model or a trial, or to up to three models side by side, while a search runs or later. It
begins as the trials are measured: greedily, with the run's system prompt and response prefix."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical

from heretic_tui.commands import Chat
from heretic_tui.tui.conversation import MOST_COLUMNS, Answer, Conversations, Turn, Who
from heretic_tui.tui.keys import scroll_bindings
from heretic_tui.tui.messages import SendCommand
from heretic_tui.tui.run_view import EVERYTHING
from heretic_tui.tui.screens.chat_keeping import ChatKeeping
from heretic_tui.tui.screens.chat_options import MEASURED, ChatOptions, ChatSettings
from heretic_tui.tui.screens.chat_samples import ChatSamples
from heretic_tui.tui.screens.chat_text import LETTERS, column_title, head_line, turn_text, waiting_words
from heretic_tui.tui.screens.chat_tweak import ChatTweak
from heretic_tui.tui.screens.chat_who import ChatWho
from heretic_tui.tui.widgets.chat_columns import ChatColumns
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.knobs import Knobs
from heretic_tui.tui.widgets.message_box import MessageBox
from heretic_tui.tui.widgets.painted_line import PaintedLine


class ChatScreen(ChatTweak, ChatSamples, ChatWho, ChatKeeping):
    """Columns above, the message below, and beside it samples and knobs where they were asked for."""

    SCOPE = "chat"
    HELP_TEXT = """
Enter sends; alt+enter or ctrl+j begins a new line, and what is pasted keeps its lines. Esc takes back a message that
waits, or stops an answer; the next esc (or tab) leaves the line, so that single keys work. During a search the model
answers at once, and the trials in hand go on meanwhile; while the model is prepared or exported a message waits.

Models answer as the trials were measured: greedily, with the run's system prompt and response prefix. alt+t (or
ctrl+l) samples instead, and goes back; ctrl+y draws eight answers of each column at once and counts those that are
refused. Each answer has the verdict of the run's judge. What a model said before is told to itself alone, whichever
column shows it.

ctrl+k turns the edit of a trial by knobs: every turn is answered at once, with the refusals that are expected by how
responses begin and the KL divergence. Before a knob is turned the trial's own figures stand there. Enter begins to
type the number of a knob, and sets it; esc leaves it as it was. W keeps the edit as a trial of the run, decoded and
measured in full.

Conversations are kept in the run folder, in conversations/, for nobody but you to read; O lists them, D deletes.
"""
    BINDINGS = [
        Binding("escape", "stop", "Stop", tooltip="take back a message that waits, or stop the answer"),
        Binding("escape", "leave", "Leave the line", tooltip="leave the line, so that single keys work"),
        Binding("tab,shift+tab", "turn", "Line", show=False, tooltip="leave the line, or go back to it"),
        Binding(
            "alt+t,ctrl+l",
            "sample",
            "Sample",
            key_display="alt+t",
            # Before the line takes it for a letter: older terminals send alt+t as a t that has alt held.
            priority=True,
            tooltip="sample at a temperature, or greedy",
        ),
        Binding("ctrl+o", "options", "Settings", tooltip="system prompt, temperature, length, thinking"),
        Binding("i,enter", "write", "Write", tooltip="write a message"),
        *scroll_bindings(2, 12),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._of: Conversations | None = None
        self._away = True

    def body(self) -> ComposeResult:
        yield PaintedLine("chat-head")
        yield ChatColumns()
        yield PaintedLine("chat-status")
        with Horizontal(id="chat-lower"):
            with Vertical(id="chat-left"):
                yield Frame(
                    "",
                    MessageBox("Message (enter to send)", id="chat-input"),
                    id="message-pane",
                    keys=("submit", "new_line", "samples", "tweak"),
                )
                yield from self.samples_pane()
                yield from self.pinned_pane()
            yield from self.knobs_pane()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.recount()
        if self._away and not self.knobs_open:
            self.box.focus()

    def on_screen_suspend(self) -> None:
        # After a dialog the line is as it was, left or not.
        self._away = self.app.current_mode != "chat"

    # Painting

    def paint(self, kinds: frozenset[str]) -> None:
        if self._of is not self.talk:
            # Another run, with a system prompt of its own.
            self._of, self.settings = self.talk, None
            self.recount()
        if EVERYTHING in kinds:
            self.columns_view.forget()
        self.paint_chat()

    def paint_chat(self) -> None:
        self._show_the_active()
        self._paint_columns()
        self.paint_samples()
        self.paint_tweak()
        self.set_class(not self.pane.startswith("chat-"), "-lower")
        status = Text(f" {waiting_words(self.view)}", f"italic {self.looks.dim}", no_wrap=True)
        self.query_one("#chat-status", PaintedLine).put(status)

    def _show_the_active(self) -> None:
        """Where there is room for one column, it is the active one, whatever made it that."""
        active = f"chat-{min(self.talk.active, len(self.columns) - 1)}"
        if self.has_class("-narrow") and self.pane.startswith("chat-") and self.pane != active:
            self.mark_pane(active)
            # It has a width when it has been laid out.
            self.call_after_refresh(self.careful(self.paint_all))

    def _paint_columns(self) -> None:
        columns, drawing = self.columns, self.drawing
        titles = [
            column_title(place, who, self.view.state, self.view.annotations, drawing)
            for place, who in enumerate(columns)
        ]
        names = " and ".join("the original model" if who.trial is None else who.name for who in columns)
        empty = Text(f"Nothing is said yet. Write a message below: enter sends it to {names}.", drawing.look.dim)
        self.columns_view.show(self.talk.turns, columns, titles, self._turn_text, empty)
        active = min(self.talk.active, len(columns) - 1)
        for place in range(MOST_COLUMNS):
            self.query_one(f"#chat-{place}").set_class(len(columns) > 1 and place == active, "-active")
        head = self.query_one("#chat-head", PaintedLine)
        text = Text(" ", no_wrap=True, overflow="crop")
        head.put(text.append_text(head_line(columns, active, head.size.width - 1, drawing)))
        self.query_one("#message-pane", Frame).retitle(f"Message  {self.settings.in_words(self.run_prompt)}")

    def _turn_text(self, turn: Turn, who: Who) -> Text:
        answer, waits_for = turn.of(who), ""
        if answer is not None and answer.reason is None:
            before = [other for other in turn.answers[: turn.answers.index(answer)] if other.reason is None]
            if before and before[-1].who in self.columns:
                waits_for = LETTERS[self.columns.index(before[-1].who)]
        return turn_text(turn, answer, waits_for, self.drawing)

    # Sending

    @on(MessageBox.Submitted)
    def _submitted(self, event: MessageBox.Submitted) -> None:
        view, text = self.view, event.box.text
        if not text.strip():
            return
        if not view.can_ask:
            self.paint_chat()
            self.app.bell()
            return
        if view.conversations.open:
            self.say("One answer at a time: esc stops this one.")
            return
        # From here on these answer, whatever is selected on the trials screen meanwhile.
        columns = self.talk.chosen = list(self.columns)
        settings = self.settings
        histories = [self.talk.history(who, text) for who in columns]
        turn = self.talk.ask(text, columns, settings.to_json())
        for answer, history in zip(turn.answers, histories, strict=True):
            self._send(answer, history, settings)
        event.box.set_text("")
        self.paint_chat()
        self.columns_view.to_end()
        self.refresh_bindings()

    def _send(self, answer: Answer, history: tuple[tuple[str, str], ...], settings: ChatSettings) -> None:
        who = answer.who
        answer.edit = self.view.tweak.now if who.tweaked and self.view.tweak else None
        answer.command = Chat(
            answer.id, who.trial, history, settings.system_prompt, settings.sampling, settings.thinking, answer.edit
        )
        self.ask(SendCommand(answer.command))

    # Actions

    def works(self, action: str) -> bool:
        return action not in ("submit", "samples", "tweak") or self.view.can_ask

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: PLR0911
        talk, view = self.talk, self.view
        match action:
            case "stop":
                return any(not answer.stopping for answer in talk.open) or view.samples.open
            case "leave":
                return self.focused is not None
            case "write":
                return self.focused is None
            case "copy_answer" | "save" | "resend" | "new":
                return bool(talk.turns)
            case "activate" | "swap":
                return len(self.columns) > 1
            case "browse":
                return view.samples.latest is not None
            case "keep_trial" | "pin":
                return self.knobs_open
            case "kept":
                return view.folder is not None
            case "delete":
                return bool(talk.turns or self.kept)
        return super().check_action(action, parameters)

    def action_next_pane(self) -> None:
        """The next pane that has anything."""
        shown = [name for name in self.PANES if self.has_pane(name)]
        pane = shown[(shown.index(self.pane) + 1) % len(shown)] if self.pane in shown else shown[0]
        if pane.startswith("chat-"):
            self.talk.active = int(pane.removeprefix("chat-"))
        self.show_pane(pane)

    def has_pane(self, pane: str) -> bool:
        """Whether a pane has anything to show."""
        if pane == "samples-pane":
            return self.view.samples.latest is not None
        if pane in ("knobs-pane", "pinned-pane"):
            return self.knobs_open
        return int(pane.removeprefix("chat-")) < len(self.columns)

    def action_stop(self) -> None:
        """Withdraw what waits, at once and whatever the engine is at; stop what is being said."""
        withdrawn = self.view.stop_answers()
        if withdrawn is not None:
            typed = self.box.text
            self.box.set_text(withdrawn + (f"\n{typed}" if typed else ""))
        self.keep()
        self.paint_chat()
        self.refresh_bindings()

    def action_leave(self) -> None:
        if not self.pane.startswith("chat-") and self.has_class("-narrow"):
            self._show_conversation()
        else:
            self.set_focus(None)

    def _show_conversation(self) -> None:
        self.show_pane("chat-0")
        self.box.focus()

    def action_write(self) -> None:
        if self.has_class("-narrow") and not self.pane.startswith("chat-"):
            self.show_pane("chat-0")
        self.box.focus()

    def action_turn(self) -> None:
        """From the line to the knobs where they are open, then out of both, and back."""
        if self.focused is self.box and self.knobs_open and not self.has_class("-narrow"):
            self.query_one("#knobs", Knobs).focus()
        elif self.focused is None:
            self.action_write()
        else:
            self.set_focus(None)

    def action_scroll(self, lines: int) -> None:
        self.columns_view.scroll_all(lines)

    # How they answer

    def action_sample(self) -> None:
        """Sample at a temperature, as last set, or take the most likely token again."""
        settings = self.settings
        sampling = settings.sampling
        if sampling.temperature:
            self.sampled = sampling
            sampling = replace(sampling, temperature=0.0, top_p=MEASURED.top_p)
        else:
            sampling = replace(self.sampled, max_tokens=sampling.max_tokens)
        self.settings = replace(settings, sampling=sampling)
        self.paint_chat()

    def action_options(self) -> None:
        model = self.view.state.model

        def answered(settings: ChatSettings | None) -> None:
            if settings:
                self.settings = settings
                self.paint_chat()

        self.app.push_screen(ChatOptions(self.settings, bool(model and model.thinking)), answered)
