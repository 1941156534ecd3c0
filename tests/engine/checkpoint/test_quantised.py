"""Checkpoints that are quantised already: FP8 and MXFP4 are loaded as the numbers they hold, others are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PretrainedConfig

from heretic_tui.engine.anatomy.inspect import inspect_model
from heretic_tui.engine.checkpoint.packing import packing_of, unopened
from heretic_tui.engine.checkpoint.source import load_config
from heretic_tui.engine.model.load import load_model
from heretic_tui.engine.session.needs import needs_of
from heretic_tui.events import Event, Notice
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work
from tests.support import quantised
from tests.support.exports import Heretic, logits_of
from tests.support.model_folders import DOWN, Tensors, configure, refused, rewrite

SOURCES: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "blocks": ("llama", quantised.save_fp8),
    "ragged blocks": ("llama", lambda folder: quantised.save_fp8(folder, block=(20, 14))),
    "blocks larger than a matrix": ("llama", lambda folder: quantised.save_fp8(folder, block=(128, 128))),
    "a scale for a matrix": ("llama", lambda folder: quantised.save_fp8(folder, block=None)),
    "scales of bfloat16": ("llama", lambda folder: quantised.save_fp8(folder, scale="bfloat16")),
    "mxfp4": ("gpt_oss", quantised.save_mxfp4),
}


@pytest.mark.parametrize("what", SOURCES)
def test_it_is_loaded_as_the_numbers_that_it_holds(what: str, tmp_path: Path) -> None:
    kind, make = SOURCES[what]
    folder = make(tmp_path / "model")
    told: list[Event] = []
    settings = Settings(model=str(folder), dtypes=["auto"])
    model, _ = load_model(settings, Work(told.append))
    assert model.dtype == torch.bfloat16
    assert torch.equal(logits_of(model.network), logits_of(quantised.dense_network(folder, kind)))
    assert model.network.generation_config is not None
    assert model.network.config.to_dict().get("quantization_config") is None
    notes = [event.text for event in told if isinstance(event, Notice)]
    title = "MXFP4" if what == "mxfp4" else "FP8"
    assert any(note.startswith(f"stored as {title} (") and ", loaded as bfloat16 (" in note for note in notes), notes


@pytest.mark.parametrize("what", ["experts", "mxfp4"])
def test_it_is_loaded_as_transformers_dequantises_it(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    _ = quantised.save_mxfp4(folder) if what == "mxfp4" else quantised.save_fp8(folder, "qwen3_moe")
    model, _dtype = load_model(Settings(model=str(folder), dtypes=["auto"]), Work())
    assert torch.equal(logits_of(model.network), logits_of(AutoModelForCausalLM.from_pretrained(folder)))


def test_what_is_asked_for_as_float32_is_not_rounded_before(tmp_path: Path) -> None:
    folder = quantised.save_fp8(tmp_path / "model")
    model, _ = load_model(Settings(model=str(folder), dtypes=["float32"]), Work())
    stored = load_file(folder / "model.safetensors")
    found = model.network.get_parameter(DOWN)
    assert found.dtype == torch.float32
    assert torch.equal(found, quantised.opened_fp8(stored[DOWN], stored[f"{DOWN}_scale_inv"], [16, 16]))


def test_what_memory_it_takes_is_reckoned_as_loaded(tmp_path: Path, heretic: Heretic) -> None:
    folder = quantised.save_fp8(tmp_path / "model")
    settings = Settings(model=str(folder), dtypes=["auto"])
    inspection = inspect_model(settings)
    needs = needs_of(inspection, load_config(settings), settings)
    assert inspection.stored_as == "FP8"
    assert needs.weights == 2 * inspection.parameters > inspection.bytes
    assert (
        needs_of(inspection, load_config(settings), Settings(dtypes=["float32"])).weights == 4 * inspection.parameters
    )
    assert "stored as FP8" in heretic("inspect", folder, runs_dir=None).out


# Name, and what of it is no longer as it should be.
BROKEN: dict[str, tuple[Callable[[Tensors], Tensors], list[str]]] = {
    "a scale that is not there": (
        lambda tensors: {name: each for name, each in tensors.items() if name != f"{DOWN}_scale_inv"},
        ["quantised already (fp8, by the dtype of", DOWN],
    ),
    "a scale without its matrix": (
        lambda tensors: {name: each for name, each in tensors.items() if name != DOWN},
        [f"{DOWN}_scale_inv"],
    ),
    "scales of other blocks": (
        lambda tensors: {**tensors, f"{DOWN}_scale_inv": torch.ones(1, 2)},
        [f"{DOWN}_scale_inv (1×2, F32) does not fit", "block size"],
    ),
    "scales that are called otherwise": (
        lambda tensors: {name.replace("_scale_inv", "_scale"): each for name, each in tensors.items()},
        ["quantised already (fp8, by the dtype of", "weight_scale_inv"],
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_parts_that_do_not_fit_together_are_refused(what: str, tmp_path: Path, heretic: Heretic) -> None:
    change, said = BROKEN[what]
    folder = quantised.save_fp8(tmp_path / "model")
    rewrite(folder, change)
    refused(heretic("inspect", folder, runs_dir=None), *said)


def test_blocks_of_mxfp4_that_do_not_fit_together_are_refused(tmp_path: Path, heretic: Heretic) -> None:
    folder = quantised.save_mxfp4(tmp_path / "model")
    name = "model.layers.0.mlp.experts.down_proj_scales"
    rewrite(folder, lambda tensors: {**tensors, name: tensors[name][:, 1:].contiguous()})
    refused(heretic("inspect", folder, runs_dir=None), name, "does not fit")


@pytest.mark.parametrize(
    "record",
    [
        {"quant_method": "gptq", "bits": 4, "group_size": 128},
        {"quant_method": "compressed-tensors", "format": "float-quantized"},
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "fp8", "weight_block_size": [128, 128], "expert_dtype": "fp4"},
        {"quant_method": "fp8", "weight_block_size": [128]},
    ],
)
def test_other_kinds_are_refused_with_what_to_do(record: dict[str, Any], tmp_path: Path, heretic: Heretic) -> None:
    folder = quantised.save(tmp_path / "model")
    configure(folder, quantization_config=record)
    refused(heretic("inspect", folder, runs_dir=None), "quantised already", "load the", "only FP8")


def test_a_part_of_a_configuration_may_say_it() -> None:
    config = PretrainedConfig()
    assert packing_of(config) is None
    assert unopened(config) is None
    config.quantization_config = {"quant_method": "fp8", "weight_block_size": [128, 64]}
    found = packing_of(config)
    assert found is not None
    assert (found.title, found.block, found.dtype) == ("FP8", (128, 64), torch.bfloat16)


def test_what_does_not_fit_is_refused(tmp_path: Path, heretic: Heretic, sets: list[str]) -> None:
    folder = quantised.save_fp8(tmp_path / "model")
    done = heretic("run", folder, *sets, "--device-map", "sequential", "--max-memory", "cpu=60KB")
    refused(done, "do not fit on the devices")


@pytest.mark.parametrize("bits", [8, 4])
def test_few_bits_of_what_is_fp8(tmp_path: Path, bits: int) -> None:
    pytest.importorskip("bitsandbytes")
    folder = quantised.save_fp8(tmp_path / "model", block=(20, 14))
    told: list[Event] = []
    settings = Settings(model=str(folder), dtypes=["bfloat16"], quantization="bnb_8bit" if bits == 8 else "bnb_4bit")
    model, _ = load_model(settings, Work(told.append))
    dense = quantised.save(tmp_path / "dense")
    numbers = quantised.numbers_in(folder)
    rewrite(dense, lambda tensors: {name: numbers[name] for name in tensors})
    other, _ = load_model(settings.model_copy(update={"model": str(dense)}), Work())
    assert torch.equal(logits_of(model.network), logits_of(other.network))
    assert any(f"loaded in {bits} bits" in event.text for event in told if isinstance(event, Notice))
    assert json.loads((folder / "config.json").read_text())["quantization_config"]["quant_method"] == "fp8"
