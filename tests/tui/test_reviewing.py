"""Reviews as screens know them: read on a thread as people have them, and how far one is that is under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui import events as ev
from heretic_tui.run.annotations import Overruling, digest
from heretic_tui.tui.run_view import REVIEWED, RunView
from tests.support import fake_run
from tests.support.reviewed import held_out_answer, write_review


@pytest.fixture
def host(folder: Path) -> fake_run.FakeHost:
    return fake_run.FakeHost(folder)


@pytest.fixture
def view(host: fake_run.FakeHost) -> RunView:
    view = RunView(host)
    view.start()
    host.push(*fake_run.story(trials=4, running=False))
    return view


def until_read(view: RunView) -> frozenset[str]:
    """The kinds that came until all is read."""
    kinds: frozenset[str] = frozenset()
    for _ in range(3):
        kinds |= view.take().kinds
        view.reviews.join()
    return kinds


def started(*checks: str, trials: int = 2, seconds: dict[str, float] | None = None) -> ev.ReviewStarted:
    numbers = list(range(trials))
    whose = [f"trial {number}" for number in numbers]
    return ev.ReviewStarted(whose=whose, trials=numbers, checks=list(checks), seconds=seconds or {}, time=100.0)


def found(title: str, trial: int | None = None, **more: object) -> ev.ReviewFound:
    return ev.ReviewFound(check=title.lower(), title=title, trial=trial, time=104.0, **more)  # type: ignore[arg-type]


def test_what_a_review_finds_is_read_when_it_is_told(view: RunView, host: fake_run.FakeHost, folder: Path) -> None:
    assert REVIEWED not in until_read(view), "nothing is there"
    assert list(view.reviews.found.subjects) == []
    write_review(folder, {None: 40, 1: 3})
    assert REVIEWED not in until_read(view), "files are looked at when there is news"
    host.push(found("Odd", 1))
    assert REVIEWED in until_read(view)
    assert list(view.reviews.found.subjects) == [None, 1]
    changes = view.reviews.changes
    host.push(found("Odd", 1))
    assert REVIEWED not in until_read(view), "it is the same as before"
    assert view.reviews.changes == changes


def test_a_verdict_of_a_person_changes_counts_and_differences(view: RunView, folder: Path) -> None:
    write_review(folder, {None: 40, 1: 3, 2: 5})
    until_read(view)
    before = view.reviews.found.figure("held_out", "refused", 1)
    assert before
    assert (before.text, before.overruled) == ("3/40", 0)
    words = []
    for number in range(4, 12):
        answer = held_out_answer(number, False)
        words.append(Overruling(prompt=digest(answer.prompt), text=digest(answer.text), verdict="refused"))
    assert view.annotate(*words) is None
    assert REVIEWED in until_read(view)
    after = view.reviews.found.figure("held_out", "refused", 1)
    assert after
    assert (after.text, after.interval, after.overruled) == ("11/40", "6–17", 8)
    # Trial 2 gave the answer of number 4 otherwise: it refused.
    other = view.reviews.found.figure("held_out", "refused", 2)
    assert other
    assert (other.text, other.overruled) == ("12/40", 7)
    difference = view.reviews.found.difference("held_out", "refused", 1, 2)
    assert difference
    assert (difference.difference, difference.within_chance) == (1, True)
    assert view.annotate(*(Overruling(prompt=w.prompt, text=w.text, verdict=None) for w in words)) is None
    until_read(view)
    assert view.reviews.found.figure("held_out", "refused", 1) == before


def test_the_course_of_a_review(view: RunView, host: fake_run.FakeHost) -> None:
    host.push(found("Two", None, reused=True), started("One", "Two", seconds={"One": 30.0, "Two": 10.0}))
    view.take()
    course = view.reviews.course
    assert course
    assert course.step
    assert (course.step.title, course.step.total) == ("One", 3)
    assert [step.total for step in course.steps] == [3, 2], "one of the second is known"
    assert course.seconds_left(100.0) == 40.0
    assert course.seconds_left(104.0) == 36.0
    assert course.seconds_left(200.0) == 30.0, "no more than one subject can have been"
    host.push(found("One"), found("One", 0, whose="trial 0", failure="logits are no numbers"))
    view.take()
    assert (course.step.done, course.step.problem) == (2, None), "it goes on with the others"
    host.push(found("One", failure="the endpoint is unreachable"))
    view.take()
    assert course.steps[0].problem == "the endpoint is unreachable"
    assert course.step.title == "Two"
    assert course.seconds_left(104.0) == 10.0
    host.push(ev.ReviewEnded())
    view.take()
    assert view.reviews.course is None
    assert not view.reviews.nothing_left


def test_of_a_check_whose_time_is_not_known_that_is_said_until_it_has_looked_at_one(
    view: RunView, host: fake_run.FakeHost
) -> None:
    host.push(started("One", "Two"))
    view.take()
    course = view.reviews.course
    assert course
    assert course.seconds_left(100.0) is None
    host.push(started("One", "Two", seconds={"One": 30.0}))
    view.take()
    course = view.reviews.course
    assert course
    assert (course.seconds_left(100.0), course.not_known) == (30.0, ["Two"])
    host.push(*(found("One", at, seconds=4.0) for at in (None, 0, 1)), found("Two", seconds=7.0))
    view.take()
    assert (course.seconds_left(100.0), course.not_known) == (14.0, []), "as it took for the first"


def test_a_review_that_was_cut_off_is_none_any_more(view: RunView, host: fake_run.FakeHost) -> None:
    host.push(started("One"))
    view.take()
    assert view.reviews.course
    host.push(fake_run.opened())
    view.take()
    assert view.reviews.course is None
