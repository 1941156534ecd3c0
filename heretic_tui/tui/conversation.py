"""A conversation as the chat screen holds it: turns, the answers that stream in, whether looked at or not, who answers
in which column, and the file in the run folder that keeps it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.commands import Chat
from heretic_tui.errors import HereticError
from heretic_tui.parameters import Parameters
from heretic_tui.run.conversations import (
    KeptAnswer,
    KeptConversation,
    KeptTurn,
    new_conversation,
    write_conversation,
)
from heretic_tui.run.folder import RunFolder
from heretic_tui.verdict import Verdict

# Columns next to each other.
MOST_COLUMNS = 3


@dataclass(frozen=True)
class Who:
    """A model that answers: the original one (None), a trial, or a trial's edit as a person turned it."""

    trial: int | None = None
    tweaked: bool = False

    @property
    def name(self) -> str:
        if self.trial is None:
            return "original model"
        return f"trial {self.trial}{', tweaked' if self.tweaked else ''}"


ORIGINAL = Who()


@dataclass
class Answer:
    """One answer of one model; `reason` is None until it has ended. `command` is what the engine was asked; `edit` is
    the one that it answers under, where a person turned it."""

    id: int
    who: Who
    text: str = ""
    started: bool = False
    reason: str | None = None
    tokens: int = 0
    seconds: float = 0.0
    error: str | None = None
    verdict: Verdict | None = None
    no_verdict: str | None = None
    edit: Parameters | None = None
    command: Chat | None = None
    # Asked to stop; the engine has not said yet that it has.
    stopping: bool = False
    # Pieces that came so far, and when the first one did.
    pieces: int = 0
    began: float = 0.0

    def kept(self) -> KeptAnswer:
        return KeptAnswer(
            trial=self.who.trial, text=self.text, ended=self.reason, tokens=self.tokens, seconds=self.seconds,
            error=self.error, edit=self.edit, verdict=self.verdict, no_verdict=self.no_verdict,
        )  # fmt: skip

    @property
    def said(self) -> bool:
        """Whether it is one that a conversation can go on from."""
        return bool(self.text) and self.reason != "failed"


@dataclass
class Turn:
    """What the user said, how the models were to answer, and what each model that was asked answered."""

    user: str
    answers: list[Answer] = field(default_factory=list)
    how: Mapping[str, object] = field(default_factory=dict)

    def of(self, who: Who) -> Answer | None:
        """What a model answered; None where it was not asked."""
        return next((answer for answer in self.answers if answer.who == who), None)

    def kept(self) -> KeptTurn:
        return KeptTurn(user=self.user, answers=tuple(answer.kept() for answer in self.answers), how=self.how)


