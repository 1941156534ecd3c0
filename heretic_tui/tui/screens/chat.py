"""Chat: talk to the base model or a trial, or to both side by side, while a search runs or afterwards."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Checkbox, Input, Label, Static

from heretic_tui.engine.control import Chat, Sampling
from heretic_tui.runtime.state import MEASURED
from heretic_tui.runtime.text import duration
from heretic_tui.tui.conversation import Answer, Turn, name_of
from heretic_tui.tui.keys import scroll_bindings
from heretic_tui.tui.look import safe_lines
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.dialogs import Ask, Choose
from heretic_tui.tui.widgets.quiet_input import QuietInput

_STREAM_TICK = 0.1
_SAMPLING = Sampling(temperature=0.7, top_p=0.95, max_tokens=512)


@dataclass(frozen=True)
class ChatSettings:
    """What a person set for the conversation."""

    system_prompt: str
    sampling: Sampling = _SAMPLING
    thinking: bool = False


class ChatScreen(ModeScreen):
    """Two panes, one of them hidden unless two models answer."""

    HELP_TEXT = """
Enter sends. Esc stops an answer; with nothing to stop it leaves the input line, so that single keys work: 1 to 5 for
the screens, j and k to scroll. During a search an answer waits for the end of the trial, and the search goes on after.
"""
    BINDINGS = [
        Binding("escape", "stop_or_leave", "Stop"),
        Binding("ctrl+t", "model", "Model", tooltip="who answers: base model or a trial"),
        Binding("ctrl+g", "both", "Both", tooltip="base model and trial side by side"),
        Binding("ctrl+o", "options", "Options", tooltip="system prompt, temperature, length, thinking"),
        Binding(
            "ctrl+r", "resend", "Edit last", show=False, tooltip="take the last turn back, edit it and send it again"
        ),
        Binding("ctrl+n", "new", "New", show=False, tooltip="begin another conversation"),
        Binding("ctrl+s", "save", "Save", show=False, tooltip="as Markdown or JSON"),
        Binding("i,enter", "write", "Write", show=False),
        *scroll_bindings(2, 12),
        Binding("y", "copy", "Copy last answer", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._settings: ChatSettings | None = None
        # None: whatever trial is selected on the trials screen; a list once a person chose.
        self._chosen: list[int | None] | None = None
        self._widgets: dict[int, Static] = {}
        self._sent: dict[int, Chat] = {}

    def body(self) -> ComposeResult:
        yield Static("", markup=False, id="chat-header")
        with Horizontal(id="chat-panes"):
            yield VerticalScroll(id="chat-0", can_focus=False)
            yield VerticalScroll(id="chat-1", can_focus=False)
        with Vertical(id="chat-bottom"):
            yield Static("", markup=False, id="chat-status")
            yield QuietInput(placeholder="say something; enter sends", id="chat-input")

    def on_mount(self) -> None:
        for side in (0, 1):
            self.query_one(f"#chat-{side}", VerticalScroll).anchor()
        self.set_interval(_STREAM_TICK, self._stream)

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.query_one("#chat-input").focus()

    # Who answers, and how

    @property
    def sides(self) -> list[int | None]:
        if self._chosen is not None:
            return self._chosen
        trial = self.heretic.trial
        return [trial.number if trial and trial.state in MEASURED else None]

    @property
    def settings(self) -> ChatSettings:
        if self._settings is not None:
            return self._settings
        # The run's own system prompt, so that a chat meets the model as the trials did.
        opened = self.heretic.state.opened
        return ChatSettings(opened.settings.get("system_prompt", "") if opened else "")

    # Painting

    def paint(self, kinds: frozenset[str]) -> None:
        if "*" in kinds:
            self._rebuild()
        self._paint_header()
        self._paint_answers()

    def _stream(self) -> None:
        """Answers are painted ten times a second, all else at the tick."""
        if self.stands and self.app.screen is self and self.heretic.conversations.open:
            self.heretic.tick()
            self._paint_answers()

    def _paint_header(self) -> None:
        names = " | ".join(name_of(trial) for trial in self.sides)
        s = self.settings.sampling
        how = "most likely token" if s.temperature == 0 else f"temperature {s.temperature:g}, top-p {s.top_p:g}"
        thinking = ", thinking" if self.settings.thinking else ""
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f" {names} ", "bold reverse")
        text.append(f"  {how}, up to {s.max_tokens} tokens{thinking}")
        self.query_one("#chat-header", Static).update(text, layout=False)
        self.query_one("#chat-1").display = len(self.sides) > 1 or any(
            len(turn.answers) > 1 for turn in self.heretic.conversations.turns
        )
        self._paint_status()

    def _paint_status(self) -> None:
        app = self.heretic
        waiting = [a for a in app.conversations.open if not a.started]
        words = ""
        if app.host is None:
            words = "Start a run first: key 1."
        elif app.host.control is None:
            words = "Following another process: only the terminal that runs the engine can chat."
        elif not app.alive:
            words = "The engine has ended: start or resume the run to chat."
        elif waiting and app.host.control.paused:
            words = "The run is paused: the answer waits until it goes on (p)."
        elif waiting and (running := app.state.running):
            words = f"The answer waits for the end of trial {running.number}; the search goes on afterwards."
        elif waiting:
            words = f"The answer waits: {app.state.phase or 'starting'}."
        elif app.conversations.open:
            words = "answering; esc stops"
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

    @on(Input.Submitted, "#chat-input")
    def _submitted(self, event: Input.Submitted) -> None:
        app = self.heretic
        said = event.value.strip()
        if not said:
            return
        if app.host is None or app.host.control is None or not app.alive:
            self._paint_status()
            self.app.bell()
            return
        if app.conversations.open:
            app.say("One answer at a time: esc stops this one.")
            return
        sides = self.sides
        histories = [app.conversations.history(side, said) for side in range(len(sides))]
        turn = app.conversations.ask(said, sides)
        settings = self.settings
        for answer, history in zip(turn.answers, histories, strict=True):
            chat = Chat(
                answer.id, answer.trial, history, settings.system_prompt, settings.sampling, settings.thinking
            )  # fmt: skip
            self._sent[answer.id] = chat
            app.host.control.send(chat)
        event.input.value = ""
        self._mount_turn(turn)
        self._paint_header()

    # Actions

    def action_stop_or_leave(self) -> None:
        app = self.heretic
        if app.conversations.open and app.host and app.host.control:
            for answer in app.conversations.open:
                app.host.control.cancel(self._sent[answer.id])
            return
        self.set_focus(None)

    def action_write(self) -> None:
        self.query_one("#chat-input").focus()

    def action_scroll(self, lines: int) -> None:
        for side in (0, 1):
            self.query_one(f"#chat-{side}").scroll_relative(y=lines, animate=False)

    def action_model(self) -> None:
        state = self.heretic.state
        complete = state.front()[:9]
        answers = [("b", "base", "base model")]
        answers += [
            (str(place), str(t.number), f"trial {t.number}: {t.refusals} refused, KL {t.kl_divergence:.4f}")
            for place, t in enumerate(complete, start=1)
        ]
        selected = self.heretic.trial
        if selected and selected.state in MEASURED and selected not in complete:
            answers.append(("s", str(selected.number), f"trial {selected.number}, selected on the trials screen"))

        def answered(answer: str | None) -> None:
            if answer is not None:
                trial = None if answer == "base" else int(answer)
                self._chosen = [None, trial] if len(self.sides) > 1 and trial is not None else [trial]
                self._paint_header()

        self.app.push_screen(Choose("Who answers?", "Trials on the front, and the one selected.", answers), answered)

    def action_both(self) -> None:
        sides = self.sides
        if len(sides) > 1:
            self._chosen = sides[1:]
        else:
            front = self.heretic.state.front()
            other = sides[0] if sides[0] is not None else (front[0].number if front else None)
            if other is None:
                self.heretic.say("There is no complete trial to put beside the base model yet.")
                return
            self._chosen = [None, other]
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
        elif (said := self.heretic.conversations.take_back()) is not None:
            box = self.query_one("#chat-input", Input)
            box.value = said
            box.focus()
            self._rebuild()

    def action_new(self) -> None:
        if self.heretic.conversations.open:
            self.heretic.say("Stop the answer first: esc.")
            return
        self.heretic.conversations.clear()
        self._rebuild()

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
            path = Path(text).expanduser()
            if path.suffix not in (".md", ".json"):
                return "a name that ends in .md or .json"
            return "there is such a file already" if path.exists() else None

        def answered(text: str | None) -> None:
            if text:
                self._write(Path(text).expanduser())

        name = time.strftime("chat-%Y%m%d-%H%M%S.md")
        self.app.push_screen(Ask("Save the conversation", str(folder.path / name), ".md or .json", check), answered)

    def _write(self, path: Path) -> None:
        opened, s = self.heretic.state.opened, self.settings
        header: dict[str, object] = {
            "model": opened.model if opened else None,
            "run": opened.run if opened else None,
            "system_prompt": s.system_prompt,
            "temperature": s.sampling.temperature,
            "top_p": s.sampling.top_p,
            "max_tokens": s.sampling.max_tokens,
            "seed": s.sampling.seed,
            "thinking": s.thinking,
        }
        talk = self.heretic.conversations
        try:
            path.write_text(talk.to_json(header) if path.suffix == ".json" else talk.to_markdown(header), "utf-8")
        except OSError as error:
            self.heretic.say(f"cannot write {path}: {error.strerror}", "error")
        else:
            self.heretic.say(f"saved: {path}")


class ChatOptions(ModalScreen[ChatSettings | None]):
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
