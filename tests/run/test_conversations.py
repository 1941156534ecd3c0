"""Conversations in a run folder."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.conversations import (
    KeptAnswer,
    KeptTurn,
    count_conversations,
    delete_conversations,
    kept_conversations,
    new_conversation,
    write_conversation,
)
from heretic_tui.run.folder import RunFolder
from heretic_tui.verdict import Verdict


def test_a_conversation_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    edit = Parameters(None, {"attn.o_proj": Kernel(1.0, 2.0, 0.5, 3.0)})
    answers = (
        KeptAnswer(trial=None, text="I'm sorry [/b]", ended="end", verdict=Verdict(True, "sorry", 4, 9)),
        KeptAnswer(trial=4, text="Sure\u2028 ☃", ended="stopped", no_verdict="stopped", edit=edit, tokens=2),
    )
    turns = [KeptTurn(user="How?\nSay.", answers=answers, how={"temperature": 0.0, "system_prompt": "x"})]
    path = new_conversation(folder)
    write_conversation(path, {"model": "m"}, turns)
    (kept,) = kept_conversations(folder)
    assert (kept.path, kept.turns, kept.problem) == (path, tuple(turns), None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert new_conversation(folder) != path
    delete_conversations(folder)
    assert count_conversations(folder) == 0


def test_those_of_older_versions_are_read_and_damaged_ones_are_told(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.conversations.mkdir()
    old = {"user": "hi", "temperature": 0, "answers": [{"trial": 3, "text": "yes", "ended": "end", "tokens": 1}]}
    (folder.conversations / "old.jsonl").write_text(f'{{"model": "m"}}\n{json.dumps(old)}\n')
    for name, content in {"a": "{}\n[]\n", "b": '{}\n{"user": 3}\n', "c": "{}\n{\n"}.items():
        (folder.conversations / f"{name}.jsonl").write_text(content)
    found = {kept.path.stem: kept for kept in kept_conversations(folder)}
    assert found["old"].turns[0].answers[0].trial == 3
    assert found["old"].problem is None
    assert all(found[name].problem and not found[name].turns for name in "abc")
