"""Tasks of lm-evaluation-harness on a model in memory: scores that are known, for the original model and under an edit,
and what keeps a task from being scored."""

from __future__ import annotations

import json
import math
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heretic_tui.commands import Sampling
from heretic_tui.control import Aborted, Control
from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.review.benchmarks import PRESETS, Benchmarks, Task
from heretic_tui.engine.review.scores import Score, scored
from heretic_tui.engine.review.text_model import Continuation, TextModel
from heretic_tui.errors import UsageError
from heretic_tui.events import Event, Progress
from heretic_tui.work import Work
from tests.support.benchmark_tasks import (
    CHOICES,
    QUESTIONS,
    RIGHT,
    best_choices,
    by_bytes,
    write_choices,
    write_task,
)
from tests.support.edited_models import edits_for, merged
from tests.support.likelihoods import log_likelihood

Make = Callable[..., ChatModel]


def asked(model: ChatModel, folder: Path, *tasks: Task, chat: bool = False, work: Work | None = None) -> list[Score]:
    benchmarks = Benchmarks(folder, chat)
    return [benchmarks.score(task, model, {}, work or Work()) for task in tasks]


def figure(score: Score, metric: str) -> Any:
    return next(figure for figure in score.figures if figure.metric == metric)


def test_scores_of_the_original_model_and_under_an_edit_are_known(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    wanted = write_choices(tmp_path, model.network)
    edits, benchmarks, told = edits_for(model, 1.5), Benchmarks(tmp_path), list[Event]()
    base = benchmarks.score(Task("jars"), model, {}, Work(told.append))
    assert (base.task, base.items, base.problem) == ("jars", 20, None)
    accuracy = figure(base, "acc")
    assert accuracy.value == 0.75
    assert accuracy.error == pytest.approx(math.sqrt(0.75 * 0.25 / 19))
    assert accuracy.higher_is_better
    assert accuracy.by_item.tolist() == [1.0] * RIGHT + [0.0] * (20 - RIGHT)
    by_length = best_choices(model.network, by_length=True)
    assert figure(base, "acc_norm").by_item.tolist() == [float(a == b) for a, b in zip(by_length, wanted, strict=True)]
    assert base.main is figure(base, "acc_norm")
    progress = [event for event in told if isinstance(event, Progress)]
    assert progress[-1].stage == "benchmark jars"
    assert progress[-1].done == progress[-1].total

    edited = benchmarks.score(Task("jars"), model, edits, Work())
    network = merged(make_model, "llama", edits)
    right = [float(best == gold) for best, gold in zip(best_choices(network), wanted, strict=True)]
    assert figure(edited, "acc").by_item.tolist() == right
    assert figure(edited, "acc").value == pytest.approx(np.mean(right))
    assert figure(edited, "acc").value != accuracy.value
    again = benchmarks.score(Task("jars"), model, {}, Work())
    assert figure(again, "acc").by_item.tolist() == accuracy.by_item.tolist(), "nothing of the edit is left"


def test_a_limit_takes_the_first_items(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    write_choices(tmp_path, model.network)
    (score,) = asked(model, tmp_path, Task("jars", 17))
    assert score.items == 17
    assert figure(score, "acc").value == pytest.approx(15 / 17)


def test_examples_are_the_same_for_every_model_that_is_asked(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    write_choices(tmp_path, model.network, num_fewshot=2, fewshot_split="test")
    benchmarks = Benchmarks(tmp_path)
    first, second = (benchmarks.score(Task("jars"), model, {}, Work()) for _ in range(2))
    assert figure(first, "acc_norm").by_item.tolist() == figure(second, "acc_norm").by_item.tolist()
    (fresh,) = asked(model, tmp_path, Task("jars"))
    assert figure(fresh, "acc_norm").by_item.tolist() == figure(first, "acc_norm").by_item.tolist()


def test_items_can_be_put_as_questions_of_a_chat(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    model.response_prefix = "Well,"
    write_choices(tmp_path, model.network)
    (score,) = asked(model, tmp_path, Task("jars"), chat=True)
    rendered = [model.render(Prompt(question, "")) for question in QUESTIONS]
    wanted = [json.loads(line)["gold"] for line in (tmp_path / "jars.jsonl").read_text().splitlines()]
    # The harness leaves out the blank before an answer in a chat.
    best = best_choices(model.network, rendered, blank="")
    right = [float(each == gold) for each, gold in zip(best, wanted, strict=True)]
    assert figure(score, "acc").by_item.tolist() == right


def test_answers_are_compared_with_what_is_wanted(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    plain = Continuation(("?",), 12, Sampling())
    said = TextModel(model, {}, Work(), False).continued([(question, plain) for question in QUESTIONS], 0)
    rows = [
        {"question": question, "wanted": answer if place % 4 else "something else"}
        for place, (question, answer) in enumerate(zip(QUESTIONS, said, strict=True))
    ]
    write_task(
        tmp_path,
        "words",
        rows,
        output_type="generate_until",
        doc_to_text="question",
        doc_to_target="wanted",
        generation_kwargs={"until": ["?"], "max_gen_toks": 12, "do_sample": False, "temperature": 0.0},
        metric_list=[{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        filter_list=[
            {"name": "whole", "filter": [{"function": "take_first"}]},
            {
                "name": "never",
                "filter": [{"function": "regex", "regex_pattern": "(no such)"}, {"function": "take_first"}],
            },
        ],
    )
    (score,) = asked(model, tmp_path, Task("words"))
    assert [found.metric for found in score.figures] == ["exact_match (whole)", "exact_match (never)"]
    assert score.main is score.figures[0]
    assert score.figures[0].value == 0.75
    assert score.figures[0].by_item is not None
    assert score.figures[0].by_item.tolist() == [float(place % 4 > 0) for place in range(20)]
    assert score.figures[1].value == 0.0


def test_perplexity_of_documents_and_figures_without_a_formula(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    texts = ["A jar of salt.", "Two jars of sugar, and one of water that is not full."]
    write_task(
        tmp_path,
        "documents",
        [{"text": text} for text in texts],
        output_type="loglikelihood_rolling",
        doc_to_text="",
        doc_to_target="text",
        metric_list=[{"metric": "word_perplexity"}],
    )
    write_task(
        tmp_path,
        "endings",
        [{"text": text, "end": "Yes"} for text in (*texts, *QUESTIONS)],
        output_type="loglikelihood",
        doc_to_text="text",
        doc_to_target="end",
        metric_list=[{"metric": "perplexity"}],
    )
    documents, endings = asked(model, tmp_path, Task("documents"), Task("endings"))
    total = sum(log_likelihood(model.network, [256, *by_bytes(text)], len(by_bytes(text)))[0] for text in texts)
    words = sum(len(text.split()) for text in texts)
    assert figure(documents, "word_perplexity").value == pytest.approx(math.exp(-total / words), rel=1e-3)
    assert figure(documents, "word_perplexity").by_item is None, "it is no mean"
    assert figure(documents, "word_perplexity").error is None
    assert figure(documents, "word_perplexity").higher_is_better is False
    each = [log_likelihood(model.network, by_bytes(f"{text}Yes"), 3)[0] for text in (*texts, *QUESTIONS)]
    found = figure(endings, "perplexity")
    assert found.value == pytest.approx(math.exp(-float(np.mean(each))), rel=1e-3)
    assert found.by_item is None
    # Of a thousand resamples, which the harness draws with a seed of its own.
    drawing = random.Random(0)
    means = [float(np.mean(drawing.choices(each, k=len(each)))) for _ in range(1000)]
    assert found.error == pytest.approx(np.std(np.exp(np.negative(means)), ddof=1), rel=1e-2)


def test_what_keeps_a_task_from_being_scored_is_one_line_and_stops_no_other(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    write_choices(tmp_path, model.network)
    choices = {"output_type": "multiple_choice", "doc_to_text": "q", "doc_to_choice": "c", "doc_to_target": "g"}
    row = {"q": "?", "c": CHOICES[0], "g": 0}
    write_task(tmp_path, "gone", [row], **choices)
    (tmp_path / "gone.jsonl").unlink()
    write_task(tmp_path, "far", [row], **choices, dataset_path="somebody/something", dataset_kwargs={})
    write_task(tmp_path, "riddle", [row], **{**choices, "output_type": "riddle"})
    write_task(tmp_path, "unsafe", [row], **choices, unsafe_code=True)
    beams = {"until": ["?"], "num_beams": 4}
    write_task(tmp_path, "beams", [row], output_type="generate_until", doc_to_text="q", doc_to_target="q",
               generation_kwargs=beams)  # fmt: skip
    write_task(tmp_path, "needy", [row], **choices)
    write_task(tmp_path, "failing", [row], **choices)
    for name, code in (("needy", "import no_such_package_anywhere\n"), ("failing", "")):
        file = tmp_path / f"{name}.yaml"
        file.write_text(file.read_text() + f"process_results: !function of_{name}.results\n")
        (tmp_path / f"of_{name}.py").write_text(
            f"{code}def results(doc, found):\n    raise LookupError('no such jar')\n"
        )
    names = ("gone", "far", "riddle", "unsafe", "beams", "needy", "failing", "jars")
    found = {score.task: score for score in asked(model, tmp_path, *map(Task, names))}
    problems = {name: score.problem or "" for name, score in found.items()}
    assert problems.pop("jars") == ""
    assert found["jars"].items == 20
    assert all(text and "\n" not in text for text in problems.values()), problems
    assert "gone.jsonl" in problems["gone"]
    assert "the Hub cannot be reached" in problems["far"]
    assert "invalid output_type 'riddle'" in problems["riddle"]
    assert problems["unsafe"] == "it runs code that the model writes, and is left out for that"
    assert "'num_beams' = 4" in problems["beams"]
    assert problems["needy"].endswith("pip install no_such_package_anywhere")
    assert "no such jar" in problems["failing"]
    assert all(score.items == 0 and not score.figures for name, score in found.items() if name != "jars")


def test_what_can_be_told_before_time_is_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        Benchmarks(tmp_path / "nowhere")
    write_task(tmp_path, "far", [], output_type="generate_until", dataset_path="somebody/something", dataset_kwargs={})
    assert "the Hub cannot be reached" in (Benchmarks(tmp_path).problem(Task("far")) or "")
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(UsageError, match=r"pip install 'heretic-tui\[benchmarks\]'"):
        Benchmarks()


def test_an_abort_ends_a_benchmark(make_model: Make, tmp_path: Path) -> None:
    model = make_model(batch_size=4)
    write_choices(tmp_path, model.network)
    control, told = Control(), list[Progress]()

    def hear(event: Event) -> None:
        if isinstance(event, Progress):
            told.append(event)
            control.abort()

    with pytest.raises(Aborted):
        asked(model, tmp_path, Task("jars"), work=Work(hear, control))
    assert len(told) == 1
    (score,) = asked(model, tmp_path, Task("jars"))
    assert figure(score, "acc").value == 0.75, "nothing is left of what was ended"


def test_the_harness_changes_nothing_outside(make_model: Make, tmp_path: Path) -> None:
    model = make_model()
    write_choices(tmp_path, model.network)

    def drawn() -> tuple[object, ...]:
        return random.getstate(), *map(str, np.random.get_state())

    before = drawn()
    benchmarks = Benchmarks(tmp_path)
    assert benchmarks.problem(Task("jars")) is None
    # What the package itself sets when it is imported is there by now.
    environment = dict(os.environ)
    benchmarks.score(Task("jars"), model, {}, Work())
    assert drawn() == before
    assert dict(os.environ) == environment


def test_a_group_has_the_items_of_its_parts() -> None:
    def sample(item: int, value: float) -> dict[str, object]:
        return {"doc_id": item, "filter": "none", "acc": value}

    results: dict[str, Any] = {
        "results": {
            "subjects": {"name": "subjects", "sample_len": 5, "acc,none": 0.4, "acc_stderr,none": 0.2},
            "jars": {"name": "jars", "sample_len": 2, "acc,none": 0.5, "acc_stderr,none": 0.5},
            "lids": {"name": "lids", "sample_len": 3, "acc,none": 1 / 3, "acc_stderr,none": "N/A"},
        },
        "samples": {
            "jars": [sample(1, 0.0), sample(0, 1.0)],
            "lids": [sample(0, 0.0), sample(1, 0.0), sample(2, 1.0)],
        },
        "higher_is_better": {"subjects": {"acc": True}, "jars": {"acc": True}, "lids": {"acc": True}},
    }
    score = scored("subjects", ["jars", "lids"], results)
    (whole,) = score.figures
    assert (score.items, whole.value, whole.error) == (5, 0.4, 0.2)
    assert whole.by_item is not None
    assert whole.by_item.tolist() == [1.0, 0.0, 0.0, 0.0, 1.0]
    assert [part.task for part in score.parts] == ["jars", "lids"]
    assert score.parts[1].figures[0].error is None
    # A tag has no figure of its own.
    tag = scored("some_tag", ["jars", "lids"], results)
    assert (tag.figures, tag.items, tag.main) == ((), 5, None)
    # The mean of a group that does not weigh its parts by their items is not that of its items.
    results["results"]["subjects"]["acc,none"] = 5 / 12
    assert scored("subjects", ["jars", "lids"], results).figures[0].by_item is None


def test_presets_name_each_task_once() -> None:
    assert {"quick", "standard"} <= PRESETS.keys()
    for tasks in PRESETS.values():
        assert len({task.name for task in tasks}) == len(tasks)
