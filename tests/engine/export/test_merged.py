"""Merged weights: what is written is the edited model, measured again, and made of what the run found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support import tiny_models
from tests.support.exports import Heretic, expected_logits, logits_of, record_of, searched


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_merged_weights(heretic: Heretic, tmp_path: Path, sets: list[str], kind: str) -> None:
    model = tiny_models.save(tmp_path / "model", kind)
    searched(heretic, model, sets)
    out = tmp_path / "exports" / "out"
    done = heretic("export", "model", "--trial", "1", out, "--max-shard-size", "60KB")
    assert done.status == 0, done.err
    expected, base = expected_logits(model, tmp_path / "runs", 1)
    actual = logits_of(AutoModelForCausalLM.from_pretrained(out))
    torch.testing.assert_close(actual, expected, atol=2e-4, rtol=1e-4)
    assert (actual - base).abs().max() > 0.1, "the edit changes something"
    assert AutoTokenizer.from_pretrained(out).chat_template == tiny_models.TEMPLATE
    assert (out / "generation_config.json").is_file()

    record = record_of(out)
    assert len(record["files"]) > 1, "sharded"
    assert set(record["files"]) == {path.name for path in out.glob("*.safetensors")}
    assert record["exported"]["figures"]["refusals"] == record["trial"]["figures"]["refusals"]
    exported, trial = (record[key]["figures"]["kl_divergence"] for key in ("exported", "trial"))
    assert exported == pytest.approx(trial, abs=1e-4)
    assert "exported" in done.out
    assert "trial 1" in done.out
    card = (out / "README.md").read_text()
    for said in (
        "refusal behaviour of this model was deliberately reduced",
        "answers for",
        "these files, loaded again",
    ):
        assert said in card
    assert f"{record['parameters']['components']['attn.o_proj']['max_weight']}" in card
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_model_that_changed_since_the_run_is_not_exported(heretic: Heretic, tmp_path: Path, sets: list[str]) -> None:
    model = tiny_models.save(tmp_path / "model")
    searched(heretic, model, sets)
    tiny_models.network("llama", seed=9).save_pretrained(model)
    done = heretic("export", "model", "--trial", "0", tmp_path / "out")
    assert done.status == 2
    assert "has changed since the run was made" in done.err
    assert not (tmp_path / "out").exists()


def test_an_export_without_its_prompts_is_made_and_says_that_it_was_not_measured(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    own = tmp_path / "own.txt"
    own.write_text("".join(f"own prompt {i}\n" for i in range(9)))
    searched(heretic, tiny_folder, [*sets, "--bad-evaluation-prompts", str(own)])
    own.unlink()
    done = heretic("export", "model", "--trial", "0", tmp_path / "out")
    assert done.status == 0
    assert "the exported files were not measured" in done.out
    assert "were not measured" in (tmp_path / "out" / "README.md").read_text()


def test_an_export_tells_of_the_note_and_of_overruled_verdicts_beside_what_was_measured(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    searched(heretic, tiny_folder, sets)
    measured = json.loads(heretic("show", "model", "--json").out)["trials"][0]["figures"]
    assert heretic("note", "model", 0, "--note", "mine *and* more", "--overrule", "0=broken").status == 0
    out = tmp_path / "out"
    assert heretic("export", "model", "--trial", "0", out).status == 0
    record, card = record_of(out), (out / "README.md").read_text()
    assert record["note"] == "mine *and* more"
    assert (record["overruled"]["trial"], record["overruled"]["broken"]) == (1, 1)
    assert record["trial"]["figures"] == measured
    assert r"> mine \*and\* more" in card
    assert "overruled by hand: of the trial 1 verdict" in card


def test_an_export_takes_what_the_run_found_and_never_writes_to_it(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    searched(heretic, tiny_folder, sets)
    (run,) = (tmp_path / "runs").iterdir()

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    whole = content()
    baseline, base = run / "baseline.safetensors", run / "responses" / "base.json"
    for lost in (baseline, base):
        lost.rename(tmp_path / lost.name)
        before, out = content(), tmp_path / f"without-{lost.stem}"
        done = heretic("export", "model", "--trial", "0", out)
        assert done.status == 0
        assert "the exported files were not measured: the baseline of run" in done.out
        assert "exported" not in record_of(out)
        assert content() == before, "the exported model's figures are not those of the run's base"
        (tmp_path / lost.name).rename(lost)
    (run / "directions.safetensors").rename(tmp_path / "directions.safetensors")
    done = heretic("export", "model", "--trial", "0", tmp_path / "undirected")
    assert done.status == 1
    assert done.err.strip().splitlines()[-1].startswith("heretic-tui: the directions of run")
    assert not (tmp_path / "undirected").exists()
    (tmp_path / "directions.safetensors").rename(run / "directions.safetensors")
    assert heretic("export", "model", "--trial", "0", tmp_path / "out").status == 0
    assert content() == whole


def test_scoring_an_exported_models_edit_agrees_with_the_trial(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    searched(heretic, tiny_folder, sets)
    shown = json.loads(heretic("show", "model", "--json").out)
    trial = shown["trials"][1]
    edit = {key: trial[key] for key in ("direction_index", "components")}
    (tmp_path / "edit.json").write_text(json.dumps(edit))
    done = heretic("score", tiny_folder, *sets, "--edit", tmp_path / "edit.json", runs_dir=None)
    scored = json.loads(done.out)
    assert scored["figures"] == pytest.approx(trial["figures"], abs=1e-6)
    assert scored["prompts"] == 6
    assert {"load", "KL divergence", "prompts", "decoding"} <= set(scored["seconds"])
    base = json.loads(heretic("score", tiny_folder, *sets, runs_dir=None).out)
    assert base["figures"] == pytest.approx(shown["base"]["figures"], abs=1e-6)
