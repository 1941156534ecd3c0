"""The part of the chat screen that keeps conversations: in the run folder, in a list, in a file of the user's."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from textual.binding import Binding

from heretic_tui.errors import UsageError, one_line
from heretic_tui.files import user_path
from heretic_tui.run.conversations import KeptConversation, count_conversations, delete_conversations
from heretic_tui.tui.conversation_text import to_json, to_markdown
from heretic_tui.tui.messages import CopyText
from heretic_tui.tui.questions import Question
from heretic_tui.tui.screens.chat_base import ChatBase
from heretic_tui.tui.screens.chat_kept import KeptDialog
from heretic_tui.tui.screens.dialogs import ChoiceDialog, LineDialog
from heretic_tui.words import counted


class ChatKeeping(ChatBase):
    """Another conversation, one of before, and what becomes of this one."""

    SCOPE = "chat"
    BINDINGS = [
        Binding("ctrl+r", "resend", "Retry", show=False, tooltip="take the last turn back, edit it and send it again"),
        Binding("ctrl+n", "new", "New", show=False, tooltip="begin another conversation"),
        Binding("ctrl+s", "save", "Save", show=False, tooltip="save the conversation as Markdown or JSON"),
        Binding("y", "copy_answer", "Copy", show=False, tooltip="copy the last answer of the active column"),
        Binding("O", "kept", "Conversations", show=False, tooltip="list the conversations of this run"),
        Binding("D", "delete", "Delete", show=False, tooltip="delete this conversation, or all of this run"),
    ]

    def __init__(self) -> None:
        super().__init__()
        # Conversations that the run folder holds, as of the last look.
        self.kept = 0

    def recount(self) -> None:
        """Look at how many conversations the run folder holds."""
        self.kept = count_conversations(self.view.folder) if self.view.folder else 0

    def keep(self) -> None:
        """Write the conversation into the run folder."""
        if problem := self.view.keep_conversation():
            self.say(f"The conversation is not kept: {problem}", "error")

    def action_resend(self) -> None:
        if self.talk.open:
            self.say("Stop the answer first: esc.")
        elif (text := self.talk.take_back()) is not None:
            self.box.set_text(text)
            self.box.focus()
            self.keep()
            self.paint_chat()

    def action_new(self) -> None:
        self._before_losing("Begin another conversation?", self._begin_anew)

    def _begin_anew(self) -> None:
        kept = self.talk.file is not None
        self.talk.clear()
        self.recount()
        self.paint_chat()
        if kept:
            self.say("The conversation is kept: O lists it.")

    def action_kept(self) -> None:
        if self.view.folder is None:
            return

        def answered(kept: KeptConversation | None) -> None:
            if kept is not None and kept.path != self.talk.file:
                self._before_losing("Show another conversation?", lambda: self._show_kept(kept))

        self.app.push_screen(KeptDialog(self.view.folder, self.talk.file), answered)

    def _show_kept(self, kept: KeptConversation) -> None:
        self.talk.go_on_with(kept)
        tweaks = [answer.edit for turn in self.talk.turns for answer in turn.answers if answer.edit]
        if tweaks and any(who.tweaked for who in self.columns):
            self.say("The edit that was turned then is no longer held: ctrl+k begins a new one.")
            self.talk.chosen = [who for who in self.columns if not who.tweaked] or None
            self.talk.active = 0
        self.paint_chat()
        self.columns_view.to_end()

    def _before_losing(self, title: str, do: Callable[[], None]) -> None:
        """Do what leaves this conversation, after a question where it is not kept."""
        if self.talk.open:
            self.say("Stop the answer first: esc.")
        elif self.talk.turns and self.talk.not_kept:

            def answered(answer: str | None) -> None:
                if answer == "yes":
                    do()

            text = f"This one is not kept: {self.talk.not_kept}. It would be lost; ctrl+s saves it."
            question = Question(title, text, (("n", "no", "go on with this one"), ("y", "yes", "let it go")))
            self.app.push_screen(ChoiceDialog(question), answered)
        else:
            do()

    def action_delete(self) -> None:
        talk, folder = self.talk, self.view.folder
        if talk.open:
            self.say("Stop the answer first: esc.")
            return
        self.recount()
        answers = [("n", "no", "no, keep them")]
        if talk.turns:
            answers.append(("t", "this", "this one"))
        if self.kept:
            answers.append(("a", "all", f"all {self.kept} that are kept in the folder of this run"))

        def answered(answer: str | None) -> None:
            if answer in (None, "no"):
                return
            try:
                if answer == "all" and folder:
                    delete_conversations(folder)
                else:
                    talk.forget()
            except OSError as error:
                self.say(f"The conversations cannot be deleted: {one_line(error)}", "error")
                return
            talk.clear()
            self.recount()
            self.paint_chat()

        question = Question("Delete conversations?", "This cannot be undone.", tuple(answers))
        self.app.push_screen(ChoiceDialog(question), answered)

    def action_copy_answer(self) -> None:
        answer = next((found for turn in reversed(self.talk.turns) if (found := turn.of(self.active))), None)
        if answer is not None:
            self.ask(CopyText(answer.text, f"last answer of {self.active.name}"))

    def action_save(self) -> None:
        folder = self.view.folder
        if folder is None or not self.talk.turns:
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
        title = f"Save the conversation ({counted(len(self.talk.turns), 'turn')})"
        self.app.push_screen(LineDialog(title, str(folder.path / name), ".md or .json", check), answered)

    def _write(self, path: Path) -> None:
        opened = self.view.state.opened
        header: dict[str, object] = {
            "model": opened.model if opened else None,
            "run": opened.run if opened else None,
            **self.settings.to_json(),
        }
        turns = self.talk.turns
        as_json = path.suffix == ".json"
        text = to_json(turns, header) if as_json else to_markdown(turns, header, self.view.state.behaviour)
        try:
            path.write_text(text, encoding="utf-8", errors="replace")
        except OSError as error:
            self.say(f"{path} cannot be written: {error.strerror}", "error")
        else:
            self.talk.not_kept = None
            self.say(f"The conversation is saved: {path}")
