"""Conversations as a run folder keeps them: a file each, one JSON object a line: a header, then a line for each turn.

Only their owner may read them. What people say to a model is in no other file of a run.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heretic_tui.errors import HereticError, one_line
from heretic_tui.files import parse_json, read_bytes, replaced
from heretic_tui.parameters import Parameters
from heretic_tui.records import Misfit, as_json, read
from heretic_tui.run.folder import RunFolder
from heretic_tui.verdict import Verdict


@dataclass(frozen=True, kw_only=True)
class KeptAnswer:
    """What one model answered.

    Attributes:
        trial: None for the original model.
        edit: the one that it answered under, where that was made from the trial's by hand.
        ended: end, length, stopped or failed (with `error`); None where the answer was never whole.
        verdict: of the run's judge; None where there is none, and `no_verdict` says why.
    """

    trial: int | None = None
    text: str
    ended: str | None = None
    tokens: int = 0
    seconds: float = 0.0
    error: str | None = None
    edit: Parameters | None = None
    verdict: Verdict | None = None
    no_verdict: str | None = None


@dataclass(frozen=True, kw_only=True)
class KeptTurn:
    """What a person said, and what each model that was asked answered. `how`: the settings of the chat at that
    time."""

    user: str
    answers: tuple[KeptAnswer, ...]
    how: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        # Settings lie beside the words, as they always did.
        return {**self.how, "user": self.user, "answers": as_json(self.answers)}

    @staticmethod
    def from_json(record: object) -> KeptTurn:
        """
        Raises:
            Misfit: for what is no turn.
        """
        if not isinstance(record, dict) or not isinstance(record.get("user"), str):
            raise Misfit(record)
        answers = read(tuple[KeptAnswer, ...], record.get("answers"))
        how = {key: value for key, value in record.items() if key not in ("user", "answers")}
        return KeptTurn(user=record["user"], answers=answers, how=how)


@dataclass(frozen=True)
class KeptConversation:
    """A file of the folder. `problem` says why it cannot be read; there are no turns then."""

    path: Path
    turns: tuple[KeptTurn, ...] = ()
    problem: str | None = None


def kept_conversations(folder: RunFolder) -> list[KeptConversation]:
    """All conversations of a run, the latest first. Damaged ones are told of, and cost no other."""
    paths = sorted(folder.conversations.glob("*.jsonl"), key=kept_at, reverse=True)
    return [read_conversation(path) for path in paths]


def count_conversations(folder: RunFolder) -> int:
    """How many conversations a run folder holds."""
    return sum(1 for _ in folder.conversations.glob("*.jsonl"))


def read_conversation(path: Path) -> KeptConversation:
    try:
        lines = read_bytes(path).splitlines()
        records = [parse_json(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]
        return KeptConversation(path, tuple(KeptTurn.from_json(record) for record in records[1:]))
    except (OSError, HereticError) as error:
        return KeptConversation(path, problem=one_line(error))
    except Misfit as misfit:
        return KeptConversation(path, problem=f"{path} is damaged ({misfit})")


def write_conversation(path: Path, header: Mapping[str, object], turns: Sequence[KeptTurn]) -> None:
    """Write a whole conversation, readable for its owner alone.

    Raises:
        OSError, HereticError: when it cannot be written.
    """
    records = [dict(header), *(turn.to_json() for turn in turns)]
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    with replaced(path) as beside:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(lines)


def new_conversation(folder: RunFolder) -> Path:
    """The file of a conversation that begins now. The folder is made, the file is not.

    Raises:
        OSError: when the folder cannot be made.
    """
    kept = folder.conversations
    kept.mkdir(mode=0o700, exist_ok=True)
    name = time.strftime("%Y%m%d-%H%M%S")
    number, path = 1, kept / f"{name}.jsonl"
    while path.exists():
        number += 1
        path = kept / f"{name}-{number}.jsonl"
    return path


def delete_conversations(folder: RunFolder) -> None:
    """Delete all conversations of a run.

    Raises:
        OSError: when they cannot be deleted.
    """
    if folder.conversations.is_dir():
        shutil.rmtree(folder.conversations)


def kept_at(path: Path) -> float:
    """When a conversation was written last, seconds since 1970; 0 where its file is gone."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
