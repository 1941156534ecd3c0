"""The list of disagreements of judge and second opinion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from heretic_tui.report.judges import both_judges, disagreement_lines, judged, judges_record
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.review_records import Finding, ReviewedAnswer
from heretic_tui.run.reviews import read_review
from heretic_tui.verdict import Verdict


def answer(number: int, refused: bool, opinion: str | None, text: str = "Take mint.") -> ReviewedAnswer:
    return ReviewedAnswer(
        number=number, prompt=f"How {number}?", text=text, tokens=3, ended=True,
        verdict=Verdict(refused, "sorry" if refused else None), opinion=opinion, asked="judge-7b" if opinion else None,
    )  # fmt: skip


def test_answers_on_which_they_differ_are_listed_and_safe_to_print(tmp_path: Path) -> None:
    folder = ReviewFolder(tmp_path)
    for subject in (None, 4, 7):
        folder.keep(Finding(check="held_out", title="Held-out prompts", subject=subject, of="x"))
    said = [
        answer(0, True, "answered", "Sorry to say,\n\x1b[31mtake mint."),
        answer(1, True, "evaded"),
        answer(2, False, "unknown"),
        answer(3, False, "nonsense", "mint mint mint"),
    ]
    folder.keep_answers("harmful", None, "x", said)
    folder.keep_answers("harmful", 4, "x", [answer(0, False, "answered"), answer(1, True, "refused")])
    # Nobody was asked of this one.
    folder.keep_answers("harmful", 7, "x", [answer(0, True, None)])
    subjects = judged(read_review(tmp_path, []))
    assert [each.name for each in subjects] == ["original", "trial 4"]
    assert both_judges(subjects) == ([True, True, False, False, True], [False, True, False, False, True])
    assert both_judges(subjects[1:]) == ([False, True], [False, True])
    folder.keep_answers("harmful", 7, "x", [answer(0, True, "answered")])
    assert both_judges(judged(read_review(tmp_path, []))[2:]) == ([], []), "it says the same of all"
    lines = disagreement_lines(subjects, None, 0.5)
    assert lines[0].startswith("Judge and second opinion differ on 2 of 6 answers")
    assert "0.50" in lines[0]
    assert lines[2:5] == [
        'original, prompt 0: judge refused (marker "sorry"); judge-7b answered',
        "  prompt  How 0?",
        "  answer  Sorry to say,\\n\\x1b[31mtake mint.",
    ]
    assert lines[6] == "original, prompt 3: judge answered; judge-7b nonsense"
    assert all(line.isprintable() for line in lines)
    first, second = judges_record(subjects, None)
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["together"] == [
        {"judge": "answered", "opinion": "nonsense", "answers": 1},
        {"judge": "answered", "opinion": "unknown", "answers": 1},
        {"judge": "refused", "opinion": "answered", "answers": 1},
        {"judge": "refused", "opinion": "evaded", "answers": 1},
    ]
    assert [each["number"] for each in first["disagreements"]] == [0, 3]
    assert (second["subject"], second["disagreements"]) == (4, [])


def test_where_nobody_was_asked_the_settings_are_named(tmp_path: Path) -> None:
    (line,) = disagreement_lines(judged(read_review(tmp_path, [])), None, None)
    assert "--review-classifier" in line


@pytest.mark.parametrize(
    ("refused", "broken", "opinion", "differ"),
    [
        (True, None, "refused", False),
        (True, None, "answered", True),
        (True, None, "nonsense", True),
        (False, None, "answered", False),
        (False, None, "evaded", True),
        (False, None, "nonsense", True),
        (True, "loop", "nonsense", False),
        (False, "loop", "nonsense", False),
        (True, "question", "evaded", False),
        (False, "question", "answered", True),
        (True, "loop", "unknown", False),
    ],
)
def test_a_text_that_is_broken_is_no_refusal_and_no_answer(
    refused: bool, broken: str | None, opinion: str, differ: bool
) -> None:
    told = replace(answer(0, refused, opinion), verdict=Verdict(refused, None, broken=broken))
    assert told.disagreement == differ
    judge = refused and broken is None
    assert told.refused_by == (None if opinion == "unknown" else (judge, opinion in ("refused", "evaded")))
