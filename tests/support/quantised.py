"""Small models as their makers publish them quantised, in FP8 and MXFP4, and what their weights are as numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from tests.support import families, tiny_models
from tests.support.merges import tensors_in

_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def network_of(kind: str) -> PreTrainedModel:
    """A network of bfloat16 that the tokenizer of the tiny models fits."""
    if kind == "llama":
        return _rounded(tiny_models.network())
    torch.manual_seed(0)
    config = families.small_config(kind)
    config.vocab_size = tiny_models.VOCABULARY
    # Groups of MXFP4 have 32 numbers.
    config.intermediate_size = 64
    config.eos_token_id, config.pad_token_id, config.bos_token_id = 256, 260, None
    network: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1 and "router" not in name:
                parameter.mul_(4)
    return _rounded(network)


def _rounded(network: PreTrainedModel) -> PreTrainedModel:
    # Not `network.to`, which rounds the frequencies of the positions too.
    for parameter in network.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    network.config.dtype = torch.bfloat16
    return network


def save(folder: Path, kind: str = "llama") -> Path:
    """An ordinary model folder, not quantised."""
    network_of(kind).save_pretrained(folder)
    tiny_models.tokenizer().save_pretrained(folder)
    return folder


def save_fp8(
    folder: Path, kind: str = "llama", block: tuple[int, int] | None = (16, 16), scale: str = "float32"
) -> Path:
    """A folder whose matrices in the layers are FP8, each block by its largest magnitude."""
    save(folder, kind)
    kept: dict[str, Tensor] = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if name.split(".")[-2] not in _LINEAR or not name.endswith("weight"):
            kept[name] = tensor
            continue
        kept[name], kept[f"{name}_scale_inv"] = quantised_fp8(tensor, block, getattr(torch, scale))
        if block is None:
            # Such checkpoints fix the scales of inputs too.
            kept[f"{name.removesuffix('weight')}activation_scale"] = torch.tensor(0.02)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    scheme = "dynamic" if block else "static"
    configure(folder, {"quant_method": "fp8", "activation_scheme": scheme, "weight_block_size": block and [*block]})
    return folder


def quantised_fp8(matrix: Tensor, block: tuple[int, int] | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Codes and scales by the definition, block by block."""
    high, wide = block or matrix.shape
    rows, columns = (-(-size // of) for size, of in zip(matrix.shape, (high, wide), strict=True))
    codes, scales = torch.empty(matrix.shape, dtype=torch.float8_e4m3fn), torch.empty(rows, columns, dtype=dtype)
    for row in range(rows):
        for column in range(columns):
            at = slice(row * high, (row + 1) * high), slice(column * wide, (column + 1) * wide)
            part = matrix[at].float()
            scales[row, column] = part.abs().max() / 448
            codes[at] = (part / scales[row, column].float()).clamp(-448, 448).to(torch.float8_e4m3fn)
    return codes, scales if block else scales.reshape(())


def save_mxfp4(folder: Path) -> Path:
    """A gpt-oss whose experts are MXFP4, drawn at random."""
    save(folder, "gpt_oss")
    drawn = torch.Generator().manual_seed(3)
    kept: dict[str, Tensor] = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            kept[name] = tensor
            continue
        experts, columns, rows = tensor.shape
        shape = experts, rows, columns // 32
        kept[f"{name}_blocks"] = torch.randint(0, 256, (*shape, 16), dtype=torch.uint8, generator=drawn)
        kept[f"{name}_scales"] = torch.randint(121, 125, shape, dtype=torch.uint8, generator=drawn)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    configure(folder, {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]})
    return folder


def configure(folder: Path, record: dict[str, object] | None) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("quantization_config", None)
    path.write_text(json.dumps({**config, **({"quantization_config": record} if record else {})}))


def numbers_in(folder: Path, dtype: torch.dtype = torch.bfloat16) -> dict[str, Tensor]:
    """The tensors of a folder as an unquantised model would have them, by the definitions of the formats."""
    stored = tensors_in(folder)
    record = json.loads((folder / "config.json").read_text()).get("quantization_config", {})
    block = record.get("weight_block_size")
    found: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if name.endswith("_blocks"):
            whole = name.removesuffix("_blocks")
            found[whole] = convert_moe_packed_tensors(tensor, stored[f"{whole}_scales"], dtype=dtype)
        elif (scales := stored.get(f"{name}_scale_inv")) is not None:
            found[name] = opened_fp8(tensor, scales, block).to(dtype)
        elif not name.endswith(("_scales", "_scale_inv", "activation_scale")):
            found[name] = tensor
    return found


def opened_fp8(codes: Tensor, scales: Tensor, block: list[int] | None) -> Tensor:
    """In float32, number by number."""
    numbers = codes.float()
    if block is None:
        return numbers * scales.float()
    rows, columns = (torch.arange(size) // of for size, of in zip(codes.shape, block, strict=True))
    return numbers * scales.float()[rows][:, columns]


def dense_network(folder: Path, kind: str = "llama") -> nn.Module:
    """The network of a folder, filled with the numbers of its weights without any code that reads such files."""
    network, tensors = network_of(kind), numbers_in(folder)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            tensor.copy_(tensors[name if name in tensors else "model.embed_tokens.weight"])
    return network


def dense_folder(folder: Path, out: Path, dtype: torch.dtype = torch.bfloat16) -> PreTrainedModel:
    """An unquantised folder of the same numbers, and what transformers loads of it."""
    shutil.copytree(folder, out, ignore=shutil.ignore_patterns("*.safetensors", "*.index.json"))
    save_file(numbers_in(folder, dtype), out / "model.safetensors", metadata={"format": "pt"})
    configure(out, None)
    network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(out, dtype=dtype).eval()
    return network
