"""Weights that are not what config.json says: each refused in one line, before anything is measured."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from heretic_tui.engine.checkpoint.misfit import try_on
from heretic_tui.engine.checkpoint.stored import stored_tensors
from heretic_tui.errors import UsageError
from tests.support import families
from tests.support.commands import Ended
from tests.support.model_folders import DOWN, Change, Tensors, configure, refused, rewrite, sharded

Heretic = Callable[..., Ended]


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "model")


def without(*parts: str) -> Change:
    return lambda tensors: {n: t for n, t in tensors.items() if not any(part in n for part in parts)}


def renamed(pattern: str, by: str) -> Change:
    return lambda tensors: {re.sub(pattern, by, n): t for n, t in tensors.items()}


def plus(**more: Tensor) -> Change:
    return lambda tensors: {**tensors, **{n.replace("__", "."): t for n, t in more.items()}}


def of_layer(number: int) -> Change:
    """The tensors of layer 0 once more, as those of another layer."""
    return lambda tensors: {
        **tensors,
        **{n.replace(".0.", f".{number}."): t.clone() for n, t in tensors.items() if ".layers.0." in n},
    }


WEIGHTS: dict[str, tuple[Change, list[str]]] = {
    "a matrix": (without(DOWN), ["1 tensor", DOWN, "is not there", "drawn at random"]),
    "the head": (without("lm_head"), ["lm_head.weight", "tie_word_embeddings"]),
    "a layer": (without("layers.3."), ["9 tensors", "3 of the 4", "config.json counts in model.layers"]),
    "a layer too many": (of_layer(4), ["9 tensors (model.layers.4.", "no place for", "counts fewer"]),
    "a norm": (plus(model__layers__0__self_attn__q_norm__weight=torch.ones(8)), ["q_norm", "no place in its layers"]),
    "a bias": (plus(model__layers__2__mlp__down_proj__bias=torch.ones(32)), ["down_proj.bias", "no place in its"]),
    "a prefix too many": (renamed("^", "module."), ["begin with 'module.'", "save them without it"]),
    "a compiled model": (renamed("^model", "_orig_mod.model"), ["begin with '_orig_mod.'"]),
    "an unmerged model": (renamed("^", "base_model.model."), ["begin with 'base_model.model.'"]),
    "an adapter's base": (renamed(r"q_proj\.weight", "q_proj.base_layer.weight"), ["of an adapter", "base_layer"]),
    "an adapter": (
        plus(model__layers__0__self_attn__q_proj__lora_A__weight=torch.ones(2, 32)),
        ["1 tensor", "q_proj.lora_A.weight", "of an adapter", "merge"],
    ),
    "another shape": (
        lambda tensors: {**tensors, DOWN: torch.ones(32, 40)},
        [DOWN, "32×40 in the weights and 32×48 by config.json"],
    ),
    "scales": (
        plus(model__layers__0__mlp__up_proj__weight_scale=torch.ones(1)),
        ["quantised already", "up_proj.weight_scale"],
    ),
    "codes of 8 bits": (
        lambda tensors: {**tensors, DOWN: tensors[DOWN].to(torch.float8_e4m3fn)},
        ["quantised already (fp8", DOWN],
    ),
    "whole numbers": (
        lambda tensors: {**tensors, DOWN: tensors[DOWN].to(torch.int8)},
        ["quantised already (I8", DOWN],
    ),
    "packed in groups": (
        renamed(r"(q_proj)\.weight", r"\1.qweight"),
        ["quantised already", "q_proj.qweight"],
    ),
    "of another architecture": (renamed(r"model\.layers", "model.blocks"), ["in their place lie others"]),
}


@pytest.mark.parametrize("what", WEIGHTS)
def test_weights_that_are_not_what_the_configuration_says(heretic: Heretic, copy: Path, what: str) -> None:
    change, said = WEIGHTS[what]
    rewrite(copy, change)
    refused(heretic("inspect", copy, runs_dir=None), *said)


def test_every_command_refuses_them_before_anything_is_measured(
    heretic: Heretic, copy: Path, sets: list[str], tmp_path: Path
) -> None:
    assert heretic("run", copy, *sets, "--n-trials", "1").status == 0
    (run,) = (tmp_path / "runs").iterdir()
    rewrite(copy, without(DOWN))
    refused(heretic("run", copy, *sets), DOWN)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [run.name]
    refused(heretic("score", copy, *sets, runs_dir=None), DOWN)
    done = heretic("export", run.name, "--trial", "0", tmp_path / "out")
    assert done.status == 2
    assert DOWN in done.err
    assert not (tmp_path / "out").exists()


def test_what_the_class_leaves_out_by_design_is_a_notice(heretic: Heretic, copy: Path, sets: list[str]) -> None:
    def change(tensors: Tensors) -> Tensors:
        drafting = {n.replace(".0.", ".4."): t.clone() for n, t in tensors.items() if ".layers.0." in n}
        extra = {
            "vision_tower.layers.0.weight": torch.ones(2, 2),
            "model.layers.4.eh_proj.weight": torch.ones(32, 64),
            "model.mtp.0.weight": torch.ones(3, 5),
            "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
        }
        return {**tensors, **drafting, **extra}

    rewrite(copy, change)
    assert heretic("inspect", copy, runs_dir=None).status == 0
    done = heretic("run", copy, *sets, "--n-trials", "1")
    assert done.status == 0, done.err
    assert "LlamaForCausalLM leaves out 12 tensors of the weights: model.layers.4.eh_proj.weight, " in done.out


def test_a_tied_head_is_not_missing(heretic: Heretic, copy: Path) -> None:
    configure(copy, tie_word_embeddings=True)
    rewrite(copy, without("lm_head"))
    assert heretic("inspect", copy, runs_dir=None).status == 0


def pointer(path: Path) -> None:
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 4976698672\n")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"])
def test_git_lfs_pointers(heretic: Heretic, copy: Path, name: str) -> None:
    pointer(copy / name)
    refused(heretic("inspect", copy, runs_dir=None), name, "Git LFS pointer to 4,976,698,672 bytes", "git lfs pull")


def test_half_a_download(heretic: Heretic, copy: Path, tmp_path: Path) -> None:
    def inspected() -> Ended:
        return heretic("inspect", copy, runs_dir=None)

    data = (copy / "model.safetensors").read_bytes()
    for length, said in [(len(data) - 10, "is cut off ("), (100, "cut off in its header"), (0, "no safetensors file")]:
        (copy / "model.safetensors").write_bytes(data[:length])
        refused(inspected(), "model.safetensors", said, "download the model again")
    (copy / "model.safetensors").write_bytes(data)
    where = sharded(copy)
    assert inspected().status == 0
    second = copy / "model-00002-of-00002.safetensors"
    kept = second.rename(tmp_path / "kept")
    refused(inspected(), "1 of the 2 weight files", "such as model-00002-of-00002.safetensors")
    second.symlink_to(tmp_path / "nowhere")
    refused(inspected(), "1 of the 2 weight files")
    second.unlink()
    kept.rename(second)
    lost = next(name for name, file in where.items() if file == second.name)
    rest = {name: tensor for name, tensor in load_file(second).items() if name != lost}
    save_file(rest, second, metadata={"format": "pt"})
    refused(inspected(), lost, "in none of the weight files")
    index = copy / "model.safetensors.index.json"
    for text, said in [
        ("{", "is not valid JSON"),
        ("{}", "is no index of weights"),
        (json.dumps({"weight_map": {"a": "../other/model.safetensors"}}), "outside the model's folder"),
    ]:
        index.write_text(text)
        refused(inspected(), "model.safetensors.index.json", said)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"[" * 50_000,
        b'{"a": 1}',
        b'{"a": {"shape": "x", "dtype": "F32", "data_offsets": [0, 4]}}',
        b'{"a": {"shape": [1e400], "dtype": "F32", "data_offsets": [0, 4]}}',
        b'{"a": {"shape": [-1], "dtype": [], "data_offsets": [0, 4]}}',
        b'{"a": {"shape": [1], "dtype": "F32", "data_offsets": "ab"}}',
        b'{"a": {"shape": [%s], "dtype": "F32", "data_offsets": [0, 4]}}' % (b"9" * 5000),
    ],
)
def test_headers_that_are_none(heretic: Heretic, copy: Path, header: bytes) -> None:
    (copy / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    refused(heretic("inspect", copy, runs_dir=None), "the header of ", "model.safetensors")


def test_weights_of_the_older_format(heretic: Heretic, copy: Path, sets: list[str]) -> None:
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    path = copy / "pytorch_model.bin"
    torch.save(tensors, path)
    done = heretic("score", copy, *sets, runs_dir=None)
    assert done.status == 0, done.err
    torch.save(without(DOWN)(tensors), path)
    refused(heretic("inspect", copy, runs_dir=None), DOWN)
    path.write_bytes(path.read_bytes()[:5000])
    refused(heretic("inspect", copy, runs_dir=None), "pytorch_model.bin cannot be read", "cut off")
    pointer(path)
    refused(heretic("inspect", copy, runs_dir=None), "pytorch_model.bin is a Git LFS pointer")


def test_weights_that_nothing_is_loaded_from(heretic: Heretic, copy: Path, sets: list[str]) -> None:
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    refused(heretic("run", copy, *sets), "holds no weights", "only model-00001-of-00002.safetensors", "index")


def test_a_quantised_checkpoint_that_only_a_file_beside_it_tells_of(heretic: Heretic, copy: Path) -> None:
    record = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}
    (copy / "hf_quant_config.json").write_text(json.dumps(record))
    refused(heretic("inspect", copy, runs_dir=None), "quantised already (nvfp4, by hf_quant_config.json)")
    record["quantization"] = {"quant_algo": None, "kv_cache_quant_algo": "FP8"}  # type: ignore[dict-item]
    (copy / "hf_quant_config.json").write_text(json.dumps(record))
    assert heretic("inspect", copy, runs_dir=None).status == 0


def test_an_adapter_alone_or_beside_a_model(heretic: Heretic, copy: Path, sets: list[str]) -> None:
    (copy / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/base"}))
    refused(heretic("run", copy, *sets), "holds an adapter of someone/base beside a model", "merge_and_unload", "move")
    (copy / "config.json").unlink()
    refused(heretic("inspect", copy, runs_dir=None), "is an adapter of someone/base, not a model", "merge_and_unload")
    (copy / "adapter_config.json").write_text("[" * 100_000)
    refused(heretic("inspect", copy, runs_dir=None), "is an adapter, not a model")


def test_configurations_that_cannot_be_built(heretic: Heretic, copy: Path, sets: list[str]) -> None:
    configure(copy, rope_scaling={"type": "su", "factor": 2.0}, rope_parameters=None)
    refused(heretic("run", copy, *sets), "rope_type 'su' is not one that it knows")
    configure(copy, rope_scaling=None, hidden_act="sulu")
    refused(heretic("run", copy, *sets), "hidden_act 'sulu' is not one that it knows")
    configure(copy, hidden_act="silu", num_hidden_layers=20_000)
    refused(heretic("inspect", copy, runs_dir=None), "config.json asks for 20,000 layers")


# Tied, with fused experts that are put together, with a tower beside, renamed by the class.
@pytest.mark.parametrize("kind", ["gemma3", "qwen3_moe", "mixtral", "gpt2", "jamba", "deepseek_v3", "llava", "gpt_oss"])
def test_nothing_is_refused_that_is_whole(tmp_path: Path, kind: str) -> None:
    network = families.build(kind)
    network.save_pretrained(tmp_path)
    assert try_on(type(network), network.config, stored_tensors(tmp_path)) == []
    tensors = load_file(tmp_path / "model.safetensors")
    gone = next(name for name in tensors if "layers.1" in name or "h.1" in name)
    del tensors[gone]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UsageError, match="the weights are not what config"):
        try_on(type(network), network.config, stored_tensors(tmp_path))
