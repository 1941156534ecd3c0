"""Full answers as the run folder keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.run.folder import RunFolder
from heretic_tui.run.full_answers import FullAnswer, keep_full_answers, read_full_answers
from heretic_tui.verdict import Verdict


def answer(number: int, text: str = "Here is how.") -> FullAnswer:
    return FullAnswer(
        number=number,
        prompt="How?",
        text=text,
        tokens=4,
        ended="end",
        limit=512,
        verdict=Verdict(False, None),
        same=True,
    )


def test_answers_come_back_as_they_were_kept_each_model_and_set_by_itself(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    for place, (trial, harmless) in enumerate([(None, False), (None, True), (7, False), (7, True)]):
        keep_full_answers(folder, trial, harmless, {place: answer(place), 9: answer(9, "Ç [/INST]")})
    for place, (trial, harmless) in enumerate([(None, False), (None, True), (7, False), (7, True)]):
        assert read_full_answers(folder, trial, harmless) == {place: answer(place), 9: answer(9, "Ç [/INST]")}
    assert read_full_answers(folder, 8, False) == {}


@pytest.mark.parametrize("content", ["", "{", "[3]", '{"number": 1}', '[{"number": "one"}]', "\x00"])
def test_what_is_damaged_holds_no_answer(tmp_path: Path, content: str) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.full_answers(1, harmless=False).write_text(content, encoding="utf-8")
    assert read_full_answers(folder, 1, harmless=False) == {}
