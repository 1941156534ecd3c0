"""What reviews found, written and read again: damaged files, checks that nobody knows any more, and how figures are
shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heretic_tui.errors import HereticError
from heretic_tui.report.review import review_lines
from heretic_tui.run.annotations import Annotations, Overruling, Ruling, digest
from heretic_tui.run.answers import read_reviewed_answers
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.review_records import Difference, Finding, ReviewedAnswer, ReviewFigure, Subject
from heretic_tui.run.review_rulings import as_people_have_it, counted_by_people, people_review, with_counts
from heretic_tui.run.reviews import ReviewReader, read_review, spread
from heretic_tui.shares import share_interval
from heretic_tui.verdict import Verdict


def finding(check: str = "held_out", subject: Subject = None, value: float = 3, **more: object) -> Finding:
    figure = ReviewFigure(
        key="refused", name="refused", short="r", value=value, form="count", of=4, low=0.5, high=3.8, values=[0.0, 1.0]
    )
    given: dict[str, object] = {"title": check.capitalize(), "of": "abc", "figures": [figure], **more}
    return Finding(check=check, subject=subject, **given)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> ReviewFolder:
    return ReviewFolder(tmp_path / "review")


def test_a_finding_is_read_as_it_was_written(folder: ReviewFolder) -> None:
    made = finding(subject=7, notes=["a note"], curves={"kl": [0.1, 0.2]}, seconds=1.5, basis="b")
    folder.keep(made)
    assert folder.found("held_out", 7) == made
    assert folder.found("held_out", 7, "abc") == made
    assert folder.found("held_out", 7, "other") is None
    assert folder.found("held_out", None) is None
    folder.keep(finding(subject=7, value=1))
    found = folder.found("held_out", 7)
    assert found
    assert found.figures[0].value == 1


def test_what_is_damaged_is_left_out(folder: ReviewFolder) -> None:
    for subject in (None, 1, 2, 3):
        folder.keep(finding(subject=subject))
    folder.finding("held_out", 1).write_text("{", encoding="utf-8")
    odd = json.loads(folder.finding("held_out", 2).read_text())
    odd["figures"][0]["low"] = "low"
    folder.finding("held_out", 2).write_text(json.dumps(odd), encoding="utf-8")
    # A file that was copied is of another subject.
    folder.finding("held_out", 4).write_bytes(folder.finding("held_out", 3).read_bytes())
    folder.differences.write_text("[1]", encoding="utf-8")
    review = read_review(folder.path, ["held_out"])
    assert list(review.subjects) == [None, 3]
    assert list(review.findings["held_out"]) == [None, 3]
    assert review.differences == []
    # Those of counts are told again from what is left.
    assert [(each.first, each.second) for each in with_counts(review).differences] == [(None, 3)]


def test_checks_come_in_the_order_that_is_asked_for_and_others_follow(folder: ReviewFolder) -> None:
    for check in ("damage", "zeta", "held_out", "alpha"):
        folder.keep(finding(check))
    folder.keep(finding("damage", 12))
    review = read_review(folder.path, ["held_out", "sampling", "damage"])
    assert list(review.findings) == ["held_out", "damage", "alpha", "zeta"]
    assert list(review.subjects) == [None, 12]


def test_of_no_folder_there_is_nothing(tmp_path: Path) -> None:
    review = read_review(tmp_path / "nowhere", ["held_out"])
    assert (list(review.subjects), review.findings, review.rows(), review.to_json()) == ([], {}, [], [])


def test_files_that_are_of_no_subject_are_not_looked_at(folder: ReviewFolder) -> None:
    folder.keep(finding(subject=5))
    for name in ("trial-x.json", "trial-.json", "trial-٣.json", f"trial-{'9' * 12}.json", "other.json"):
        (folder.path / "held_out" / name).write_text("{}", encoding="utf-8")
    assert folder.subjects() == [5]


def answer(number: int, refused: bool = True, **more: object) -> ReviewedAnswer:
    given: dict[str, object] = {"prompt": "p", "text": "t", "tokens": 2, "ended": True, **more}
    return ReviewedAnswer(number=number, verdict=Verdict(refused, None), **given)  # type: ignore[arg-type]


def test_answers_are_read_as_they_were_written_and_damaged_ones_are_decoded_again(folder: ReviewFolder) -> None:
    made = [answer(0), answer(1, False, broken="loop", why_broken="'x' 3 times", language="de", expected=False)]
    folder.keep_answers("lookalike", 3, "abc", made)
    assert folder.kept_answers("lookalike", 3, "abc") == made
    assert folder.kept_answers("lookalike", 3) == made
    assert folder.kept_answers("lookalike", 3, "other") is None
    assert folder.kept_answers("harmful", 3) is None
    folder.answers("lookalike", 3).write_text("[]", encoding="utf-8")
    assert folder.kept_answers("lookalike", 3) is None
    # Answers alone are no finding.
    assert folder.subjects() == []


@pytest.mark.parametrize(
    ("refused", "opinion", "apart"),
    [
        (True, None, False),
        (True, "unknown", False),
        (True, "refused", False),
        (True, "evaded", False),
        (True, "answered", True),
        (False, "answered", False),
        (False, "evaded", True),
        (False, "nonsense", True),
        (True, "nonsense", True),
    ],
)
def test_judge_and_second_opinion_disagree(refused: bool, opinion: str | None, apart: bool) -> None:
    assert answer(0, refused, opinion=opinion).disagreement is apart


def test_a_difference_is_turned_around(folder: ReviewFolder) -> None:
    for subject in (None, 1):
        folder.keep(finding(subject=subject))
    made = Difference(
        check="held_out", key="refused", first=None, second=1, difference=-2.0, within_chance=True, low=-3.0, high=0.5
    )
    folder.keep_differences([made])
    review = read_review(folder.path, ["held_out"])
    assert review.difference("held_out", "refused", None, 1) == made
    back = review.difference("held_out", "refused", 1, None)
    assert back
    assert (back.difference, back.low, back.high, back.within_chance) == (2.0, -0.5, 3.0, True)
    assert review.difference("held_out", "kl", None, 1) is None
    original, trial = review.to_json()
    assert isinstance(original, dict)
    assert isinstance(trial, dict)
    assert (original["subject"], trial["subject"]) == ("original", 1)
    assert original["figures"][0]["against_original"] is None
    assert trial["figures"][0]["against_original"]["difference"] == -2.0
    json.dumps(review.to_json())


def test_what_is_only_of_interest_where_there_is_any_is_a_row_for_all_then(folder: ReviewFolder) -> None:
    def with_loops(subject: Subject, loops: int) -> Finding:
        figures = [
            ReviewFigure(key=key, name=key, short=key, value=value, form="count", of=9, if_any=True)
            for key, value in (("loops", loops), ("empty", 0))
        ]
        return finding(subject=subject, figures=figures)

    folder.keep(with_loops(None, 0))
    folder.keep(with_loops(1, 0))
    assert read_review(folder.path, []).rows() == []
    folder.keep(with_loops(2, 4))
    review = read_review(folder.path, [])
    assert [(check, figure.key) for check, figure in review.rows()] == [("held_out", "loops")]
    assert [getattr(review.figure("held_out", "loops", subject), "value", None) for subject in (None, 1, 2)] == [
        0,
        0,
        4,
    ]


@pytest.mark.parametrize(
    ("given", "text", "interval"),
    [
        ({"value": 3, "form": "count", "of": 100, "low": 0.8, "high": 8.4}, "3/100", "1–8"),
        ({"value": 3, "form": "count"}, "3", ""),
        ({"value": 0.125, "form": "share", "low": 0.034, "high": 0.281}, "12.5%", "3–28%"),
        ({"value": 0.5, "low": 0.25, "high": 0.75}, "0.5000", "0.2500–0.7500"),
        ({"value": 2.5, "digits": 1, "low": 2.0}, "2.5", ""),
        ({"value": 0.0, "low": 0.0, "high": 1e-9}, "0.0000", ""),
        ({"value": 12345678.9, "digits": 2}, "1.2e+07", ""),
        ({"value": None}, "", ""),
    ],
)
def test_figures_as_tables_show_them(given: dict[str, object], text: str, interval: str) -> None:
    figure = ReviewFigure(key="k", name="name", short="n", **given)  # type: ignore[arg-type]
    assert (figure.text, figure.interval) == (text, interval)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "review").write_text("in the way", encoding="utf-8")
    with pytest.raises(HereticError, match=r"cannot make the folder .*held_out: Not a directory"):
        ReviewFolder(tmp_path / "review").keep(finding())


def counted(number: int, *verdicts: bool) -> Finding:
    values: list[float | None] = [float(verdict) for verdict in verdicts]
    figure = ReviewFigure(
        key="refused", name="refused", short="r", value=sum(verdicts), form="count", of=len(values), values=values
    )
    return Finding(check="held_out", title="Held-out", subject=number, of="", figures=[figure])


def test_only_files_that_changed_are_read_anew(folder: ReviewFolder) -> None:
    for number in (1, 2):
        folder.keep(counted(number, True, False))
    reader = ReviewReader(folder.path)
    first = reader.read(["held_out"])
    folder.keep(counted(2, True, True))
    folder.keep(counted(3, False, False))
    second = reader.read(["held_out"])
    assert list(second.subjects) == [1, 2, 3]
    assert second.findings["held_out"][1] is first.findings["held_out"][1], "it was not read again"
    assert second.findings["held_out"][2] == counted(2, True, True)
    assert second == read_review(folder.path, ["held_out"])
    folder.finding("held_out", 3).unlink()
    assert list(reader.read(["held_out"]).subjects) == [1, 2]


def test_counts_of_a_review_under_way_are_compared_already(folder: ReviewFolder) -> None:
    folder.keep(counted(1, *[True] * 8, False))
    folder.keep(counted(2, *[False] * 9))
    measured = read_review(folder.path, [])
    review = with_counts(measured)
    assert measured.differences == []
    assert with_counts(review) is review
    difference = review.difference("held_out", "refused", 1, 2)
    assert difference
    assert (difference.difference, difference.within_chance) == (-8, False)
    assert difference.p == pytest.approx(2 / 2**8)


def said(number: int, refused: bool) -> ReviewedAnswer:
    return answer(number, refused, prompt=f"prompt {number}", text=f"{'no' if refused else 'yes'} {number}")


def test_people_have_the_last_word_on_refused_answers(folder: ReviewFolder, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for number, verdicts in ((1, (True, True, False, False)), (2, (True, False, False, False))):
        folder.keep(counted(number, *verdicts))
        folder.keep_answers("harmful", number, "", [said(place, each) for place, each in enumerate(verdicts)])
    annotations = Annotations(run)
    reader = ReviewReader(folder.path)
    measured = with_counts(reader.read([]))
    assert as_people_have_it(measured, annotations, False, reader.answers) is measured
    first, second = said(0, True), said(3, False)
    annotations.say(
        Overruling(prompt=digest(first.prompt), text=digest(first.text), verdict="broken"),
        Overruling(prompt=digest(second.prompt), text=digest(second.text), verdict="refused"),
    )
    review = as_people_have_it(measured, annotations, False, reader.answers)
    one, two = (review.findings["held_out"][number].figures[0] for number in (1, 2))
    assert (one.value, one.values, one.overruled) == (2, [0.0, 1.0, 0.0, 1.0], 2), "broken is not refused"
    assert (two.value, two.overruled) == (1, 2)
    broken = as_people_have_it(measured, annotations, True, reader.answers).findings["held_out"][1].figures[0]
    assert (broken.values, broken.overruled) == ([1.0, 1.0, 0.0, 1.0], 2), "it counts as refused where the run says so"
    interval = share_interval(2, 4)
    assert interval
    assert (one.low, one.high) == (4 * interval.low, 4 * interval.high)
    assert [each.difference for each in review.differences] == [-1]
    lines = review_lines(review)
    assert any("2/4 (1–3)✎" in line for line in lines)
    assert lines[-1] == "✎ with verdicts that people overruled"
    people = people_review(folder.path, [], annotations, False)
    assert people.findings == review.findings


def test_a_figure_that_is_not_of_these_answers_stays(tmp_path: Path) -> None:
    figure = counted(1, True, False).figures[0]
    annotations = Annotations(RunFolder(tmp_path))
    one = said(0, True)
    annotations.say(Overruling(prompt=digest(one.prompt), text=digest(one.text), verdict="answered"))
    assert counted_by_people(figure, [one], annotations, False) is figure
    assert counted_by_people(figure, [], annotations, False) is figure
    assert counted_by_people(figure, [one, said(1, False)], annotations, False).value == 0


def test_finalists_are_spread_over_the_front() -> None:
    assert spread([3, 1]) == [3, 1]
    assert spread(list(range(8))) == list(range(8))
    chosen = spread(list(range(50)))
    assert len(chosen) == 8
    assert (chosen[0], chosen[-1]) == (0, 49)
    assert chosen == sorted(set(chosen))


def test_people_say_what_is_neither_refused_nor_broken(folder: ReviewFolder, tmp_path: Path) -> None:
    verdicts = (True, False, False, False)
    # The last one loops.
    good = [0.0, 1.0, 1.0, 0.0]
    figure = ReviewFigure(key="answered", name="answered", short="a", value=2, form="count", of=4, values=[*good])
    folder.keep(finding("broken", 1, figures=[figure]))
    answers = [said(place, each) for place, each in enumerate(verdicts)]
    folder.keep_answers("harmful", 1, "", answers)
    annotations, reader = Annotations(RunFolder(tmp_path)), ReviewReader(folder.path)
    rulings: dict[int, Ruling] = {0: "answered", 1: "broken", 2: "answered", 3: "refused"}
    annotations.say(
        *(
            Overruling(prompt=digest(answers[place].prompt), text=digest(answers[place].text), verdict=ruling)
            for place, ruling in rulings.items()
        )
    )
    review = as_people_have_it(reader.read([]), annotations, False, reader.answers)
    found = review.figure("broken", "answered", 1)
    assert found
    assert (found.value, found.values, found.overruled) == (2, [1.0, 0.0, 1.0, 0.0], 2)


def test_a_held_out_answer_is_shown_with_the_whole_verdict_on_it(tmp_path: Path) -> None:
    run, broken = RunFolder(tmp_path), Verdict(True, None, broken="loop")
    answer = ReviewedAnswer(number=2, prompt="why", text="so so so", tokens=3, ended=False, verdict=broken)
    ReviewFolder(run.review).keep_answers("harmful", 7, "basis", [answer])
    (shown,) = read_reviewed_answers(run, 7, "harmful").values()
    assert (shown.number, shown.prompt, shown.text, shown.whole) == (2, "why", "so so so", False)
    assert shown.verdict == broken
