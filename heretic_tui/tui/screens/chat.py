"""Chat: talk to the base model or a trial, or to both side by side, while a search runs or afterwards. It begins as the
trials are measured: the most likely token each time, with the run's system prompt and response prefix."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from heretic_tui.commands import Chat, Sampling
from heretic_tui.errors import UsageError, one_line
from heretic_tui.files import user_path
from heretic_tui.report.lines import figures_sentence
from heretic_tui.run.state import MEASURED_STATES
from heretic_tui.tui.conversation import Conversations, delete_conversations, kept_conversations, name_of
from heretic_tui.tui.keys import scroll_bindings
from heretic_tui.tui.messages import CopyText, SendCommand
from heretic_tui.tui.questions import Question
from heretic_tui.tui.run_view import EVERYTHING, RunView
from heretic_tui.tui.screens.base import ModeScreen
from heretic_tui.tui.screens.chat_options import MEASURED, ChatOptions, ChatSettings
from heretic_tui.tui.screens.dialogs import ChoiceDialog, LineDialog
from heretic_tui.tui.widgets.chat_panes import ChatPanes
from heretic_tui.tui.widgets.message_box import MessageBox


class ChatScreen(ModeScreen):
    """Two panes, one of them hidden unless two models answer."""

    SCOPE = "chat"
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
        self._sampled = Sampling(temperature=0.7, top_p=0.95, max_tokens=MEASURED.max_tokens)
        self._header = Text()
        self._away = True

    def body(self) -> ComposeResult:
        yield Static("", markup=False, id="chat-header")
        yield ChatPanes()
        with Vertical(id="chat-bottom"):
            yield Static("", markup=False, id="chat-status")
            yield MessageBox("say something; enter sends, alt+enter begins a new line", id="chat-input")

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        if self._away:
            self._box.focus()

    def on_screen_suspend(self) -> None:
        # After a dialog the line is as it was, left or not.
        self._away = self.app.current_mode != "chat"

    @property
    def _panes(self) -> ChatPanes:
        return self.query_one(ChatPanes)

    @property
    def _box(self) -> MessageBox:
        return self.query_one("#chat-input", MessageBox)

    # Who answers, and how

    @property
    def sides(self) -> list[int | None]:
        """Who answers: those that the user chose, or whatever trial is selected on the trials screen."""
        if (chosen := self.view.conversations.chosen) is not None:
            return chosen
        trial = self.view.trial
        return [trial.number if trial and trial.state in MEASURED_STATES else None]

    @property
    def settings(self) -> ChatSettings:
        return self._settings or ChatSettings(self._run_prompt)

    @property
    def _run_prompt(self) -> str:
        opened = self.view.state.opened
        return str(opened.settings.get("system_prompt", "")) if opened else ""

    # Painting

    def paint(self, kinds: frozenset[str]) -> None:
        if self._of is not self.view.conversations:
            # Another run, with a system prompt of its own.
            self._of, self._settings = self.view.conversations, None
        if EVERYTHING in kinds:
            self._rebuild()
        self._paint_header()
        self._paint_answers()

    def _paint_header(self) -> None:
        names = " | ".join(name_of(trial) for trial in self.sides)
        text = Text()
        text.append(f" {names} ", "bold reverse")
        text.append(f"  {self.settings.in_words(self._run_prompt)}")
        if text != self._header:
            # In as many lines as it takes.
            self._header = text
            self.query_one("#chat-header", Static).update(text)
        self._panes.show_both(
            len(self.sides) > 1 or any(len(turn.answers) > 1 for turn in self.view.conversations.turns)
        )
        self._paint_status()

    def _paint_status(self) -> None:
        text = Text(_status(self.view), "italic", no_wrap=True)
        self.query_one("#chat-status", Static).update(text, layout=False)

    def _rebuild(self) -> None:
        """Panes as the conversation is: after another run was opened, or a turn taken back."""
        self._panes.show(self.view)

    def _paint_answers(self) -> None:
        self._panes.paint_answers(self.view)
        self._paint_status()

    # Sending

    @on(MessageBox.Submitted)
    def _submitted(self, event: MessageBox.Submitted) -> None:
        view, text = self.view, event.box.text
        if not text.strip():
            return
        if not view.can_ask:
            self._paint_status()
            self.app.bell()
            return
        if view.conversations.open:
            self.say("One answer at a time: esc stops this one.")
            return
        # From here on these answer, whatever is selected on the trials screen meanwhile.
        sides = view.conversations.chosen = self.sides
        settings = self.settings
        histories = [view.conversations.history(trial, text) for trial in sides]
        turn = view.conversations.ask(text, sides, settings.to_json())
        for answer, history in zip(turn.answers, histories, strict=True):
            answer.command = Chat(
                answer.id, answer.trial, history, settings.system_prompt, settings.sampling, settings.thinking
            )  # fmt: skip
            self.ask(SendCommand(answer.command))
        event.box.set_text("")
        self._panes.add_turn(turn, view)
        self._paint_header()
        self.refresh_bindings()

    # Actions

    def works(self, action: str) -> bool:
        return action != "submit" or self.view.can_ask

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        talk = self.view.conversations
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
                folder = self.view.folder
                return bool(talk.turns) or (folder is not None and kept_conversations(folder) > 0)
        return True

    def action_stop(self) -> None:
        """Withdraw what waits, at once and whatever the engine is at; stop what is being said."""
        withdrawn = self.view.stop_answers()
        if withdrawn is not None:
            typed = self._box.text
            self._box.set_text(withdrawn + (f"\n{typed}" if typed else ""))
            self._rebuild()
        self._keep()
        self._paint_answers()
        self.refresh_bindings()

    def _keep(self) -> None:
        if problem := self.view.keep_conversation():
            self.say(f"The conversation is not kept: {problem}", "error")

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
        self._panes.scroll_both(lines)

    def action_model(self) -> None:
        state = self.view.state
        complete = state.front()[:9]
        answers = [("b", "base", "base model")]
        answers += [
            (str(place), str(t.number), f"trial {t.number}: {figures_sentence(t, state.figures[:2])}")
            for place, t in enumerate(complete, start=1)
        ]
        selected = self.view.trial
        if selected and selected.state in MEASURED_STATES and selected not in complete:
            answers.append(("s", str(selected.number), f"trial {selected.number}, selected on the trials screen"))

        def answered(answer: str | None) -> None:
            if answer is not None:
                trial = None if answer == "base" else int(answer)
                both = len(self.sides) > 1 and trial is not None
                self.view.conversations.chosen = [None, trial] if both else [trial]
                self._paint_header()

        question = Question("Who answers?", "Trials on the front, and the one selected.", tuple(answers))
        self.app.push_screen(ChoiceDialog(question), answered)

    def action_both(self) -> None:
        talk, sides = self.view.conversations, self.sides
        if len(sides) > 1:
            talk.chosen = sides[1:]
        else:
            front = self.view.state.front()
            other = sides[0] if sides[0] is not None else (front[0].number if front else None)
            if other is None:
                self.say("There is no complete trial to put beside the base model yet.")
                return
            talk.chosen = [None, other]
        self._paint_header()

    def action_sample(self) -> None:
        """Draw tokens at a temperature, as last set, or take the most likely one again."""
        settings = self.settings
        sampling = settings.sampling
        if sampling.temperature:
            self._sampled = sampling
            sampling = replace(sampling, temperature=0.0, top_p=MEASURED.top_p)
        else:
            sampling = replace(self._sampled, max_tokens=sampling.max_tokens)
        self._settings = replace(settings, sampling=sampling)
        self._paint_header()

    def action_options(self) -> None:
        model = self.view.state.model

        def answered(settings: ChatSettings | None) -> None:
            if settings:
                self._settings = settings
                self._paint_header()

        self.app.push_screen(ChatOptions(self.settings, bool(model and model.thinking)), answered)

    def action_resend(self) -> None:
        if self.view.conversations.open:
            self.say("Stop the answer first: esc.")
        elif (text := self.view.conversations.take_back()) is not None:
            self._box.set_text(text)
            self._box.focus()
            self._keep()
            self._rebuild()

    def action_new(self) -> None:
        if self.view.conversations.open:
            self.say("Stop the answer first: esc.")
            return
        self.view.conversations.clear()
        self._rebuild()
        self._paint_header()

    def action_delete(self) -> None:
        talk, folder = self.view.conversations, self.view.folder
        if talk.open:
            self.say("Stop the answer first: esc.")
            return
        kept = kept_conversations(folder) if folder else 0
        answers = [("n", "no", "no, keep them")]
        if talk.turns:
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
                    talk.forget()
            except OSError as error:
                self.say(f"cannot delete: {one_line(error)}", "error")
                return
            talk.clear()
            self._rebuild()
            self._paint_header()

        question = Question("Delete conversations?", "This cannot be undone.", tuple(answers))
        self.app.push_screen(ChoiceDialog(question), answered)

    def action_copy(self) -> None:
        turns = self.view.conversations.turns
        if turns and turns[-1].answers:
            self.ask(CopyText(turns[-1].answers[-1].text, "last answer"))

    def action_save(self) -> None:
        folder = self.view.folder
        if folder is None or not self.view.conversations.turns:
            self.say("There is nothing to save yet.")
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
        opened = self.view.state.opened
        header: dict[str, object] = {
            "model": opened.model if opened else None,
            "run": opened.run if opened else None,
            **self.settings.to_json(),
        }
        talk = self.view.conversations
        try:
            text = talk.to_json(header) if path.suffix == ".json" else talk.to_markdown(header)
            path.write_text(text, encoding="utf-8", errors="replace")
        except OSError as error:
            self.say(f"cannot write {path}: {error.strerror}", "error")
        else:
            talk.not_kept = None
            self.say(f"saved: {path}")


def _status(view: RunView) -> str:
    """What an answer waits for, or why there can be none."""
    talk, state = view.conversations, view.state
    waiting = [answer for answer in talk.open if not answer.started]
    if not view.can_ask:
        return view.no_engine
    if waiting and view.control and view.control.paused and state.phase == "search":
        return "The answer waits for its turn; esc withdraws it."
    if waiting and (running := state.running):
        return f"The answer waits for the end of trial {running.number}; esc withdraws it."
    if waiting:
        return f"The answer waits: {state.phase or 'starting'}. Esc withdraws it."
    if talk.open:
        return "stopping" if all(answer.stopping for answer in talk.open) else "answering; esc stops"
    return ""
