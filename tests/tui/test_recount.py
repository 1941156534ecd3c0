"""The run in view follows what people say of its trials, here and in other processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.run.annotations import Annotations, Mark, Note, Overruling, Tag, digest
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import read_responses
from heretic_tui.tui.run_view import ANNOTATED, RunView, Taken
from tests.support import fake_run


@pytest.fixture
def view(folder: Path) -> RunView:
    host = fake_run.FakeHost(folder)
    view = RunView(host)
    view.start()
    host.push(*fake_run.story(trials=8, running=False))
    view.take()
    return view


def overruling(folder: Path, trial: int | None, place: int, ruling: str | None) -> Overruling:
    response = read_responses(RunFolder(folder), trial)[place]
    return Overruling(prompt=digest(response.prompt), text=digest(response.text), verdict=ruling)  # type: ignore[arg-type]


def until_read(view: RunView) -> Taken:
    """What a tick brings once the thread has read all responses."""
    taken = view.take()
    for _ in range(3):
        assert view.recount is not None
        view.recount.join()
        again = view.take()
        taken = Taken(taken.kinds | again.kinds)
    return taken


def test_what_is_said_here_and_elsewhere_is_in_view_at_the_tick(view: RunView, folder: Path) -> None:
    assert view.take().kinds == frozenset()
    assert view.annotate(Mark(trial=3, on=True), Tag(trial=3, tag="mild", on=True)) is None
    assert view.annotations.marked(3)
    assert view.take().kinds == {ANNOTATED}
    assert view.take().kinds == frozenset()
    Annotations(RunFolder(folder)).say(Note(trial=3, note="of another terminal"))
    assert view.take().kinds == {ANNOTATED}
    assert view.annotations.note(3) == "of another terminal"


def test_what_cannot_be_said_or_read_is_a_line_and_told_once(view: RunView, folder: Path) -> None:
    problem = view.annotate(Tag(trial=3, tag="two words", on=True))
    assert problem is not None
    assert "\n" not in problem
    with (folder / "annotations.jsonl").open("a") as file:
        file.write("{\n")
    (damage,) = view.take().damage
    assert "damaged at line 1" in damage
    assert view.take().damage == ()


def test_an_overruled_verdict_corrects_every_trial_and_the_front(view: RunView, folder: Path) -> None:
    before = {number: trial.expected("refusals") for number, trial in view.state.trials.items()}
    assert view.recount is not None
    view.recount.read_now(0)
    assert view.annotate(overruling(folder, 0, 1, "answered")) is None
    first = before[0]
    assert first is not None
    assert view.state.trials[0].expected("refusals") == first - 1, "what is known follows at once"
    assert ANNOTATED in until_read(view).kinds
    for number, trial in view.state.trials.items():
        was = before[number]
        assert was is not None
        assert trial.expected("refusals") == max(0, was - 1)
        assert trial.correction is not None
    assert view.state.base is not None
    assert view.state.base.figures["refusals"] == 90
    assert view.recount.sharing(digest("x"), digest("y")) == []
    assert view.annotate(overruling(folder, 0, 1, None)) is None
    assert {number: trial.expected("refusals") for number, trial in view.state.trials.items()} == before
    assert view.take().kinds == {ANNOTATED}


def test_a_trial_that_ends_later_is_corrected_too(view: RunView, folder: Path) -> None:
    assert view.annotate(overruling(folder, 0, 1, "answered")) is None
    until_read(view)
    assert isinstance(view.host, fake_run.FakeHost)
    view.host.push(*fake_run.trial(8))
    until_read(view)
    assert view.state.trials[8].correction is not None
    fake_run.write_responses(folder, 8, 0)
    view.host.push(*fake_run.trial(8))
    until_read(view)
    assert view.state.trials[8].correction is None, "its responses are others now"


def test_while_nobody_overrules_nothing_is_read(view: RunView, folder: Path) -> None:
    assert view.recount is not None
    response = read_responses(RunFolder(folder), 0)[1]
    assert view.annotate(Mark(trial=3, on=True)) is None
    until_read(view)
    assert view.recount.sharing(digest(response.prompt), digest(response.text)) == []
