"""Chat: talk to the base model or a trial, or to both side by side, while a search runs or afterwards. It begins as the
trials are measured: the most likely token each time, with the run's system prompt and response prefix."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Checkbox, Input, Label, Static

from heretic_tui.commands import Chat, Sampling
from heretic_tui.errors import UsageError, one_line
from heretic_tui.files import user_path
from heretic_tui.report.lines import figures_sentence
from heretic_tui.run.state import MEASURED_STATES
from heretic_tui.tui.conversation import Answer, Conversations, Turn, delete_conversations, kept_conversations, name_of
from heretic_tui.tui.glyphs import safe_lines
from heretic_tui.tui.keys import scroll_bindings
from heretic_tui.tui.screens.base import ModeScreen, RunScreen
from heretic_tui.tui.screens.dialogs import ChoiceDialog, LineDialog
from heretic_tui.tui.widgets.message_box import MessageBox
from heretic_tui.tui.widgets.quiet_input import QuietInput
from heretic_tui.words import duration

_STREAM_TICK = 0.1
_MEASURED = Sampling(temperature=0.0, max_tokens=512)


@dataclass(frozen=True)
class ChatSettings:
    """What a person set for the conversation."""

    system_prompt: str
    sampling: Sampling = _MEASURED
    thinking: bool = False

    def to_json(self) -> dict[str, object]:
        return {"system_prompt": self.system_prompt, **asdict(self.sampling), "thinking": self.thinking}


class ChatScreen(ModeScreen):
    """Two panes, one of them hidden unless two models answer."""

    HELP_TEXT = """
Enter sends; alt+enter or ctrl+j begins a new line, and what is pasted keeps its lines. Esc withdraws a message that
waits, or stops an answer; the next esc (or tab) leaves the line, so that single keys work: 1 to 5 for the screens, j
and k to scroll, ? and q. During a search an answer waits for its turn, and the search goes on after.

Models answer as the trials were measured: greedily, with the run's system prompt and response prefix. ctrl+l samples
instead, and goes back. What each model said before is told to itself alone.

