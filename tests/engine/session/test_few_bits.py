"""A search beside weights in 8 and 4 bits, from the command to files that are made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from heretic_tui.cli.main import run_command
from tests.support import tiny_models
from tests.support.commands import Ended

pytest.importorskip("bitsandbytes")
Heretic = Callable[..., Ended]


@pytest.fixture(scope="module")
def fitting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model whose sizes all products take, with a tokenizer as version 4 of transformers wrote it."""
    folder = tiny_models.save_fitting(tmp_path_factory.mktemp("fitting") / "model")
    path = folder / "tokenizer_config.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "tokenizer_class": "PreTrainedTokenizerFast"}))
    (folder / "special_tokens_map.json").write_text('{"eos_token": "<|end|>"}')
    return folder


@pytest.mark.parametrize("bits", [8, 4])
def test_a_search_in_few_bits_and_what_is_made_of_it(
    heretic: Heretic, fitting: Path, sets: list[str], tmp_path: Path, bits: int
) -> None:
    options = ["--n-trials", "2", "--seed", "1", "--dtypes", "bfloat16"]
    for quantization in (f"bnb_{bits}bit", "none"):
        done = heretic("run", fitting, *sets, *options, "--quantization", quantization)
        assert done.status == 0, done.err
        assert (f"bfloat16, bnb_{bits}bit on" in done.out) == (quantization != "none")
        assert "the plain way" not in done.out, "the fast pool gives what the model's own way does"
    records = [(path, json.loads(path.read_text())) for path in (tmp_path / "runs").glob("*/run.json")]
    assert len(records) == 2, "what is searched in few bits is another run"
    (run,) = [path.parent for path, record in records if record["settings"]["quantization"] != "none"]
    assert {"bitsandbytes" in record["versions"] for _, record in records} == {True, False}
    out = tmp_path / "merged"
    done = heretic("export", run.name, "--trial", "0", out)
    assert done.status == 0, done.err
    assert f"beside {bits}-bit weights" in (out / "README.md").read_text()
    source, merged = load_file(fitting / "model.safetensors"), load_file(out / "model.safetensors")
    changed = {name for name, tensor in merged.items() if not tensor.equal(source[name])}
    assert changed, "the edit is in whole weights"
    assert all(name.endswith(("o_proj.weight", "down_proj.weight")) for name in changed)
    assert {tensor.dtype for tensor in merged.values()} == {tensor.dtype for tensor in source.values()}
    for name in ("tokenizer_config.json", "tokenizer.json", "special_tokens_map.json"):
        assert (out / name).read_bytes() == (fitting / name).read_bytes(), "other tools read what the model came with"
    assert run_command(["reproduce", str(out / "reproduce.json"), str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()
    # The other way, with the whole model in memory, finds the same directions.
    done = heretic("export", run.name, "--trial", "0", tmp_path / "whole", "--max-shard-size", "90MB")
    assert done.status == 0, done.err
    assert run_command(["reproduce", str(tmp_path / "whole" / "reproduce.json"), str(tmp_path / "whole again")]) == 0
    done = heretic("export", run.name, "--trial", "0", tmp_path / "dora", "--as", "adapter", "--dora")
    assert done.status == 0, done.err
    record = json.loads((tmp_path / "dora" / "reproduce.json").read_text())
    trial, exported = record["trial"]["figures"], record["exported"]["figures"]
    assert exported["kl_divergence"] == pytest.approx(trial["kl_divergence"], rel=0.1, abs=5e-3)
    assert f"measured with weights in {bits} bits" in (tmp_path / "dora" / "README.md").read_text()


def test_without_bitsandbytes_that_is_said_before_anything_is_read(
    heretic: Heretic, fitting: Path, sets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heretic_tui.settings.packages.importlib.util.find_spec", lambda name: None)
    done = heretic("run", fitting, *sets, "--quantization", "bnb_8bit")
    assert done.status == 2
    (line,) = done.err.strip().splitlines()
    assert "quantization: bnb_8bit needs bitsandbytes, which is not installed" in line
