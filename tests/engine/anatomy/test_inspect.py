"""Looking at a model without its weights, refusing packed ones, and exports that hold all of their source."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING

from heretic_tui.engine.anatomy.probe import examine
from heretic_tui.engine.checkpoint.stored import stored_tensors
from heretic_tui.engine.checkpoint.suitability import refuse_unsuitable
from heretic_tui.errors import UsageError
from tests.support import families, tiny_models
from tests.support.commands import Ended

Heretic = Callable[..., Ended]


def saved(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(families.SIZES, "vocab_size", tiny_models.VOCABULARY)
    families.build(kind).save_pretrained(folder)
    tiny_models.tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["qwen3_moe", "gemma3", "jamba"])
def test_inspect_finds_what_loading_finds(
    heretic: Heretic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    model = saved(tmp_path / "model", kind, monkeypatch)
    for path in model.glob("*.safetensors"):
        # Of weights only the headers are read.
        with path.open("r+b") as file:
            size, header = path.stat().st_size, 8 + int.from_bytes(file.read(8), "little")
            file.truncate(header)
            file.truncate(size)
    done = heretic("inspect", model, "--json", runs_dir=None)
    assert done.status == 0, done.err
    found = json.loads(done.out)
    anatomy = examine(families.build(kind))
    assert {w["name"]: tuple(w["shape"]) for w in found["writers"]} == {w.name: w.shape for w in anatomy.writers}
    assert found["edited"] == found["found"] == len(anatomy.writers)
    assert found["layers"] == len(anatomy.layers)
    assert {"layer", "name", "component", "kind", "shape", "editable", "reason"} == set(found["writers"][0])
    text = heretic("inspect", model, "--component-kinds", "fine", runs_dir=None).out
    assert f"editing {len(anatomy.writers)} of {len(anatomy.writers)} matrices" in text


def test_a_model_that_is_not_there(heretic: Heretic, tmp_path: Path) -> None:
    done = heretic("inspect", tmp_path / "none", runs_dir=None)
    assert done.status == 2
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("method", "instead"), [("gptq", "FP8"), ("awq", "made from"), ("compressed-tensors", "made from")]
)
def test_a_checkpoint_that_is_quantised_already_is_refused(
    heretic: Heretic, tmp_path: Path, sets: list[str], method: str, instead: str
) -> None:
    model = tiny_models.save(tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "quantization_config": {"quant_method": method}}))
    for command in (["inspect", model], ["run", model, *sets]):
        done = heretic(*command)
        assert done.status == 2
        assert f"quantised already ({method})" in done.err
        assert instead in done.err


def shapes_of(folder: Path) -> dict[str, tuple[int, ...]]:
    return {name: stored.shape for name, stored in stored_tensors(folder).items()}


@pytest.mark.parametrize("sharded", [False, True])
def test_weights_that_lie_beside_the_models_own_are_neither_compared_nor_copied(
    heretic: Heretic, tmp_path: Path, sets: list[str], sharded: bool
) -> None:
    model = tmp_path / "model"
    tiny_models.network().save_pretrained(model, **({"max_shard_size": "60KB"} if sharded else {}))
    tiny_models.tokenizer().save_pretrained(model)
    own = shapes_of(model)
    tensors = {name.removeprefix("model."): torch.zeros(shape) for name, shape in own.items()}
    save_file(tensors, model / "consolidated.safetensors")
    save_file({name: torch.zeros(2) for name in own}, model / "model-old.safetensors")
    assert heretic("run", model, *sets, "--n-trials", "1", "--seed", "5").status == 0
    done = heretic("export", "model", "--trial", "0", tmp_path / "out")
    assert done.status == 0, done.err
    assert "copied" not in done.err
    assert shapes_of(tmp_path / "out") == own
    names = {stored.file.name for stored in stored_tensors(model).values()}
    assert {path.name for path in (tmp_path / "out").glob("*.safetensors")} == names


@pytest.mark.parametrize("shards", [[], ["--max-shard-size", "60KB"]])
def test_an_export_carries_what_the_class_does_not_load(
    heretic: Heretic, tmp_path: Path, sets: list[str], shards: list[str]
) -> None:
    model = tiny_models.save(tmp_path / "model")
    tensors = load_file(model / "model.safetensors")
    head = torch.randn(3, 5)
    save_file({**tensors, "model.mtp.0.weight": head}, model / "model.safetensors", metadata={"format": "pt"})
    assert heretic("run", model, *sets, "--n-trials", "1", "--seed", "5").status == 0
    done = heretic("export", "model", "--trial", "0", tmp_path / "out", *shards)
    assert done.status == 0, done.err
    found = stored_tensors(tmp_path / "out")
    assert shapes_of(tmp_path / "out") == shapes_of(model)
    with safe_open(found["model.mtp.0.weight"].file, "pt") as file:
        assert torch.equal(file.get_tensor("model.mtp.0.weight"), head)
    if not shards:
        # The file of the source, with what is edited in its place.
        assert [path.name for path in (tmp_path / "out").glob("model*")] == ["model.safetensors"]
        return
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(found)
    assert all((tmp_path / "out" / name).is_file() for name in index["weight_map"].values())


def test_a_part_of_a_checkpoint_that_is_quantised_already() -> None:
    config = families.small_config("gemma3")
    config.text_config.quantization_config = {"quant_method": "compressed-tensors"}
    with pytest.raises(UsageError, match="quantised already \\(compressed-tensors\\)"):
        refuse_unsuitable(config)


@pytest.mark.parametrize(("kind", "reason"), [("t5", "encoder-decoder"), ("bert", "encoder-only"), ("vit", "in text")])
def test_what_is_no_decoder_of_text_is_refused(
    heretic: Heretic, tmp_path: Path, sets: list[str], kind: str, reason: str
) -> None:
    CONFIG_MAPPING[kind]().save_pretrained(tmp_path)
    tiny_models.tokenizer().save_pretrained(tmp_path)
    for command in (["inspect", tmp_path], ["run", tmp_path, *sets]):
        done = heretic(*command)
        assert done.status == 2
        (line,) = done.err.splitlines()
        assert reason in line


def test_what_cannot_be_built_is_one_line(heretic: Heretic, tmp_path: Path) -> None:
    model = tiny_models.save(tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "vocab_size": -1}))
    done = heretic("inspect", model)
    assert done.status == 2
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("kind", ["mixtral", "gemma3"])
def test_a_whole_run_on_experts_and_on_a_model_that_sees(
    heretic: Heretic, tmp_path: Path, sets: list[str], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    model = saved(tmp_path / "model", kind, monkeypatch)
    (model / "preprocessor_config.json").write_text("{}")
    done = heretic("run", model, *sets, "--n-trials", "2", "--seed", "5", "--no-early-stop")
    assert done.status == 0, done.err
    done = heretic("export", "model", "--trial", "1", tmp_path / "out")
    assert done.status == 0, done.err
    assert shapes_of(tmp_path / "out") == shapes_of(model)
    assert (tmp_path / "out" / "preprocessor_config.json").is_file()
    record = json.loads((tmp_path / "out" / "reproduce.json").read_text())
    assert record["exported"]["figures"]["refusals"] == record["trial"]["figures"]["refusals"]
    exported, trial = (record[key]["figures"]["kl_divergence"] for key in ("exported", "trial"))
    assert exported == pytest.approx(trial, abs=1e-4)
