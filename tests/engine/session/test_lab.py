"""A real model that refuses, where there is one (HERETIC_LAB_MODEL, HERETIC_LAB_PROMPTS: folders)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from heretic_tui.engine.inputs.prompts import Prompt
from heretic_tui.engine.measuring.plain_pool import PlainPool
from heretic_tui.engine.model.decoding import greedy
from heretic_tui.engine.model.load import load_model
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work
from tests.support.commands import Ended
from tests.support.trial_course import Course, assert_same

pytestmark = pytest.mark.lab

EDIT = {
    "direction_index": 18.3,
    "components": {
        "attn.o_proj": {
            "max_weight": 1.2, "max_weight_position": 20, "min_weight": 0.6, "min_weight_distance": 12,
        },
        "mlp.down_proj": {
            "max_weight": 0.9, "max_weight_position": 20, "min_weight": 0.4, "min_weight_distance": 10,
        },
    },
}  # fmt: skip


@pytest.fixture
def lab_prompts() -> Path:
    folder = os.environ.get("HERETIC_LAB_PROMPTS")
    if not folder:
        pytest.skip("HERETIC_LAB_PROMPTS names no folder")
    return Path(folder)


def test_a_hand_set_edit_takes_refusals_away(
    heretic: Callable[..., Ended], lab_model: Path, lab_prompts: Path, tmp_path: Path
) -> None:
    (tmp_path / "edit.json").write_text(json.dumps(EDIT))
    done = heretic(
        "score", lab_model, "--edit", tmp_path / "edit.json",
        "--good-prompts", lab_prompts / "harmless_train.txt", "--bad-prompts", lab_prompts / "restricted_train.txt",
        "--good-evaluation-prompts", lab_prompts / "harmless_eval.txt",
        "--bad-evaluation-prompts", lab_prompts / "restricted_eval.txt", runs_dir=None,
    )  # fmt: skip
    assert done.status == 0, done.err
    scored = json.loads(done.out)
    assert scored["base"]["refusals"] >= 80
    assert scored["figures"]["refusals"] < 20
    assert scored["figures"]["kl_divergence"] < 0.25


def test_batched_tokens_are_those_of_generate_one_by_one(lab_model: Path, lab_prompts: Path) -> None:
    settings = load_settings({"model": str(lab_model), "dtypes": ["float32"]})
    model, _ = load_model(settings, Work())
    texts = (lab_prompts / "restricted_eval.txt").read_text(encoding="utf-8").splitlines()[:12]
    tokens = model.encode([Prompt(text, settings.system_prompt) for text in texts])
    model.batch_size = 5
    responses = greedy(model, tokens, 40)
    for prompt, response in zip(tokens, responses, strict=True):
        with torch.inference_mode():
            out = model.network.generate(
                torch.tensor([prompt], device=model.device), max_new_tokens=40, do_sample=False
            )
        made = out[0, len(prompt) :].tolist()
        assert [token for token in made if token not in model.end_tokens] == response


def test_shortcuts_change_no_figure_of_twenty_random_trials(lab_model: Path, lab_prompts: Path, tmp_path: Path) -> None:
    files = {
        "good_prompts": "harmless_train.txt",
        "bad_prompts": "restricted_train.txt",
        "good_evaluation_prompts": "harmless_eval.txt",
        "bad_evaluation_prompts": "restricted_eval.txt",
    }
    sets = {name: str(lab_prompts / file) for name, file in files.items()}
    options = {"dtypes": ["float32"], "batch_size": 100, "response_prefix": "", "layer_test_prompts": 1}
    course = Course(tmp_path, {"model": str(lab_model), **sets, **options})
    plain = PlainPool(course.bench.model, course.evaluation, Work())
    assert_same(course.measure(course.bench.baseline.pool, 3), course.measure(plain, 1))
