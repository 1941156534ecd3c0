"""Benchmarks as a check of a review: figures that are known, each task that is done kept, and what a task costs that
cannot be loaded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.review.bench import ReviewBench
from heretic_tui.engine.review.benchmarks import PRESETS, Task, tasks_named
from heretic_tui.engine.review.checks.benchmarks import InMemory
from heretic_tui.engine.review.review import ReviewRun
from heretic_tui.errors import HereticError
from heretic_tui.events import Event, Notice, Progress
from heretic_tui.run.reviews import read_review
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work
from tests.support.benchmark_tasks import CHOICES, best_choices, write_choices, write_task
from tests.support.edited_models import Make, edits_for, merged
from tests.support.reviews import bench_of, figures, look, subjects_of


def bench_with(make_model: Make, folder: Path, tasks: Sequence[str] = ("jars",), **settings: Any) -> ReviewBench:
    """A bench with a folder of tasks, in which `jars` is one that the original model answers as to 15 of 20 items."""
    model = make_model()
    if not (folder / "tasks").exists():
        write_choices(folder / "tasks", model.network, metric_list=[metric("acc")])
    settings = {"review_tasks": list(tasks), "review_task_folder": str(folder / "tasks"), **settings}
    return bench_of(model, folder / "review", harmful=["How?"], **settings)


def metric(name: str) -> dict[str, object]:
    return {"metric": name, "aggregation": "mean", "higher_is_better": True}


def notices(events: Sequence[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def test_the_setting_names_presets_tasks_and_numbers_of_items() -> None:
    assert tasks_named(["quick"]) == list(PRESETS["quick"])
    assert tasks_named(["quick=5", "arc_easy=7", "x"])[:2] == [Task("arc_easy", 7), Task("piqa", 5)]
    assert tasks_named(["quick", "x"])[-1] == Task("x")
    for wrong in ("x=", "x=0", "x=-1", "x=1.5", "x=many", "=5", "x=5=5"):
        with pytest.raises(ValueError, match="review_tasks"):
            Settings(review_tasks=[wrong])


def test_where_no_task_is_chosen_the_setting_is_named(make_model: Make, tmp_path: Path) -> None:
    assert "--review-tasks" in (InMemory().absent(bench_of(make_model(), tmp_path)) or "")


def test_figures_of_the_original_model_and_of_a_trial_are_known_and_compared(make_model: Make, tmp_path: Path) -> None:
    bench = bench_with(make_model, tmp_path)
    edits = edits_for(bench.model, 1.5)
    _, trial = subjects_of(edits)
    told: list[Event] = []
    run = ReviewRun(bench, [trial], {"benchmarks": InMemory()}, Work(told.append))
    run.plan()
    run.run()
    review = read_review(bench.folder.path, ["benchmarks"])
    base = review.figure("benchmarks", "jars", None)
    assert base
    error = np.sqrt(0.75 * 0.25 / 19)
    assert (base.name, base.text, base.of, base.better) == ("jars acc", "75.0%", 20, "high")
    assert [base.low, base.high] == pytest.approx([0.75 - 1.96 * error, 0.75 + 1.96 * error])
    wanted = [json.loads(line)["gold"] for line in (tmp_path / "tasks" / "jars.jsonl").read_text().splitlines()]
    network = merged(make_model, "llama", edits)
    right = [float(best == gold) for best, gold in zip(best_choices(network), wanted, strict=True)]
    edited = review.figure("benchmarks", "jars", 1)
    assert edited
    assert edited.values == right
    assert edited.value != base.value
    difference = review.difference("benchmarks", "jars", None, 1)
    assert difference
    assert difference.difference == pytest.approx(np.mean(right) - 0.75)
    assert "items: jars 20" in review.findings["benchmarks"][1].notes
    stages = {event.stage for event in told if isinstance(event, Progress)}
    assert {"tasks of benchmarks", "benchmark jars"} <= stages
    assert all(event.seconds_left is not None for event in told if isinstance(event, Progress) and event.done)
    assert any(text.startswith("Benchmarks, trial 1: jars acc ") for text in notices(told))


def test_what_keeps_a_task_from_being_scored_costs_that_one_alone(make_model: Make, tmp_path: Path) -> None:
    tasks = ["jars=10", "no_such_task", "far", "unsafe"]
    bench = bench_with(make_model, tmp_path, tasks)
    choices = {"output_type": "multiple_choice", "doc_to_text": "q", "doc_to_choice": "c", "doc_to_target": "g"}
    row = {"q": "?", "c": CHOICES[0], "g": 0}
    write_task(tmp_path / "tasks", "far", [row], **choices, dataset_path="some/where", dataset_kwargs={})
    write_task(tmp_path / "tasks", "unsafe", [row], **choices, unsafe_code=True)
    told: list[Event] = []
    found = look(InMemory(), bench, subjects_of(), Work(told.append))[None]
    assert figures(found)["jars"].of == 10
    problem = found.problem or ""
    assert "no_such_task: there is no task 'no_such_task'" in problem
    assert "far: its data is not on this machine, and the Hub cannot be reached" in problem
    assert "unsafe: it runs code that the model writes, and is left out for that" in problem
    assert "\n" not in problem
    warnings = [text for text in notices(told) if text.startswith("Benchmarks: ")]
    assert len(warnings) == 3
    alone = bench_with(make_model, tmp_path, ["no_such_task", "unsafe"])
    with pytest.raises(HereticError, match=r"no_such_task: .*; unsafe: it runs code") as said:
        InMemory().check(alone, Work())
    assert "\n" not in str(said.value)


def test_a_task_that_fails_on_a_model_costs_that_model_alone(make_model: Make, tmp_path: Path) -> None:
    bench = bench_with(make_model, tmp_path)
    broken = {
        name: dataclasses.replace(edit, b=edit.b * float("inf")) for name, edit in edits_for(bench.model, 1.5).items()
    }
    told: list[Event] = []
    found = look(InMemory(), bench, subjects_of(broken), Work(told.append))
    assert figures(found[None])["jars"].text == "75.0%"
    assert found[None].problem is None
    assert not found[1].figures
    assert (found[1].problem or "").startswith("jars: ")
    assert any(text.startswith("Benchmarks, trial 1: jars: ") for text in notices(told))


def test_tasks_that_were_done_are_not_asked_again(make_model: Make, tmp_path: Path) -> None:
    """A review is ended in the second task."""
    bench = bench_with(make_model, tmp_path, ["jars", "lids"])
    write_choices(tmp_path / "tasks", bench.model.network, "lids", metric_list=[metric("acc")])
    control = Control()

    def end(event: Event) -> None:
        if isinstance(event, Progress) and event.stage == "benchmark lids":
            control.abort()

    with pytest.raises(Aborted):
        look(InMemory(), bench, subjects_of(), Work(end, control))
    told: list[Event] = []
    again = bench_with(make_model, tmp_path, ["jars", "lids"])
    found = look(InMemory(), again, subjects_of(), Work(told.append))[None]
    assert {event.stage for event in told if isinstance(event, Progress)} == {"tasks of benchmarks", "benchmark lids"}
    assert [figure.text for figure in found.figures] == ["75.0%", "75.0%"]
    told.clear()
    more = bench_with(make_model, tmp_path, ["lids=5", "jars"])
    found = look(InMemory(), more, subjects_of(), Work(told.append))[None]
    assert "benchmark jars" not in {event.stage for event in told if isinstance(event, Progress)}
    assert [figure.text for figure in found.figures] == ["100.0%", "75.0%"]
    items = tmp_path / "tasks" / "jars.jsonl"
    items.write_text("".join(items.read_text().splitlines(keepends=True)[:16]))
    changed = look(InMemory(), bench_with(make_model, tmp_path), subjects_of())[None]
    assert figures(changed)["jars"].text == "93.8%", "the task is another one"


def test_findings_are_those_of_tasks_items_and_form(make_model: Make, tmp_path: Path) -> None:
    def basis(*tasks: str, **settings: Any) -> object:
        return InMemory().basis(bench_with(make_model, tmp_path, tasks, **settings))

    one = basis("jars")
    assert one == basis("jars")
    assert one != basis("jars=5")
    assert one != basis("jars", review_task_chat=True)
    assert one != basis("jars", review_task_folder=None)
    code = tmp_path / "tasks" / "more.py"
    code.write_text("x = 1\n")
    assert one != basis("jars")