@dataclass
class Conversations:
    """One conversation with some models on the same words. What each model said belongs to it, whichever column shows
    it.

    Attributes:
        chosen: who answers, column by column; None for whatever trial is selected on the trials screen.
        active: the column whose model ctrl+t changes.
        not_kept: why the run folder does not hold the conversation as it is now; None when it does.
    """

    turns: list[Turn] = field(default_factory=list)
    chosen: list[Who] | None = None
    active: int = 0
    not_kept: str | None = None
    _answers: dict[int, Answer] = field(default_factory=dict)
    _file: Path | None = None

    # Who answers

    def choose(self, trial: int, room: bool = False) -> None:
        """Let this trial answer, beside the original model where that is in a column of its own, or where there is room
        for it and nothing is said yet."""
        beside = [ORIGINAL] if self.chosen and len(self.chosen) > 1 and ORIGINAL in self.chosen else []
        self.chosen = [*beside, Who(trial)]
        self.active = len(beside)
        if room and not self.turns and not beside:
            self.chosen.append(ORIGINAL)

    def put(self, columns: Sequence[Who], who: Who) -> None:
        """Let a model answer in the active column; where it has one already, the two change places."""
        self.chosen = list(columns)
        if who in self.chosen:
            self.chosen[self.chosen.index(who)] = self.chosen[self.active]
        self.chosen[self.active] = who

    def swap(self, columns: Sequence[Who], by: int) -> None:
        """Move the active column to the left (-1) or to the right (1)."""
        self.chosen = list(columns)
        other = (self.active + by) % len(self.chosen)
        self.chosen[self.active], self.chosen[other] = self.chosen[other], self.chosen[self.active]
        self.active = other

    # Turns

    def ask(self, user: str, whom: Sequence[Who], how: Mapping[str, object] | None = None) -> Turn:
        """A new turn with an empty answer for each model."""
        turn = Turn(user, how=how or {})
        for who in whom:
            # Other terminals ask too.
            answer = Answer(random.getrandbits(31), who)
            self._answers[answer.id] = answer
            turn.answers.append(answer)
        self.turns.append(turn)
        self.not_kept = "its last answer is not whole yet"
        return turn

    def fold(self, event: ev.Event) -> None:
        match event:
            case ev.ChatStarted() if event.id in self._answers:
                self._answers[event.id].started = True
            case ev.ChatDelta() if event.id in self._answers:
                answer = self._answers[event.id]
                answer.text += event.text
                answer.began = answer.began or event.time
                answer.pieces += 1
                answer.seconds = event.time - answer.began
            case ev.ChatEnded() if event.id in self._answers:
                answer = self._answers.pop(event.id)
                answer.reason, answer.tokens, answer.seconds = event.reason, event.tokens, event.seconds
                answer.error, answer.verdict, answer.no_verdict = event.error, event.verdict, event.no_verdict

    @property
    def open(self) -> list[Answer]:
        """Answers that are asked for and have not ended."""
        return [a for turn in self.turns[-1:] for a in turn.answers if a.reason is None]

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

    def history(self, who: Who, user: str | None = None) -> tuple[tuple[str, str], ...]:
        """What one model was asked and answered so far, up to a new message of the user's. What others answered is not
        part of it, nor what they alone were asked."""
        turns: list[tuple[str, str]] = []
        for turn in self.turns:
            if (answer := turn.of(who)) and answer.said:
                turns += [("user", turn.user), ("assistant", answer.text)]
        return (*turns, *([("user", user)] if user is not None else []))

    def take_back(self) -> str | None:
        """Remove the last turn and return what the user said in it."""
        return self.turns.pop().user if self.turns else None

    def clear(self) -> None:
        """Begin another conversation; the file of this one stays."""
        self.turns.clear()
        self._answers.clear()
        self._file = self.not_kept = None

    # The file

    @property
    def file(self) -> Path | None:
        """Where the run folder keeps it."""
        return self._file

    def go_on_with(self, kept: KeptConversation) -> None:
        """Show a conversation that the run folder keeps, and go on in its file."""
        self.clear()
        self.turns = [_turn_of(turn) for turn in kept.turns]
        self._file = kept.path
        asked = [answer.who for turn in self.turns[-1:] for answer in turn.answers]
        self.chosen = list(dict.fromkeys(asked))[:MOST_COLUMNS] or None
        self.active = len(self.chosen) - 1 if self.chosen else 0

    def keep(self, folder: RunFolder | None, header: Mapping[str, object]) -> None:
        """Write the whole conversation. Where that fails, `not_kept` says why."""
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
            self._file = self._file or new_conversation(folder)
            write_conversation(self._file, header, [turn.kept() for turn in self.turns])
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


def _turn_of(kept: KeptTurn) -> Turn:
    answers = [
        Answer(
            -1, Who(answer.trial, answer.edit is not None), answer.text, True, answer.ended or "stopped", answer.tokens,
            answer.seconds, answer.error, answer.verdict, answer.no_verdict, answer.edit,
        )
        for answer in kept.answers
    ]  # fmt: skip
    return Turn(kept.user, answers, kept.how)
