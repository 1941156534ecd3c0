"""A review of checks of the test's own: what fails costs its own check, what is kept is found once, and only what was
found in the same way is compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.review.bench import ReviewBench, Reviewed
from heretic_tui.engine.review.checks.base import Check, Found
from heretic_tui.engine.review.checks.held_out import HeldOut
from heretic_tui.engine.review.checks.sampling import UnderSampling
from heretic_tui.engine.review.figures import mean_figure
from heretic_tui.engine.review.review import ReviewRun
from heretic_tui.errors import HereticError
from heretic_tui.events import Event, Notice, ReviewFound, ReviewStarted
from heretic_tui.report.lines import event_lines
from heretic_tui.run.review_records import ReviewFigure
from heretic_tui.run.reviews import Review, read_review
from heretic_tui.run.state import RunState
from heretic_tui.work import Work
from tests.support.edited_models import Make, edits_for
from tests.support.reviews import bench_of, subjects_of


class Counts(Check):
    """Values of its own for each subject; fails at the subjects that it is told."""

    title = "Counts"

    def __init__(self, basis: object = None, fails: Sequence[int] = (), left_out: str | None = None) -> None:
        self._basis, self._fails, self._left_out = basis, fails, left_out

    def absent(self, bench: ReviewBench) -> str | None:
        return self._left_out

    def basis(self, bench: ReviewBench) -> object:
        return self._basis

    def look(self, bench: ReviewBench, subjects: Sequence[Reviewed], work: Work) -> Iterator[tuple[Reviewed, Found]]:
        for subject in subjects:
            if subject.number in self._fails:
                raise HereticError(f"{subject.name} cannot be counted")
            values = [float(subject.number or 0) + place / 10 for place in range(9)]
            yield subject, Found(figures=[mean_figure("mean", "mean of counts", "mean", values)])


class Odd(Counts):
    """One whose figure is no number."""

    title = "Odd"

    def look(self, bench: ReviewBench, subjects: Sequence[Reviewed], work: Work) -> Iterator[tuple[Reviewed, Found]]:
        yield subjects[0], Found(figures=[ReviewFigure(key="nan", name="odd one", short="odd", value=math.nan)])


def made(
    bench: ReviewBench, checks: dict[str, Check], subjects: Sequence[Reviewed], told: list[Event] | None = None
) -> Review:
    work = Work((told if told is not None else []).append)
    run = ReviewRun(bench, subjects, checks, work)
    run.plan()
    run.run()
    return read_review(bench.folder.path, checks)


@pytest.fixture
def bench(make_model: Make, tmp_path: Path) -> ReviewBench:
    return bench_of(make_model(), tmp_path / "review", harmful=["one", "two"], harmless=["three", "four"])


def test_what_fails_costs_its_own_check_and_is_tried_again(bench: ReviewBench) -> None:
    told: list[Event] = []
    subjects = subjects_of({}, {})[1:]
    checks: dict[str, Check] = {"odd": Odd(), "counts": Counts(fails=[2]), "held_out": HeldOut()}
    found = made(bench, checks, subjects, told)
    assert found.findings["counts"][1].figure("mean")
    assert found.findings["counts"][2].problem == "trial 2 cannot be counted"
    assert {each.problem for each in found.findings["odd"].values()} == {"the figure 'odd one' is not a number"}
    assert set(found.findings["held_out"]) == {None, 1, 2}
    failures = [(event.title, event.whose) for event in told if isinstance(event, ReviewFound) and event.failure]
    assert failures == [("Odd", ""), ("Counts", "trial 2")]
    told.clear()
    found = made(bench, {"counts": Counts(), "held_out": HeldOut()}, subjects, told)
    again = [(event.title, event.trial) for event in told if isinstance(event, ReviewFound) and not event.reused]
    assert again == [("Counts", 2)]
    assert found.findings["counts"][2].problem is None


def test_a_subject_that_breaks_down_hinders_no_other(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    broken = {name: Edit(edit.a, edit.b * math.nan, edit.c) for name, edit in edits_for(model, 1.0).items()}
    bench = bench_of(model, tmp_path, harmful=["one", "two"], harmless=["three"], review_samples=2)
    told: list[Event] = []
    checks: dict[str, Check] = {"held_out": HeldOut(), "sampling": UnderSampling()}
    found = made(bench, checks, subjects_of(edits_for(model, 0.5), broken, edits_for(model, 1.0))[1:], told)
    for check in ("held_out", "sampling"):
        problems = {number: finding.problem for number, finding in found.findings[check].items()}
        assert problems == {None: None, 1: None, 2: "the model's logits are not finite numbers", 3: None}
    said = [text for event in told for _, text in event_lines(event, RunState())]
    assert "Held-out prompts, trial 2: the model's logits are not finite numbers" in said


def test_only_what_was_found_in_the_same_way_is_compared(bench: ReviewBench) -> None:
    subjects = subjects_of({}, {})[1:]
    found = made(bench, {"counts": Counts("before")}, subjects)
    assert len(found.differences) == 3
    apart = found.difference("counts", "mean", 1, 2)
    assert apart
    assert apart.difference == pytest.approx(1)
    back = found.difference("counts", "mean", 2, 1)
    assert back
    assert back.difference == pytest.approx(-1)
    found = made(bench, {"counts": Counts("after")}, subjects[:1])
    assert found.difference("counts", "mean", None, 1)
    assert found.difference("counts", "mean", 1, 2) is None


def test_a_check_without_anything_to_do_is_left_out_with_a_note(bench: ReviewBench) -> None:
    told: list[Event] = []
    found = made(bench, {"counts": Counts(left_out="nothing was chosen (--review-texts)")}, [], told)
    assert found.findings == {}
    assert [event.text for event in told if isinstance(event, Notice)] == [
        "Counts: left out; nothing was chosen (--review-texts)"
    ]
    assert [event.checks for event in told if isinstance(event, ReviewStarted)] == [[]]


def test_answers_that_are_there_take_no_time(make_model: Make, tmp_path: Path) -> None:
    bench = bench_of(make_model(), tmp_path, harmful=["one", "two"], harmless=["three"])
    subjects = subjects_of({})

    def fresh() -> ReviewBench:
        return ReviewBench(
            bench.model, bench.judge, bench.settings, bench.prompts, bench.folder, bench.identity, {1: 0.5, 8: 1.0},
            Work(),
        )  # fmt: skip

    now = fresh()
    alone = now.seconds_of_answers(subjects, "harmful")
    assert alone
    assert now.seconds_of_answers(subjects, "harmful") == 0, "another check has asked for them before"
    assert (now.seconds_of_answers(subjects, "harmful", "harmless") or 0) > 0
    bench.answers(subjects[0], "harmful", Work())
    assert fresh().seconds_of_answers(subjects, "harmful") == pytest.approx(alone / 2)
    assert bench.seconds_of_answers(subjects, "harmless") is None, "no step was measured"


def test_answers_are_reckoned_as_long_as_those_that_are_known(make_model: Make, tmp_path: Path) -> None:
    bench = bench_of(make_model(), tmp_path, harmful=["one", "two"], harmless=["three"])
    assert bench.usual_length("harmful") == 12, "the most that is allowed"
    assert replace(bench, answer_tokens=4.5).usual_length("harmful") == 4.5, "as trials of the run"
    assert replace(bench, answer_tokens=400.0).usual_length("harmful") == 12
    answers = [replace(answer, tokens=3) for answer in bench.answers(subjects_of()[0], "harmful", Work())]
    bench.keep_answers(subjects_of()[0], "harmful", answers)
    later = replace(bench, answer_tokens=4.5)
    assert later.usual_length("harmful") == 3, "as those of the original model"
    assert later.usual_length("harmless") == 4.5


def test_a_check_takes_as_long_as_it_took(bench: ReviewBench) -> None:
    told: list[Event] = []
    made(bench, {"counts": Counts("before")}, subjects_of({})[1:], told)
    assert [event.seconds for event in told if isinstance(event, ReviewStarted)] == [{}], "nothing is known of it yet"
    for subject, seconds in ((None, 2.0), (1, 6.0)):
        known = bench.folder.found("counts", subject)
        assert known
        bench.folder.keep(replace(known, seconds=seconds))
    told.clear()
    made(bench, {"counts": Counts("before")}, subjects_of({}, {}, {})[1:], told)
    assert [event.seconds for event in told if isinstance(event, ReviewStarted)] == [{"Counts": 8.0}]
    told.clear()
    made(bench, {"counts": Counts("after")}, subjects_of({})[1:], told)
    assert [event.seconds for event in told if isinstance(event, ReviewStarted)] == [{}], "in another way"
