"""Conversations as the chat screen holds them: turns, the answers that stream in, whether looked at or not, and the
file in the run folder that keeps them."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.commands import Chat
from heretic_tui.errors import HereticError
from heretic_tui.files import replaced
from heretic_tui.run.folder import RunFolder


@dataclass
class Answer:
    """One answer of one model; `reason` is None until it has ended. `command` is what the engine was asked."""

    id: int
    trial: int | None
    text: str = ""
    started: bool = False
    reason: str | None = None
    tokens: int = 0
    seconds: float = 0.0
    error: str | None = None
    command: Chat | None = None
    # Asked to stop; the engine has not said yet that it has.
    stopping: bool = False


@dataclass
class Turn:
    """What the user said, how the models were to answer, and what each side answered."""

    user: str
    answers: list[Answer] = field(default_factory=list)
    how: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        answers = [
            {"trial": a.trial, "text": a.text, "ended": a.reason, "tokens": a.tokens, "seconds": a.seconds}
            | ({"error": a.error} if a.error else {})
            for a in self.answers
        ]
        return {"user": self.user, **self.how, "answers": answers}


@dataclass
class Conversations:
    """One conversation with one or two models on the same words.

    Attributes:
        chosen: who answers; None for whatever trial is selected on the trials screen.
        not_kept: why the run folder does not hold the conversation as it is now; None when it does.
    """

    turns: list[Turn] = field(default_factory=list)
    chosen: list[int | None] | None = None
    not_kept: str | None = None
    _answers: dict[int, Answer] = field(default_factory=dict)
    _next: int = 0
    _file: Path | None = None

    def ask(self, user: str, trials: list[int | None], how: Mapping[str, object] | None = None) -> Turn:
        """A new turn with an empty answer for each model."""
        turn = Turn(user, how=how or {})
        for trial in trials:
            answer = Answer(self._next, trial)
            self._answers[self._next] = answer
            self._next += 1
            turn.answers.append(answer)
        self.turns.append(turn)
        self.not_kept = "its last answer is not whole yet"
        return turn

    def fold(self, event: ev.Event) -> None:
        match event:
            case ev.ChatStarted() if event.id in self._answers:
                self._answers[event.id].started = True
            case ev.ChatDelta() if event.id in self._answers:
                self._answers[event.id].text += event.text
            case ev.ChatEnded() if event.id in self._answers:
                answer = self._answers.pop(event.id)
                answer.reason, answer.tokens, answer.seconds = event.reason, event.tokens, event.seconds
                answer.error = event.error

    @property
    def open(self) -> list[Answer]:
        """Answers that are asked for and have not ended."""
        return [a for turn in self.turns for a in turn.answers if a.reason is None]

    def end(self, reason: str) -> None:
        """The engine has ended: no answer will come."""
        for answer in self.open:
            answer.reason, answer.error = "failed", reason
        self._answers.clear()

    def withdraw(self) -> str | None:
        """Take back a message whose answer has not begun. Returns what the user said where that was a whole turn."""
        for answer in self.open:
            if not answer.started:
                # The engine may have begun by now; what it says of it is dropped.
                self._answers.pop(answer.id, None)
                answer.reason = "stopped"
        turn = self.turns[-1] if self.turns else None
        if turn and not any(a.started for a in turn.answers) and all(a.reason == "stopped" for a in turn.answers):
            return self.take_back()
        return None

    def history(self, trial: int | None, user: str) -> tuple[tuple[str, str], ...]:
        """What one model was asked and answered so far, up to a new message of the user's. What others answered is not
        part of it, nor what they alone were asked."""
        turns: list[tuple[str, str]] = []
        for turn in self.turns:
            for answer in turn.answers:
                if answer.trial == trial and said(answer):
                    turns += [("user", turn.user), ("assistant", answer.text)]
        return (*turns, ("user", user))

    def change(self, turn: Turn, side: int) -> str | None:
        """What a divider before a turn says in one column: that another model answers from here on."""
        earlier = self.turns[: next(place for place, known in enumerate(self.turns) if known is turn)]
        if not earlier:
            return None
        before, now = ([a.trial for a in t.answers] for t in (earlier[-1], turn))
        own = sum(said(answer) for t in earlier for answer in t.answers if answer.trial == now[side])
        if before[side : side + 1] == [now[side]]:
            return None
        if not own:
            return f"{name_of(now[side])} from here on; it has seen nothing of the above"
        return f"{name_of(now[side])} goes on from its own {own} turn{'s' if own > 1 else ''}"

    def take_back(self) -> str | None:
        """Remove the last turn and return what the user said in it."""
        return self.turns.pop().user if self.turns else None

    def clear(self) -> None:
        """Begin another conversation; the file of this one stays."""
        self.turns.clear()
        self._answers.clear()
        self._file = self.not_kept = None

    # The file

    def keep(self, folder: RunFolder | None, header: Mapping[str, object]) -> None:
        """Write the whole conversation, one JSON object a line: the header, then a line for each turn. Only
        its owner may read it. Where that fails, `not_kept` says why."""
        if not self.turns and self._file is None:
            self.not_kept = None
            return
        if folder is None:
            self.not_kept = "there is no run folder yet"
            return
        try:
            if not self.turns:
                self.forget()
                return
            kept = folder.conversations
            kept.mkdir(mode=0o700, exist_ok=True)
            if self._file is None:
                self._file = _new_name(kept)
            records = [dict(header), *(turn.to_json() for turn in self.turns)]
            lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
            with replaced(self._file) as beside:
                handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with open(handle, "w", encoding="utf-8", errors="replace") as file:
                    file.write(lines)
        except OSError as error:
            self.not_kept = f"cannot write to {folder.conversations}: {error.strerror or error}"
        except HereticError as error:
            self.not_kept = str(error)
        else:
            self.not_kept = "its last answer is not whole yet" if self.open else None

    def forget(self) -> None:
        """Delete the file of this conversation.

        Raises:
            OSError: when it cannot be deleted.
        """
        if self._file is not None:
            self._file.unlink(missing_ok=True)
        self._file = self.not_kept = None

    def to_json(self, header: Mapping[str, object]) -> str:
        record = {**header, "turns": [turn.to_json() for turn in self.turns]}
        return json.dumps(record, indent=1, ensure_ascii=False) + "\n"

    def to_markdown(self, header: Mapping[str, object]) -> str:
        lines = ["# Conversation", "", *(f"- {key}: {value}" for key, value in header.items())]
        for turn in self.turns:
            lines += ["", "## User", "", turn.user]
            for answer in turn.answers:
                lines += ["", f"## {name_of(answer.trial)}", "", answer.text]
        return "\n".join(lines) + "\n"


def said(answer: Answer) -> bool:
    """Whether an answer is one that a conversation can go on from."""
    return bool(answer.text) and answer.reason != "failed"


def name_of(trial: int | None) -> str:
    return "Base model" if trial is None else f"Trial {trial}"


def kept_conversations(folder: RunFolder) -> int:
    """How many conversations a run folder holds."""
    return sum(1 for _ in folder.conversations.glob("*.jsonl"))


def delete_conversations(folder: RunFolder) -> None:
    """Delete all conversations of a run.

    Raises:
        OSError: when they cannot be deleted.
    """
    if folder.conversations.is_dir():
        shutil.rmtree(folder.conversations)


def _new_name(folder: Path) -> Path:
    name = time.strftime("%Y%m%d-%H%M%S")
    number, path = 1, folder / f"{name}.jsonl"
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.jsonl"
    return path