Conversations are kept in the run folder, in conversations/, for nobody but you to read; D deletes this one, or all.
"""
    BINDINGS = [
        Binding("escape", "stop", "Stop", tooltip="withdraw a message that waits, or stop the answer"),
        Binding("escape", "leave", "Leave the line", tooltip="leave the line, so that single keys work"),
        Binding("tab,shift+tab", "turn", "Line", show=False, tooltip="leave the line, or go back to it"),
        Binding("ctrl+t", "model", "Model", tooltip="who answers: base model or a trial"),
        Binding("ctrl+g", "both", "Both", tooltip="base model and trial side by side"),
        Binding("ctrl+l", "sample", "Sample", tooltip="draw tokens at a temperature, or answer as measured"),
        Binding("ctrl+o", "options", "Options", tooltip="system prompt, temperature, length, thinking"),
        Binding(
            "ctrl+r", "resend", "Edit last", show=False, tooltip="take the last turn back, edit it and send it again"
        ),
        Binding("ctrl+n", "new", "New", show=False, tooltip="begin another conversation"),
        Binding("ctrl+s", "save", "Save", show=False, tooltip="as Markdown or JSON"),
        Binding("i,enter", "write", "Write"),
        *scroll_bindings(2, 12),
        Binding("y", "copy", "Copy last answer", show=False),
        Binding("D", "delete", "Delete", show=False, tooltip="delete this conversation, or all of this run"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._settings: ChatSettings | None = None
        self._of: Conversations | None = None
        # What ctrl+l turns on: as it was last set.
        self._sampled = Sampling(temperature=0.7, top_p=0.95, max_tokens=_MEASURED.max_tokens)
        self._widgets: dict[int, Static] = {}
        self._header = Text()
        self._away = True

    def body(self) -> ComposeResult:
        yield Static("", markup=False, id="chat-header")
        with Horizontal(id="chat-panes"):
            yield VerticalScroll(id="chat-0", can_focus=False)
            yield VerticalScroll(id="chat-1", can_focus=False)
        with Vertical(id="chat-bottom"):
            yield Static("", markup=False, id="chat-status")
            yield MessageBox("say something; enter sends, alt+enter begins a new line", id="chat-input")

    def on_mount(self) -> None:
        for side in (0, 1):
            self.query_one(f"#chat-{side}", VerticalScroll).anchor()
        self.set_interval(_STREAM_TICK, self.careful(self._stream))

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self._away:
            self._box.focus()

    def on_screen_suspend(self) -> None:
        # After a dialog the line is as it was, left or not.
        self._away = self.heretic.current_mode != "chat"

    @property
    def _box(self) -> MessageBox:
        return self.query_one("#chat-input", MessageBox)

    # Who answers, and how

    @property
    def sides(self) -> list[int | None]:
        """Who answers: those that a person chose, or whatever trial is selected on the trials screen."""
        if (chosen := self.heretic.conversations.chosen) is not None:
            return chosen
        trial = self.heretic.trial
        return [trial.number if trial and trial.state in MEASURED_STATES else None]

    @property
    def settings(self) -> ChatSettings:
        return self._settings or ChatSettings(self._run_prompt)

    @property
    def _run_prompt(self) -> str:
        opened = self.heretic.state.opened
        return str(opened.settings.get("system_prompt", "")) if opened else ""

    def _how(self) -> str:
        """How tokens are picked, and whether a trial would answer so too."""
        settings, s = self.settings, self.settings.sampling
        length = f"up to {s.max_tokens} tokens"
        own = ["another system prompt"] * (settings.system_prompt != self._run_prompt)
        own += ["thinking"] * settings.thinking
        if s.temperature:
            own.insert(0, f"sampled: temperature {s.temperature:g}, top-p {s.top_p:g}")
        elif not own:
            return f"as measured: greedy, the run's system prompt; {length}"
        else:
            own.insert(0, "greedy")
        return f"not as measured: {', '.join(own)}; {length}"

    # Painting

    def paint(self, kinds: frozenset[str]) -> None:
        if self._of is not self.heretic.conversations:
            # Another run, with a system prompt of its own.
            self._of, self._settings = self.heretic.conversations, None
        if "*" in kinds:
            self._rebuild()
        self._paint_header()
        self._paint_answers()

    def _stream(self) -> None:
        """Answers are painted ten times a second, all else at the tick."""
        if self.is_ready and self.app.screen is self and self.heretic.conversations.open:
            self.heretic.tick()
            self._paint_answers()

    def _paint_header(self) -> None:
        names = " | ".join(name_of(trial) for trial in self.sides)
        text = Text()
        text.append(f" {names} ", "bold reverse")
        text.append(f"  {self._how()}")
        if text != self._header:
            # In as many lines as it takes.
            self._header = text
            self.query_one("#chat-header", Static).update(text)
        self.query_one("#chat-1").display = len(self.sides) > 1 or any(
            len(turn.answers) > 1 for turn in self.heretic.conversations.turns
        )
        self._paint_status()

    def _paint_status(self) -> None:
        app = self.heretic
        waiting = [a for a in app.conversations.open if not a.started]
        words = ""
        if app.host is None or app.host.control is None or not app.alive:
            words = app.no_engine
        elif waiting and app.host.control.paused and app.state.phase == "search":
            words = "The answer waits for its turn; esc withdraws it."
        elif waiting and (running := app.state.running):
            words = f"The answer waits for the end of trial {running.number}; esc withdraws it."
        elif waiting:
            words = f"The answer waits: {app.state.phase or 'starting'}. Esc withdraws it."
        elif app.conversations.open:
            stopping = all(answer.stopping for answer in app.conversations.open)
            words = "stopping" if stopping else "answering; esc stops"
        self.query_one("#chat-status", Static).update(Text(words, "italic", no_wrap=True), layout=False)

    def _rebuild(self) -> None:
        """Panes as the conversation is: after another run was opened, or a turn taken back."""
        self._widgets.clear()
        for side in (0, 1):
            self.query_one(f"#chat-{side}").remove_children()
        for turn in self.heretic.conversations.turns:
            self._mount_turn(turn)

    def _mount_turn(self, turn: Turn) -> None:
        for side, answer in enumerate(turn.answers):
            pane = self.query_one(f"#chat-{side}")
            if change := self.heretic.conversations.change(turn, side):
                pane.mount(Static(f"-- {change} --", markup=False, classes="chat-divider"))
            pane.mount(Static(safe_lines(turn.user), markup=False, classes="chat-user"))
            widget = Static(self._answer_text(answer), markup=False, classes="chat-answer")
            self._widgets[answer.id] = widget
            pane.mount(widget)

    def _paint_answers(self) -> None:
        for turn in self.heretic.conversations.turns[-1:]:
            for answer in turn.answers:
                widget = self._widgets.get(answer.id)
                shown = (len(answer.text), answer.reason, answer.started)
                if widget is not None and getattr(widget, "shown", None) != shown:
                    widget.shown = shown  # type: ignore[attr-defined]
                    widget.update(self._answer_text(answer))
        self._paint_status()

    def _answer_text(self, answer: Answer) -> Text:
        text = Text()
        text.append(f"{name_of(answer.trial)}\n", "bold")
        text.append_text(safe_lines(answer.text))
        if answer.reason == "failed":
            text.append(f"\n[failed: {safe_lines(answer.error or '').plain}]", "bold red")
        elif answer.reason is not None:
            rate = f", {answer.tokens / answer.seconds:.0f} a second" if answer.seconds else ""
            figures = "" if self.heretic.frozen else f" in {duration(answer.seconds)}{rate}"
            words = {"end": "", "length": "; cut at the length limit", "stopped": "; stopped"}[answer.reason]
            text.append(f"\n{answer.tokens} tokens{figures}{words}", "dim")
        elif not answer.started:
            text.append(self.heretic.glyphs.ellipsis, "dim")
        return text

    # Sending

    @on(MessageBox.Submitted)
    def _submitted(self, event: MessageBox.Submitted) -> None:
        app, text = self.heretic, event.box.text
        if not text.strip():
            return
        if app.host is None or app.host.control is None or not app.alive:
            self._paint_status()
            self.app.bell()
            return
        if app.conversations.open:
            app.say("One answer at a time: esc stops this one.")
            return
        # From here on these answer, whatever is selected on the trials screen meanwhile.
        sides = app.conversations.chosen = self.sides
        settings = self.settings
        histories = [app.conversations.history(trial, text) for trial in sides]
        turn = app.conversations.ask(text, sides, settings.to_json())
        for answer, history in zip(turn.answers, histories, strict=True):
            answer.command = Chat(
                answer.id, answer.trial, history, settings.system_prompt, settings.sampling, settings.thinking
            )  # fmt: skip
            app.host.control.send(answer.command)
        event.box.set_text("")
        self._mount_turn(turn)
        self._paint_header()
        self.refresh_bindings()

    # Actions

    def works(self, action: str) -> bool:
        return action != "submit" or self.heretic.can_ask

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        talk = self.heretic.conversations
        match action:
            case "stop":
                return any(not answer.stopping for answer in talk.open)
            case "leave":
                return self.focused is not None
            case "write":
                return self.focused is None
            case "copy" | "save" | "resend" | "new":
                return bool(talk.turns)
            case "delete":
                folder = self.heretic.folder
                return bool(talk.turns) or (folder is not None and kept_conversations(folder) > 0)
        return True

    def action_stop(self) -> None:
        """Withdraw what waits, at once and whatever the engine is at; stop what is being said."""
        withdrawn = self.heretic.stop_answers()
        if withdrawn is not None:
            typed = self._box.text
            self._box.set_text(withdrawn + (f"\n{typed}" if typed else ""))
            self._rebuild()
        self.heretic.keep()
        self._paint_answers()
        self.refresh_bindings()

    def action_leave(self) -> None:
        self.set_focus(None)

    def action_write(self) -> None:
        self._box.focus()

    def action_turn(self) -> None:
        if self.focused is None:
            self._box.focus()
        else:
            self.set_focus(None)

    def action_scroll(self, lines: int) -> None:
        for side in (0, 1):
            self.query_one(f"#chat-{side}").scroll_relative(y=lines, animate=False)

    def action_model(self) -> None:
        state = self.heretic.state
        complete = state.front()[:9]
        answers = [("b", "base", "base model")]
        answers += [
            (str(place), str(t.number), f"trial {t.number}: {figures_sentence(t, state.figures[:2])}")
            for place, t in enumerate(complete, start=1)
        ]
        selected = self.heretic.trial
        if selected and selected.state in MEASURED_STATES and selected not in complete:
            answers.append(("s", str(selected.number), f"trial {selected.number}, selected on the trials screen"))

        def answered(answer: str | None) -> None:
            if answer is not None:
                trial = None if answer == "base" else int(answer)
                both = len(self.sides) > 1 and trial is not None
                self.heretic.conversations.chosen = [None, trial] if both else [trial]
                self._paint_header()

        self.app.push_screen(
            ChoiceDialog("Who answers?", "Trials on the front, and the one selected.", answers), answered
        )

    def action_both(self) -> None:
        talk, sides = self.heretic.conversations, self.sides
        if len(sides) > 1:
            talk.chosen = sides[1:]
        else:
            front = self.heretic.state.front()
            other = sides[0] if sides[0] is not None else (front[0].number if front else None)
            if other is None:
                self.heretic.say("There is no complete trial to put beside the base model yet.")
                return
            talk.chosen = [None, other]
        self._paint_header()

    def action_sample(self) -> None:
        """Draw tokens at a temperature, as last set, or take the most likely one again."""
        settings = self.settings
        sampling = settings.sampling
        if sampling.temperature:
            self._sampled = sampling
            sampling = replace(sampling, temperature=0.0, top_p=_MEASURED.top_p)
        else:
            sampling = replace(self._sampled, max_tokens=sampling.max_tokens)
        self._settings = replace(settings, sampling=sampling)
        self._paint_header()

    def action_options(self) -> None:
        model = self.heretic.state.model

        def answered(settings: ChatSettings | None) -> None:
            if settings:
                self._settings = settings
                self._paint_header()

        self.app.push_screen(ChatOptions(self.settings, bool(model and model.thinking)), answered)

    def action_resend(self) -> None:
        if self.heretic.conversations.open:
            self.heretic.say("Stop the answer first: esc.")
        elif (text := self.heretic.conversations.take_back()) is not None:
            self._box.set_text(text)
            self._box.focus()
            self.heretic.keep()
            self._rebuild()

    def action_new(self) -> None:
        if self.heretic.conversations.open:
            self.heretic.say("Stop the answer first: esc.")
            return
        self.heretic.conversations.clear()
        self._rebuild()
        self._paint_header()

    def action_delete(self) -> None:
        app = self.heretic
        folder = app.folder
        if app.conversations.open:
            app.say("Stop the answer first: esc.")
            return
        kept = kept_conversations(folder) if folder else 0
        answers = [("n", "no", "no, keep them")]
        if app.conversations.turns:
            answers.append(("t", "this", "this one"))
        if kept:
            answers.append(("a", "all", f"all {kept} that are kept in the folder of this run"))

        def answered(answer: str | None) -> None:
            if answer in (None, "no"):
                return
            try:
                if answer == "all" and folder:
                    delete_conversations(folder)
                else:
                    app.conversations.forget()
            except OSError as error:
                app.say(f"cannot delete: {one_line(error)}", "error")
                return
            app.conversations.clear()
            self._rebuild()
            self._paint_header()

        self.app.push_screen(ChoiceDialog("Delete conversations?", "This cannot be undone.", answers), answered)

    def action_copy(self) -> None:
        turns = self.heretic.conversations.turns
        if turns and turns[-1].answers:
            self.heretic.copy(turns[-1].answers[-1].text, "last answer")

    def action_save(self) -> None:
        folder = self.heretic.folder
        if folder is None or not self.heretic.conversations.turns:
            self.heretic.say("There is nothing to save yet.")
            return

        def check(text: str) -> str | None:
            try:
                path = user_path(text)
            except UsageError as error:
                return str(error)
            if path.suffix not in (".md", ".json"):
                return "a name that ends in .md or .json"
            return "there is such a file already" if os.path.exists(path) else None

        def answered(text: str | None) -> None:
            if text:
                self._write(user_path(text))

        name = time.strftime("chat-%Y%m%d-%H%M%S.md")
        self.app.push_screen(
            LineDialog("Save the conversation", str(folder.path / name), ".md or .json", check), answered
        )

    def _write(self, path: Path) -> None:
        opened = self.heretic.state.opened
        header: dict[str, object] = {
            "model": opened.model if opened else None,
            "run": opened.run if opened else None,
            **self.settings.to_json(),
        }
        talk = self.heretic.conversations
        try:
            text = talk.to_json(header) if path.suffix == ".json" else talk.to_markdown(header)
            path.write_text(text, encoding="utf-8", errors="replace")
        except OSError as error:
            self.heretic.say(f"cannot write {path}: {error.strerror}", "error")
        else:
            talk.not_kept = None
            self.heretic.say(f"saved: {path}")


class ChatOptions(RunScreen, ModalScreen[ChatSettings | None]):
    """System prompt and sampling; enter takes them."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Cancel", show=False)]

    def __init__(self, settings: ChatSettings, thinking: bool) -> None:
        super().__init__()
        self._settings, self._thinking = settings, thinking

    def compose(self) -> ComposeResult:
        s = self._settings
        with Vertical(classes="dialog"):
            yield Label("Options of the chat (enter takes them)", classes="dialog-title", markup=False)
            for name, words, value in (
                ("system", "system prompt", s.system_prompt),
                ("temperature", "temperature (0: the most likely token)", f"{s.sampling.temperature:g}"),
                ("top_p", "top-p", f"{s.sampling.top_p:g}"),
                ("max_tokens", "most tokens of an answer", str(s.sampling.max_tokens)),
                ("seed", "seed (empty: another each time)", "" if s.sampling.seed is None else str(s.sampling.seed)),
            ):
                yield Label(words, markup=False)
                yield QuietInput(value, id=name, compact=True)
            if self._thinking:
                yield Checkbox("thinking", s.thinking, id="thinking", compact=True)
            yield Static("", markup=False, id="problem")

    @on(Input.Submitted)
    def _take(self) -> None:
        values = {box.id: box.value.strip() for box in self.query(Input)}
        try:
            sampling = replace(
                self._settings.sampling,
                temperature=_number(values["temperature"], 0, 5, "temperature"),
                top_p=_number(values["top_p"], 0.01, 1, "top-p"),
                max_tokens=int(_number(values["max_tokens"], 1, 32768, "most tokens")),
                seed=int(_number(values["seed"], 0, 2**31, "seed")) if values["seed"] else None,
            )
        except ValueError as error:
            self.query_one("#problem", Static).update(Text(str(error), "bold red"))
            return
        boxes = self.query(Checkbox)
        thinking = boxes.first().value if boxes else False
        self.dismiss(ChatSettings(self.query_one("#system", Input).value, sampling, thinking))


def _number(text: str, low: float, high: float, name: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is no number") from None
    if not low <= value <= high:
        raise ValueError(f"{name}: from {low:g} to {high:g}")
    return value
