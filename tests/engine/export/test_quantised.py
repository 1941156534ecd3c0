"""Exports of sources that are quantised: what is edited is in 16 bits or quantised again, all else is as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from heretic_tui.engine.anatomy.kept import kept_writers
from heretic_tui.engine.anatomy.probe import examine
from heretic_tui.engine.anatomy.writers import Anatomy
from heretic_tui.engine.checkpoint.misfit import build_empty
from heretic_tui.engine.checkpoint.number_formats import encode_mxfp4
from heretic_tui.engine.checkpoint.source import load_config
from heretic_tui.engine.checkpoint.stored import stored_tensors
from heretic_tui.engine.export.quantised_config import config_text
from heretic_tui.engine.export.streamed import StreamedMerge
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.folder import RunFolder
from heretic_tui.settings.schema import Settings
from tests.support import quantised
from tests.support.exports import Heretic, logits_of, record_of, searched
from tests.support.merges import all_layers, directions_for, edit_in_memory, planned, stream, tensors_in, unlike
from tests.support.model_folders import configure, refused, rewrite, sharded

METHOD = "norm_preserving"
SOURCES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "blocks": ("llama", quantised.save_fp8),
    "ragged blocks": ("llama", lambda folder: quantised.save_fp8(folder, block=(20, 14))),
    "a scale for a matrix": ("llama", lambda folder: quantised.save_fp8(folder, block=None)),
    "scales of bfloat16": ("llama", lambda folder: quantised.save_fp8(folder, scale="bfloat16")),
    "experts": ("qwen3_moe", lambda folder: quantised.save_fp8(folder, "qwen3_moe")),
    "mxfp4": ("gpt_oss", quantised.save_mxfp4),
}
EDITED = ("o_proj", "down_proj")


def exported(
    source: Path,
    out: Path,
    dense: PreTrainedModel,
    requantize: bool,
    parameters: Parameters | None = None,
    count: int = 1,
) -> tuple[StreamedMerge, Anatomy]:
    """A merge of an edit with so many directions of a layer written to `out`, with the configuration."""
    anatomy = examine(dense)
    chosen, directions = parameters or all_layers(anatomy), directions_for(anatomy, count)
    plan = planned(source, dense, anatomy, out.with_name("run"), chosen, METHOD, directions, requantize)
    stream(plan, out)
    network = build_empty(load_config(Settings(model=str(source))), False)
    text = (source / "config.json").read_text()
    (out / "config.json").write_text(config_text(source / "config.json", plan, network) if plan.whole else text)
    return plan, anatomy


def numbers_after(dense: PreTrainedModel, anatomy: Anatomy, place: Path, count: int = 1) -> dict[str, Tensor]:
    """The tensors of the unquantised model in memory, when it has been edited there, by their names in files."""
    edit_in_memory(anatomy, all_layers(anatomy), METHOD, count)
    dense.save_pretrained(place)
    return tensors_in(place)


@pytest.mark.parametrize("what", SOURCES)
def test_what_is_edited_is_in_16_bits_as_the_dequantised_model_gives_it(what: str, tmp_path: Path) -> None:
    _, make = SOURCES[what]
    source, out = make(tmp_path / "source"), tmp_path / "out"
    dense = quantised.dense_folder(source, tmp_path / "dense")
    plan, anatomy = exported(source, out, dense, requantize=False)
    before, after = tensors_in(source), tensors_in(out)
    expected = numbers_after(dense, anatomy, tmp_path / "whole")
    found = quantised.numbers_in(out)
    assert found.keys() <= expected.keys() | {"lm_head.weight"}
    assert unlike(found, expected) == []
    # Experts that are not edited stand beside those that are.
    edited = [name for name in expected if any(part in name for part in (*EDITED, ".experts.")) and "bias" not in name]
    assert edited
    assert all(after[name].dtype == torch.bfloat16 for name in edited)
    assert sorted(unlike(after, before)) == sorted(name for name in edited if name in before)
    assert plan.dtype == "bfloat16"
    record = json.loads((out / "config.json").read_text()).get("quantization_config")
    if what == "mxfp4":
        assert record is None
        assert not [name for name in after if name.endswith(("_blocks", "_scales"))]
    else:
        left = {name for name in before if name.endswith("_scale_inv")} & after.keys()
        assert left == {
            name
            for name in before
            if name.endswith("_scale_inv") and not any(part in name for part in (*EDITED, ".experts."))
        }
        assert "lm_head" in record["modules_to_not_convert"]
    if what != "ragged blocks":
        # (transformers takes blocks at the edges for as large as the others.)
        assert torch.equal(logits_of(AutoModelForCausalLM.from_pretrained(out)), logits_of(dense))


@pytest.mark.parametrize("what", ["blocks", "experts", "mxfp4"])
def test_it_is_so_with_several_directions_of_a_layer(what: str, tmp_path: Path) -> None:
    _, make = SOURCES[what]
    source, out = make(tmp_path / "source"), tmp_path / "out"
    dense = quantised.dense_folder(source, tmp_path / "dense")
    _, anatomy = exported(source, out, dense, requantize=False, count=3)
    assert unlike(quantised.numbers_in(out), numbers_after(dense, anatomy, tmp_path / "whole", 3)) == []
    assert unlike(tensors_in(out), tensors_in(source)) or what == "mxfp4"


def bits(tensor: Tensor) -> Tensor:
    return tensor.reshape(-1).view(torch.uint8)


@pytest.mark.parametrize("what", SOURCES)
def test_what_is_edited_is_quantised_again(what: str, tmp_path: Path) -> None:
    _, make = SOURCES[what]
    source, out = make(tmp_path / "source"), tmp_path / "out"
    dense = quantised.dense_folder(source, tmp_path / "dense", torch.float32)
    plan, anatomy = exported(source, out, dense, requantize=True)
    assert plan.requantized
    before, after = tensors_in(source), tensors_in(out)
    assert before.keys() == after.keys()
    edited = numbers_after(dense, anatomy, tmp_path / "whole")
    record = json.loads((source / "config.json").read_text())["quantization_config"]
    block = record.get("weight_block_size")
    for name, tensor in before.items():
        whole = name.removesuffix("_blocks").removesuffix("_scales").removesuffix("_scale_inv")
        if whole == name and f"{name}_scale_inv" not in before:
            # What was not quantised is edited as it is, or is as it was.
            if not any(part in name for part in EDITED) or "bias" in name:
                assert torch.equal(after[name], tensor), name
            continue
        if not any(part in name for part in EDITED):
            assert torch.equal(bits(after[name]), bits(tensor)), name
            continue
        if name.endswith(("_blocks", "_scales")):
            blocks, scales = encode_mxfp4(edited[whole])
            expected = blocks if name.endswith("_blocks") else scales
        else:
            codes, factors = quantised.quantised_fp8(edited[whole], block, before[f"{whole}_scale_inv"].dtype)
            expected = codes if name == whole else factors
        assert after[name].dtype == expected.dtype
        if what == "experts" and name == whole:
            # Products of a stack are summed in another order than in memory: a number may lie at the other side of a
            # half.
            assert (bits(after[name]) != bits(expected)).float().mean() < 0.01, name
        elif what == "experts":
            torch.testing.assert_close(after[name], expected, rtol=1e-6, atol=0)
        else:
            assert torch.equal(bits(after[name]), bits(expected)), name
    if what != "ragged blocks":
        again = quantised.dense_folder(out, tmp_path / "again")
        assert torch.equal(logits_of(AutoModelForCausalLM.from_pretrained(out)), logits_of(again))


@pytest.mark.parametrize("requantize", [False, True])
def test_a_scale_may_lie_in_another_file_than_its_matrix(requantize: bool, tmp_path: Path) -> None:
    source, other = quantised.save_fp8(tmp_path / "source"), quantised.save_fp8(tmp_path / "other")
    dense = quantised.dense_folder(source, tmp_path / "dense")
    exported(source, tmp_path / "one", dense, requantize)
    where = sharded(other)
    name = "model.layers.0.mlp.down_proj.weight"
    assert where[name] != where[f"{name}_scale_inv"]
    out = tmp_path / "out"
    plan, _ = exported(other, out, dense, requantize)
    assert unlike(tensors_in(out), tensors_in(tmp_path / "one")) == []
    assert tensors_in(out).keys() == tensors_in(tmp_path / "one").keys()
    assert plan.size == sum(path.stat().st_size for path in out.glob("*.safetensors"))
    index = json.loads((out / "model.safetensors.index.json").read_text())
    lies = {name: path.name for path in out.glob("*.safetensors") for name in load_file(path)}
    assert index["weight_map"] == {name: lies[name] for name in sorted(lies)} or requantize
    assert lies.keys() == index["weight_map"].keys()


def test_numbers_lie_where_numbers_of_their_width_can(tmp_path: Path) -> None:
    source, out = quantised.save_fp8(tmp_path / "source"), tmp_path / "out"
    dense = quantised.dense_folder(source, tmp_path / "dense")
    # Of an odd size, and before all others of its kind.
    odd = {"a.mtp": torch.ones(7).to(torch.float8_e4m3fn), "b.mtp": torch.ones(3, dtype=torch.bfloat16)}
    rewrite(source, lambda tensors: {**tensors, **odd})
    exported(source, out, dense, requantize=False)
    for name, stored in stored_tensors(out).items():
        width = {"F32": 4, "BF16": 2, "F8_E4M3": 1}[stored.dtype]
        assert stored.start % width == 0, name
    found = tensors_in(out)
    assert all(torch.equal(bits(found[name]), bits(tensor)) for name, tensor in odd.items())


def test_a_trial_that_edits_nothing_quantised_changes_nothing_of_it(tmp_path: Path) -> None:
    source, out = quantised.save_mxfp4(tmp_path / "source"), tmp_path / "out"
    dense = quantised.dense_folder(source, tmp_path / "dense")
    only = Parameters(None, {"attn.o_proj": Kernel(1.0, 0, 0.5, 9)})
    plan, _ = exported(source, out, dense, False, only)
    assert plan.format_words == "The source is MXFP4: no matrix in it is edited."
    changed = unlike(tensors_in(out), tensors_in(source))
    assert changed
    assert all("o_proj.weight" in name for name in changed)
    assert json.loads((out / "config.json").read_text())["quantization_config"]["quant_method"] == "mxfp4"


@pytest.mark.parametrize("key", ["modules_to_not_convert", "ignored_layers"])
def test_the_list_that_the_source_has_is_the_one_that_grows(key: str, tmp_path: Path) -> None:
    source, out = quantised.save_fp8(tmp_path / "source"), tmp_path / "out"
    record = {"quant_method": "fp8", "weight_block_size": [16, 16], key: ["lm_head", "model.layers.0.self_attn.o_proj"]}
    configure(source, quantization_config=record)
    dense = quantised.dense_folder(source, tmp_path / "dense")
    exported(source, out, dense, requantize=False)
    said = json.loads((out / "config.json").read_text())["quantization_config"]
    assert {name for name in said if isinstance(said[name], list)} == {key, "weight_block_size"}
    assert said[key][:2] == record[key]
    assert sorted(said[key][1:]) == sorted(
        f"model.layers.{layer}.{part}" for layer in range(4) for part in ("mlp.down_proj", "self_attn.o_proj")
    )


def test_all_of_it_by_the_command_line(heretic: Heretic, tmp_path: Path, sets: list[str]) -> None:
    model = quantised.save_fp8(tmp_path / "model")
    searched(heretic, model, sets)
    (run,) = (tmp_path / "runs").iterdir()
    assert "stored as FP8" in (run / "events.jsonl").read_text()
    assert kept_writers(RunFolder(run), build_empty(load_config(Settings(model=str(model))), False), fine=False)

    sixteen, eight, again = tmp_path / "sixteen", tmp_path / "eight", tmp_path / "again"
    done = heretic("export", "model", "--trial", "1", sixteen)
    assert done.status == 0, done.err
    record = record_of(sixteen)
    said = record["written_as"]
    matrices = (
        r"The source is FP8: \d matrices, those that are edited, are written as bfloat16; the rest is FP8 as it was."
    )
    assert re.fullmatch(matrices, said)
    assert said in done.err
    assert (record["requantized"], record["dtype"]) == (False, "bfloat16")
    assert record["exported"]["figures"] == pytest.approx(record["trial"]["figures"], abs=1e-3)
    assert said in (sixteen / "README.md").read_text()

    done = heretic("export", "model", "--trial", "1", eight, "--requantize")
    record = record_of(eight)
    assert "matrices are quantised again as FP8 after the edit, which rounds them." in done.err
    assert (record["requantized"], record["dtype"]) == (True, "FP8")
    assert record["approximate"].startswith("the edited matrices are quantised again as FP8")
    assert record["exported"]["figures"].keys() == record["trial"]["figures"].keys()
    assert "quantised again as FP8" in (eight / "README.md").read_text()
    size = sum(path.stat().st_size for path in eight.glob("*.safetensors"))
    assert size == sum(path.stat().st_size for path in model.glob("*.safetensors"))

    for out in (sixteen, eight):
        done = heretic("reproduce", out, again / out.name, runs_dir=None)
        assert done.status == 0, done.err
        assert record_of(again / out.name)["files"] == record_of(out)["files"]
        assert record_of(again / out.name)["requantized"] is (out == eight)
        assert (again / out.name / "config.json").read_bytes() == (out / "config.json").read_bytes()

    # In memory all is in 16 bits.
    whole = tmp_path / "whole"
    done = heretic("export", "model", "--trial", "1", whole, "--max-shard-size", "1GB")
    assert done.status == 0, done.err
    assert record_of(whole)["written_as"] == "The source is FP8; the whole model is written as bfloat16."
    assert unlike(tensors_in(whole), quantised.numbers_in(sixteen)) == []
    assert not [name for name in tensors_in(whole) if "scale" in name]

    refused(
        heretic("export", "model", "--trial", "1", tmp_path / "x", "--requantize", "--max-shard-size", "1GB"),
        "cannot be quantised again: the size of its files is set",
    )
    refused(heretic("export", "model", "--trial", "1", tmp_path / "x", "--requantize", "--as", "adapter"), "adapter")


def test_what_is_not_quantised_is_not_quantised_again(
    heretic: Heretic, tmp_path: Path, sets: list[str], tiny_folder: Path
) -> None:
    searched(heretic, tiny_folder, sets)
    done = heretic("export", "model", "--trial", "1", tmp_path / "x", "--requantize")
    refused(done, "is not quantised", "leave out --requantize")
