"""A run with two directions of each layer: searched, analysed, scored, and exported in every form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from peft import PeftModel
from transformers import AutoModelForCausalLM

from heretic_tui.run.run import Run
from tests.support import tiny_models
from tests.support.exports import Heretic, expected_logits, logits_of, record_of, searched

TWO = ["--direction-method", "principal_components", "--directions-per-layer", "2"]


def shown(heretic: Heretic) -> Any:
    return json.loads(heretic("show", "model", "--json").out)


@pytest.mark.parametrize(
    ("method", "flags", "rank", "close"),
    [
        ("subtract", [], 2, 2e-4),
        ("norm_preserving", ["--dora"], 2, 2e-4),
        # The nearest LoRA has every rank that there is, or as many as the edit at least.
        ("norm_preserving", ["--full-normalization-lora-rank", "32"], 32, 2e-4),
        ("norm_preserving", ["--full-normalization-lora-rank", "1"], 2, 0.5),
    ],
)
def test_an_adapter_has_the_rank_of_the_edit(
    heretic: Heretic, tmp_path: Path, sets: list[str], method: str, flags: list[str], rank: int, close: float
) -> None:
    model = tiny_models.save(tmp_path / "model")
    searched(heretic, model, sets, *TWO, "--edit-method", method)
    out = tmp_path / "out"
    done = heretic("export", "model", "--trial", "1", out, "--as", "adapter", *flags)
    assert done.status == 0, done.err
    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (rank, rank)
    expected, base = expected_logits(model, tmp_path / "runs", 1)
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), out)
    assert (logits_of(loaded) - expected).norm() / (expected - base).norm() < close
    record = record_of(out)
    assert record["rank"] == 2
    assert "Each layer has 2 directions" in (out / "README.md").read_text()
    if close < 0.1:
        trial, exported = (record[name]["figures"]["kl_divergence"] for name in ("trial", "exported"))
        assert exported == pytest.approx(trial, abs=1e-4)


def test_weighted_one_by_one_each_has_a_share_that_is_searched_kept_and_exported(
    heretic: Heretic, tmp_path: Path, sets: list[str]
) -> None:
    model = tiny_models.save(tmp_path / "model")
    searched(heretic, model, sets, *TWO, "--direction-weights", "each")
    trial = shown(heretic)["trials"][1]
    shares = {name: kernel["shares"] for name, kernel in trial["components"].items()}
    assert len({share for each in shares.values() for share in each}) == len(shares) == 2, "each component has its own"
    (folder,) = (tmp_path / "runs").glob("model-*")
    run = Run(folder)
    assert run.directions.shape == (5, 2, 32)
    assert run.state.directions is not None
    assert run.state.directions.rank == 2
    assert run.geometry is not None
    assert any("each layer has 2 directions" in note for note in run.geometry.notes)
    assert "(direction 2: " in heretic("show", "model").out

    # The same edit, and the same files, from what was written down of them.
    edit = tmp_path / "edit.json"
    edit.write_text(json.dumps({key: trial[key] for key in ("direction_index", "components")}))
    done = heretic("score", model, *sets, *TWO, "--edit", edit)
    assert done.status == 0, done.err
    assert json.loads(done.out)["figures"] == pytest.approx(trial["figures"], abs=1e-6)
    assert "what run model-" in done.err, "weights decide nothing that is found before a search"
    out, again = tmp_path / "out", tmp_path / "again"
    assert heretic("export", "model", "--trial", "1", out).status == 0
    record = record_of(out)
    assert {name: kernel["shares"] for name, kernel in record["parameters"]["components"].items()} == shares
    assert (record["rank"], record["streamed"]) == (2, True)
    expected, base = expected_logits(model, tmp_path / "runs", 1)
    loaded = logits_of(AutoModelForCausalLM.from_pretrained(out))
    assert (loaded - expected).norm() / (expected - base).norm() < 1e-3
    done = heretic("reproduce", out / "reproduce.json", again, runs_dir=None)
    assert done.status == 0, done.err
    assert record_of(again)["files"] == record["files"]
    assert heretic("compare", "model", folder.name).status == 0
