"""Which trials of the front are within chance of another one."""

from __future__ import annotations

from pathlib import Path

from heretic_tui.run.annotations import Annotations, Overruling, digest
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import read_responses
from heretic_tui.tui.chances import Alike, Chances
from tests.support import fake_run
from tests.support.reviewed import write_review


def test_trials_are_compared_by_their_verdicts_on_the_same_prompts(folder: Path) -> None:
    for number, refused in ((1, 10), (2, 14), (3, 16)):
        fake_run.write_responses(folder, number, refused)
    run = RunFolder(folder)
    chances = Chances(run, Annotations(run), False)
    # All that one refuses the other refuses too: 4 of 4 are within chance (p = 0.125), 6 of 6 are not (0.03).
    assert chances.alike(1, [1, 2, 3], [], 0) == Alike(1, (2,))
    assert chances.alike(1, [1, 2, 3], [], 0).words == "within chance of 2 (refusals, p > 0.05)"
    assert chances.alike(3, [1, 2], [], 0) == Alike(3, (2,))
    assert Alike(3).words == ""


def test_held_out_answers_are_taken_where_both_have_them(folder: Path) -> None:
    fake_run.write_responses(folder, 1, 50)
    write_review(folder, {None: 40, 1: 5, 2: 7, 3: 30})
    run = RunFolder(folder)
    chances = Chances(run, Annotations(run), False)
    found = chances.alike(1, [2, 3, 4], [1, 2, 3], 1)
    assert found == Alike(1, (2,), frozenset({2})), "by the search's own prompts they are far apart"
    assert found.words == "within chance of 2 (held-out refusals, p > 0.05)"
    assert chances.alike(2, [4], [1, 2, 3], 1) == Alike(2, (4,)), "4 was not reviewed"


def test_of_trials_without_all_verdicts_nothing_is_said(folder: Path) -> None:
    run = RunFolder(folder)
    run.responses(1).unlink()
    record = run.responses(2)
    record.write_text(record.read_text().replace('"refused": true', '"refused": null', 1), encoding="utf-8")
    chances = Chances(run, Annotations(run), False)
    assert chances.alike(3, [1, 2, 4], [], 0) == Alike(3, (4,))
    assert chances.alike(2, [3, 4], [], 0) == Alike(2)


def test_verdicts_of_people_count(folder: Path) -> None:
    fake_run.write_responses(folder, 2, 10)
    run = RunFolder(folder)
    annotations = Annotations(run)
    chances = Chances(run, annotations, False)
    assert chances.alike(1, [2], [], 0) == Alike(1, (2,))
    answered = read_responses(run, 2)[10:20]
    annotations.say(*(Overruling(prompt=digest(a.prompt), text=digest(a.text), verdict="broken") for a in answered))
    assert chances.alike(1, [2], [], 0) == Alike(1, (2,)), "broken is not refused"
    refused = read_responses(run, 2)[10:13]
    # Those of trial 1 that are the same are refused too.
    annotations.say(*(Overruling(prompt=digest(a.prompt), text=digest(a.text), verdict="refused") for a in refused))
    assert chances.alike(1, [2], [], 0) == Alike(1, (2,))
    fake_run.write_responses(folder, 3, 40)
    assert chances.alike(1, [3], [], 0) == Alike(1)
