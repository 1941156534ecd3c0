"""All runs at a glance: in order, with what a list shows of each, and read again only where something changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heretic_tui import events as ev
from heretic_tui.run.annotations import Annotations, Mark
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import read_events
from heretic_tui.run.shelf import Glance, Shelf
from tests.support.journals import opened, trial
from tests.support.runs import DONE, append, make_run


def looked(shelf: Shelf) -> dict[str, Glance]:
    lists: list[Sequence[Glance]] = []
    shelf.look(lists.append)
    return {glance.name: glance for glance in lists[-1]}


def test_a_glance_has_what_a_list_shows_of_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a-1", [opened(3), ev.BaselineMeasured(figures={"refusals": 90}, prompts=100),
                                      *trial(0, 0.5, 20), *trial(1, 0.9, 30), *trial(2, 0.1, 25), *DONE])  # fmt: skip
    Annotations(run).say(Mark(trial=2, on=True))
    glance = looked(Shelf(tmp_path))["a-1"]
    assert (glance.word, glance.at_work, glance.model, glance.seed) == ("done", False, "a-1", 1)
    assert (glance.overview.trials, glance.overview.planned, glance.front) == (3, 3, 2)
    assert glance.fewest is not None
    assert glance.fewest.number == 0
    assert glance.best_so_far == (20, 20, 20)
    assert glance.annotations.marks == [2]
    assert glance.seconds_left is None


@pytest.mark.parametrize(
    ("events", "word"),
    [
        ([opened()], "stopped"),
        ([opened(), ev.RunEnded(outcome="interrupted")], "stopped"),
        ([opened(), ev.RunEnded(outcome="failed", reason="no memory")], "failed"),
        ([opened(), *DONE], "done"),
        ([], "stopped"),
    ],
)
def test_how_a_run_ended_is_a_word(tmp_path: Path, events: list[ev.Event], word: str) -> None:
    make_run(tmp_path / "run", events)
    glance = looked(Shelf(tmp_path))["run"]
    assert glance.word == word
    assert glance.reason == ("no memory" if word == "failed" else None)


def test_those_at_work_come_first_and_then_the_latest(tmp_path: Path) -> None:
    for number, name in enumerate(["a", "b", "c"]):
        make_run(tmp_path / name, [opened(), replace(DONE[-1], time=1000.0 + number)])
    live = make_run(tmp_path / "z", [opened(), ev.PhaseStarted(phase="load")])
    live.lock()
    shelf = Shelf(tmp_path)
    assert list(looked(shelf)) == ["z", "c", "b", "a"]
    assert [looked(shelf)["z"].word, looked(shelf)["a"].word] == ["preparing", "done"]
    append(live, [ev.PhaseStarted(phase="search"), *trial(0, 0.5, 20)])
    assert (looked(shelf)["z"].word, looked(shelf)["z"].overview.trials) == ("searching", 1)
    append(live, [ev.PhaseStarted(phase="ready")])
    assert looked(shelf)["z"].word == "ready"
    live.unlock()
    assert looked(shelf)["z"].word == "stopped"


def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    really = read_events

    def watched(path: Path, *rest: Any) -> Iterator[ev.Event]:
        read.append(path.parent.name)
        return really(path, *rest)

    monkeypatch.setattr("heretic_tui.run.shelf.read_events", watched)
    runs = {name: make_run(tmp_path / name, [opened(), *trial(0, 0.5, 9), *DONE]) for name in ("a", "b", "c")}
    shelf = Shelf(tmp_path)
    looked(shelf)
    assert sorted(read) == ["a", "b", "c"]
    read.clear()
    looked(shelf)
    assert read == []
    append(runs["b"], trial(1, 0.1, 3))
    Annotations(runs["c"]).say(Mark(trial=0, on=True))
    assert looked(shelf)["b"].overview.trials == 2
    assert sorted(read) == ["b", "c"]


def test_a_damaged_run_is_one_of_the_list_and_one_that_is_gone_is_none(tmp_path: Path) -> None:
    make_run(tmp_path / "fine", [opened(), *DONE])
    broken = make_run(tmp_path / "broken", [opened()])
    broken.events.write_text('{"type": "run_opened"\n{}\n')
    shelf = Shelf(tmp_path)
    found = looked(shelf)
    assert (found["broken"].word, found["fine"].word) == ("damaged", "done")
    assert "line 1" in (found["broken"].overview.problem or "")
    broken.record.unlink()
    assert list(looked(shelf)) == ["fine"]
    assert looked(Shelf(tmp_path / "no such folder")) == {}


def test_names_come_before_what_is_in_the_runs(tmp_path: Path) -> None:
    for number in range(3):
        make_run(tmp_path / f"run-{number}", [opened(), *DONE])
    lists: list[Sequence[Glance]] = []
    Shelf(tmp_path).look(lists.append)
    assert [glance.word for glance in lists[0]] == ["reading"] * 3
    assert [glance.word for glance in lists[-1]] == ["done"] * 3
    assert isinstance(lists[0][0].folder, RunFolder)
