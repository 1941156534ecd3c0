"""A trial as a PEFT adapter computes what the edited model does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests.support import tiny_models
from tests.support.exports import Heretic, expected_logits, logits_of, record_of, searched


@pytest.mark.parametrize(
    ("name", "flags", "rank", "close"),
    [
        ("subtract", [], 1, 2e-4),
        ("row_normalised", [], 1, 2e-4),
        ("norm_preserving", ["--dora"], 1, 2e-4),
        # A plain LoRA of an edit that keeps row lengths is an approximation; with every rank that there is, it is none.
        ("norm_preserving", ["--full-normalization-lora-rank", "32"], 32, 2e-4),
        ("norm_preserving", [], 3, 0.3),
    ],
)
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_adapters(
    heretic: Heretic,
    tmp_path: Path,
    sets: list[str],
    kind: str,
    name: str,
    flags: list[str],
    rank: int,
    close: float,
) -> None:
    model = tiny_models.save(tmp_path / "model", kind)
    searched(heretic, model, sets, "--edit-method", name)
    out = tmp_path / "out"
    done = heretic("export", "model", "--trial", "1", out, "--as", "adapter", *flags)
    assert done.status == 0, done.err
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["r"] == rank
    assert config["use_dora"] == ("--dora" in flags)
    expected, base = expected_logits(model, tmp_path / "runs", 1)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), out)
    off = (logits_of(loaded) - expected).norm() / (expected - base).norm()
    assert off < close
    assert record_of(out)["exported"]["figures"]["kl_divergence"] >= 0
