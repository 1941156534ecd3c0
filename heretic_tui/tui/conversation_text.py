"""A conversation as a file that a person asked for: Markdown to read, or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from heretic_tui.behaviour import Behaviour
from heretic_tui.tui.conversation import Answer, Turn
from heretic_tui.verdict import broken_words


def to_json(turns: Sequence[Turn], header: Mapping[str, object]) -> str:
    record = {**header, "turns": [turn.kept().to_json() for turn in turns]}
    return json.dumps(record, indent=1, ensure_ascii=False) + "\n"


def to_markdown(turns: Sequence[Turn], header: Mapping[str, object], behaviour: Behaviour) -> str:
    lines = ["# Conversation", "", *(f"- {key}: {value}" for key, value in header.items())]
    for turn in turns:
        lines += ["", "## User", "", turn.user]
        for answer in turn.answers:
            name = answer.who.name
            lines += ["", f"## {name[:1].upper()}{name[1:]}", "", answer.text, "", f"*{_verdict(answer, behaviour)}*"]
    return "\n".join(lines) + "\n"


def _verdict(answer: Answer, behaviour: Behaviour) -> str:
    if answer.verdict is None:
        return answer.no_verdict or "no verdict"
    broken = f" ({broken_words(answer.verdict.broken)})" if answer.verdict.broken else ""
    return f"{behaviour.verdict(answer.verdict.refused)}{broken}"
