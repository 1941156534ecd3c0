"""Conversations as the chat screen holds them: turns, and the answers that stream in, whether looked at or not."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from heretic_tui.engine import events as ev


@dataclass
class Answer:
    """One answer of one model; `reason` is None until it has ended."""

    id: int
    trial: int | None
    text: str = ""
    started: bool = False
    reason: str | None = None
    tokens: int = 0
    seconds: float = 0.0
    error: str | None = None


@dataclass
class Turn:
    """What a person said, and what each side answered."""

    user: str
    answers: list[Answer] = field(default_factory=list)


@dataclass
class Conversations:
    """One conversation with one or two models on the same words."""

    turns: list[Turn] = field(default_factory=list)
    _answers: dict[int, Answer] = field(default_factory=dict)
    _next: int = 0

    def ask(self, user: str, trials: list[int | None]) -> Turn:
        """A new turn with an empty answer for each model."""
        turn = Turn(user)
        for trial in trials:
            answer = Answer(self._next, trial)
            self._answers[self._next] = answer
            self._next += 1
            turn.answers.append(answer)
        self.turns.append(turn)
        return turn

    def fold(self, event: ev.Event) -> None:
        match event:
            case ev.ChatStarted() if event.id in self._answers:
                self._answers[event.id].started = True
            case ev.ChatDelta() if event.id in self._answers:
                self._answers[event.id].text += event.text
            case ev.ChatEnded() if event.id in self._answers:
                answer = self._answers[event.id]
                answer.reason, answer.tokens, answer.seconds = event.reason, event.tokens, event.seconds
                answer.error = event.error

    @property
    def open(self) -> list[Answer]:
        """Answers that are asked for and have not ended."""
        return [a for turn in self.turns for a in turn.answers if a.reason is None]

    def history(self, side: int, user: str) -> tuple[tuple[str, str], ...]:
        """The turns that one side has seen, up to a new word of the user's."""
        said: list[tuple[str, str]] = []
        for turn in self.turns:
            if side < len(turn.answers) and turn.answers[side].text:
                said += [("user", turn.user), ("assistant", turn.answers[side].text)]
        return (*said, ("user", user))

    def take_back(self) -> str | None:
        """Remove the last turn and return what the person said in it."""
        return self.turns.pop().user if self.turns else None

    def clear(self) -> None:
        self.turns.clear()

    def to_json(self, header: dict[str, object]) -> str:
        turns = [
            {
                "user": turn.user,
                "answers": [
                    {"trial": a.trial, "text": a.text, "ended": a.reason, "tokens": a.tokens, "seconds": a.seconds}
                    for a in turn.answers
                ],
            }
            for turn in self.turns
        ]
        return json.dumps({**header, "turns": turns}, indent=1, ensure_ascii=False) + "\n"

    def to_markdown(self, header: dict[str, object]) -> str:
        lines = ["# Conversation", "", *(f"- {key}: {value}" for key, value in header.items())]
        for turn in self.turns:
            lines += ["", "## User", "", turn.user]
            for answer in turn.answers:
                lines += ["", f"## {name_of(answer.trial)}", "", answer.text]
        return "\n".join(lines) + "\n"


def name_of(trial: int | None) -> str:
    return "Base model" if trial is None else f"Trial {trial}"
