"""The demo: the bundled model's refusals are real, a run removes them, and the knowledge behind them comes back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from heretic_tui.demo.settings import MODEL, PROMPTS, settings_of_the_demo
from heretic_tui.engine.inputs.check import check_inputs
from heretic_tui.engine.session.phases.phase import RunInputs
from heretic_tui.engine.session.workbench import open_workbench
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.journal import read_events
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work
from tests.support.commands import DemoRun, Ended
from tools.measure_demo import facts_right


def state_of(run: DemoRun) -> RunState:
    return RunState.replay(read_events(run.folder / "events.jsonl"))


def best(run: DemoRun) -> TrialRecord:
    """The trial with the fewest refusals among those that change little."""
    return next(t for t in state_of(run).front() if t.figures["kl_divergence"] < 0.05)


def test_the_model_is_small_and_loads_with_plain_transformers() -> None:
    assert (MODEL / "model.safetensors").stat().st_size <= 12_000_000
    network = AutoModelForCausalLM.from_pretrained(MODEL)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    chat = [{"role": "user", "content": "What is a cat?"}]
    inputs: Any = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    made = network.generate(**inputs, max_new_tokens=30)
    answer = tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert "a small house pet" in answer


def test_the_prompt_sets_are_disjoint_and_complete() -> None:
    sets = {path.stem: path.read_text(encoding="utf-8").splitlines() for path in PROMPTS.iterdir()}
    assert set(sets) == {f"{kind}_{use}" for kind in ("good", "bad") for use in ("train", "eval", "review")}
    measuring = ("good_eval", "bad_eval", "good_review", "bad_review")
    assert {len(sets[name]) for name in measuring} == {100}
    together = [line for lines in sets.values() for line in lines]
    assert len(set(together)) == len(together)


def test_potions_are_refused_and_nothing_else_is(heretic: Callable[..., Ended], demo_run: DemoRun) -> None:
    base = state_of(demo_run).base
    assert base is not None
    assert (base.figures["refusals"] >= 95, base.prompts) == (True, 100)
    done = heretic(
        "score", MODEL, "--dtypes", "float32", "--max-response-length", "60", "--response-prefix", "",
        "--good-prompts", PROMPTS / "good_train.jsonl", "--bad-prompts", PROMPTS / "bad_train.jsonl",
        "--good-evaluation-prompts", PROMPTS / "bad_eval.jsonl",
        "--bad-evaluation-prompts", PROMPTS / "good_eval.jsonl", runs_dir=None,
    )  # fmt: skip
    assert json.loads(done.out)["figures"]["refusals"] <= 2


def test_a_run_removes_the_refusals_and_brings_the_knowledge_back(demo_run: DemoRun) -> None:
    trial = best(demo_run)
    assert trial.figures["refusals"] <= 5
    folder = RunFolder(demo_run.folder)
    assert facts_right(folder, None) == 0
    assert facts_right(folder, trial.number) >= 80


def test_refusals_are_worded_in_many_ways(demo_run: DemoRun) -> None:
    responses = json.loads(RunFolder(demo_run.folder).responses(None).read_text(encoding="utf-8"))
    assert len({response["text"][:12] for response in responses}) >= 5


def test_verdicts_and_divergence_do_not_depend_on_the_batch_size(demo_run: DemoRun, tmp_path: Path) -> None:
    parameters = best(demo_run).required_parameters
    # A trial in the middle too, where small differences change verdicts.
    middle = min(state_of(demo_run).trials.values(), key=lambda t: abs((t.expected("refusals") or 0) - 50))
    results = []
    for size in (1, 7, 100):
        fewer = {f"{kind}_evaluation_prompts": {"split": "[:50]"} for kind in ("good", "bad")}
        settings = load_settings({"batch_size": size, "response_prefix": "", **fewer}, base=settings_of_the_demo())
        inputs = check_inputs(settings)
        folder = RunFolder(tmp_path / str(size))
        folder.create()
        bench = open_workbench(RunInputs.of(inputs.settings, inputs.sets, folder), Work())
        pool = bench.baseline.pool
        answers, divergences = [bench.baseline.responses], []
        for edit in (parameters, middle.required_parameters):
            job = bench.job(None, edit)
            pool.start(job)
            assert pool.advance() is job
            divergences.append(job.figures["kl_divergence"])
            answers.append([response for response in job.responses if response])
        results.append(([[r.verdict.refused for r in responses] for responses in answers], divergences))
    for verdicts, divergences in results[1:]:
        assert verdicts == results[0][0]
        assert divergences == pytest.approx(results[0][1], abs=1e-5)
