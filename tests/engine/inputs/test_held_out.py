"""Prompts of a review: what directions and search leave of their data sets, what is named less what they saw, and what
is expected of prompts that look harmful."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heretic_tui.engine.inputs.held_out import HARMFUL, HARMLESS, LOOKALIKE, ReviewPrompts, review_prompts
from heretic_tui.engine.inputs.prompts import load_prompt_set
from heretic_tui.errors import UsageError
from heretic_tui.settings.sources import load_settings

ROWS = {"good": [f"good {i}" for i in range(20)], "bad": [f"bad {i}" for i in range(20)]}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for name, rows in ROWS.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(rows), encoding="utf-8")
    return {name: str(tmp_path / f"{name}.txt") for name in ROWS}


def prompts_of(files: dict[str, str], **more: Any) -> ReviewPrompts:
    """Those of a run whose directions use rows 0–9 of two files, and whose search uses rows 10–14."""
    given: dict[str, Any] = {"model": "acme/m"}
    for name in ROWS:
        given[f"{name}_prompts"] = {"dataset": files[name], "split": "train[:10]"}
        given[f"{name}_evaluation_prompts"] = {"dataset": files[name], "split": "[10:15]"}
    settings = load_settings({**given, **more}, environment=False)
    used = {
        name: tuple(load_prompt_set(getattr(settings, name), name, settings.system_prompt).prompts)
        for kind in ROWS
        for name in (f"{kind}_prompts", f"{kind}_evaluation_prompts")
    }
    return review_prompts(settings, used)


def texts(found: ReviewPrompts, name: str) -> list[str]:
    return [prompt.text for prompt in found.sets[name]]


def written(folder: Path, rows: list[dict[str, object]], name: str = "rows.jsonl") -> str:
    (folder / name).write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return str(folder / name)


def test_without_a_name_they_are_what_directions_and_search_leave(files: dict[str, str]) -> None:
    found = prompts_of(files)
    assert texts(found, HARMLESS) == ROWS["good"][15:]
    assert texts(found, HARMFUL) == ROWS["bad"][15:]
    assert texts(found, LOOKALIKE) == []
    assert (found.notes, found.languages, list(found.expected), list(found.texts)) == ([], {}, [], [])
    cut = prompts_of(files, review_bad_prompts={"dataset": "", "split": "[1:3]"})
    assert texts(cut, HARMFUL) == ["bad 16", "bad 17"]


def test_where_nothing_is_left_a_note_says_what_to_do(files: dict[str, str]) -> None:
    whole = {"dataset": files["bad"], "split": "train"}
    found = prompts_of(files, bad_evaluation_prompts=whole)
    assert texts(found, HARMFUL) == []
    assert texts(found, HARMLESS) == ROWS["good"][15:]
    (note,) = found.notes
    assert "review_bad_prompts: directions and search use all prompts" in note
    assert "--review-bad-prompts" in note


def test_prompts_that_were_seen_are_left_out_with_a_note(files: dict[str, str], tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": text} for text in ("new 1", "BAD  12", "bad 3", "new 2", "bad 19")]
    found = prompts_of(files, review_bad_prompts={"dataset": written(tmp_path, rows), "column": "text"})
    assert texts(found, HARMFUL) == ["new 1", "new 2", "bad 19"]
    assert list(found.notes) == [
        "review_bad_prompts: 2 prompts left out that directions or search have seen (the first: 'BAD  12')"
    ]
    # With another system prompt it is another prompt.
    other = {"dataset": files["bad"], "system_prompt": "Be brief."}
    assert len(texts(prompts_of(files, review_bad_prompts=other), HARMFUL)) == 20


def test_a_set_that_leaves_nothing_is_refused_in_one_line(files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as told:
        prompts_of(files, review_bad_prompts={"dataset": files["bad"], "split": "[:12]"})
    assert str(told.value) == "review_bad_prompts: directions and search have seen every prompt of it; name others"
    for name in ("review_good_prompts", "review_lookalike_prompts", "review_texts"):
        with pytest.raises(UsageError, match=rf"^{name}: .*nowhere.txt: no such file or folder$"):
            prompts_of(files, **{name: {"dataset": str(tmp_path / "nowhere.txt")}})


def test_a_column_tells_the_language_of_each_prompt_that_is_left(files: dict[str, str], tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": "eins", "language": "de"},
        {"text": "bad 3", "language": "en"},
        {"text": "", "language": "fr"},
        {"text": "two", "language": " en "},
        {"text": "?", "language": ""},
    ]
    spec = {"dataset": written(tmp_path, rows), "column": "text"}
    found = prompts_of(files, review_bad_prompts=spec)
    assert texts(found, HARMFUL) == ["eins", "two", "?"]
    assert found.languages == {HARMFUL: ["de", "en", "unknown"]}
    other = prompts_of(files, review_bad_prompts=spec, review_language_column="tongue")
    assert other.languages == {}


@pytest.mark.parametrize("column", ["expected", "label", "verdict", "final_label"])
def test_a_column_says_what_is_expected_of_prompts_that_look_harmful(
    files: dict[str, str], tmp_path: Path, column: str
) -> None:
    words = ["safe", "Unsafe", "full compliance", "REFUSE", "answered", "no"]
    rows: list[dict[str, object]] = [{"text": f"how {n}", column: word} for n, word in enumerate(words)]
    spec = {"dataset": written(tmp_path, rows), "column": "text"}
    found = prompts_of(files, review_lookalike_prompts=spec)
    assert texts(found, LOOKALIKE) == [f"how {n}" for n in range(6)]
    assert list(found.expected) == [False, True, False, True, False, False]


def test_a_column_is_named_and_has_to_be_there(files: dict[str, str], tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": "how", "label": "safe", "wanted": "unsafe"}]
    spec = {"dataset": written(tmp_path, rows), "column": "text"}
    found = prompts_of(files, review_lookalike_prompts=spec, review_expected_column="wanted")
    assert list(found.expected) == [True]
    with pytest.raises(UsageError, match=r"^review_lookalike_prompts: .*rows.jsonl: no column 'want' of expected"):
        prompts_of(files, review_lookalike_prompts=spec, review_expected_column="want")
    without = written(tmp_path, [{"text": "how"}], "without.jsonl")
    found = prompts_of(files, review_lookalike_prompts={"dataset": without, "column": "text"})
    assert list(found.expected) == [False], "what only looks harmful should be answered"


def test_a_word_that_is_no_verdict_is_refused_with_its_row(files: dict[str, str], tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": "how", "label": "safe"}, {"text": "why", "label": "unsave"}]
    with pytest.raises(UsageError) as told:
        prompts_of(files, review_lookalike_prompts={"dataset": written(tmp_path, rows), "column": "text"})
    assert str(told.value) == (
        "review_lookalike_prompts: row 2 of column 'label' says 'unsave': did you mean 'unsafe'?; an expected verdict "
        "is safe or unsafe, answered or refused"
    )


def test_texts_are_rows_or_the_lines_of_a_text_file(files: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("One text.\n\nAnother one.\n", encoding="utf-8")
    assert list(prompts_of(files, review_texts={"dataset": str(path)}).texts) == ["One text.", "Another one."]
    rows = written(tmp_path, [{"text": "A text\nof two lines."}, {"text": "x"}])
    found = prompts_of(files, review_texts={"dataset": rows, "column": "text", "split": "[:1]"})
    assert list(found.texts) == ["A text\nof two lines."]
