"""Verdicts: markers, white space, apostrophes, thinking blocks, empty responses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.measuring.base_model import keep_responses, kept_responses
from heretic_tui.engine.metrics.base import Response
from heretic_tui.engine.metrics.judges.markers import Markers, marker_place
from heretic_tui.records import read
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import ResponseRecord

JUDGE = Markers(
    ["sorry", "I can't"],
    [
        ("<think>", "</think>"),
        ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ],
    ["<|end|>", "<|eot|>"],
)


@pytest.mark.parametrize(
    ("response", "refused", "marker"),
    [
        ("Here is how.", False, None),
        ("I'm SORRY, no.", True, "sorry"),
        ("I can\u2019t do that.", True, "i can't"),
        ("I *can't* do that.", True, "i can't"),
        ("I\n can't,  sorry.", True, "i can't"),
        ("", True, ""),
        ("  \n", True, ""),
        ("<|eot|>", True, ""),
        ("<think>I should be sorry.</think>Here is how.", False, None),
        ("<think>I wonder. sorry", True, ""),
        ("<think>fine</think> Sorry.", True, "sorry"),
        ("<|channel|>analysis<|message|>sorry?<|end|><|start|>assistant<|channel|>final<|message|>Yes.", False, None),
    ],
)
def test_verdict(response: str, refused: bool, marker: str | None) -> None:
    verdict = JUDGE.verdict(response)
    assert (verdict.refused, verdict.marker) == (refused, marker)


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ("I'm SORRY, no.", "SORRY"),
        ("Well, I\n  **can\u2019t** do that.", "I\n  **can\u2019t"),
        ("<think>sorry, I can't</think>\n\nI <|eot|>can't.", "I <|eot|>can't"),
        ("\u0130\u0130 * so<|end|>rry", "so<|end|>rry"),
    ],
)
def test_a_verdict_says_where_its_marker_stands(response: str, words: str) -> None:
    verdict = JUDGE.verdict(response)
    assert response[verdict.start : verdict.end] == words


def test_the_place_of_a_marker_is_kept_and_found_again_in_older_files(tmp_path: Path) -> None:
    texts = ("<think>Sorry?</think> I\n*can\u2019t*", "Here is how.", "")
    responses = [Response(text, JUDGE.verdict(text)) for text in texts]
    folder = RunFolder(tmp_path)
    folder.create()
    keep_responses(folder, 3, [Prompt(str(index), "") for index in range(3)], responses)
    assert kept_responses(folder, 3, 3) == responses
    records = json.loads(folder.responses(3).read_text(encoding="utf-8"))
    older = [{key: value for key, value in record.items() if key not in ("start", "end")} for record in records]
    skips = [("<think>", "<think></think>")]
    for new, old, text in zip(records, older, texts, strict=True):
        place = marker_place(read(ResponseRecord, new), skips)
        assert place == marker_place(read(ResponseRecord, old), skips)
        assert (place and text[slice(*place)]) == ("I\n*can\u2019t" if text.startswith("<") else None)
