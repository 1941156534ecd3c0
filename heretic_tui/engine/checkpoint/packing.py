"""How a checkpoint is quantised, by its configuration: FP8 and MXFP4 are opened here, whatever else is not."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from transformers import PretrainedConfig

Method: TypeAlias = Literal["fp8", "mxfp4"]


@dataclass(frozen=True)
class Packing:
    """A kind of quantised weights that is opened here.

    Attributes:
        block: rows and columns of FP8 that share a scale; None where a whole matrix has one.
        dtype: what the weights are dequantised to: 16 bits, as the configuration says.
        powers: whether scales of FP8 are powers of two, whatever dtype they have.
    """

    method: Method
    block: tuple[int, int] | None
    dtype: torch.dtype
    powers: bool = False

    @property
    def title(self) -> str:
        return {"fp8": "FP8", "mxfp4": "MXFP4"}[self.method]


def packing_of(config: PretrainedConfig) -> Packing | None:
    """How the weights of a configuration are quantised; None where they are not, or in a way that is not opened."""
    _, record = _record_of(config) or (config, {})
    method = record.get("quant_method")
    dtype = getattr(config.get_text_config(decoder=True), "dtype", None) or config.dtype
    dtype = dtype if dtype in (torch.float16, torch.bfloat16) else torch.bfloat16
    if method == "mxfp4":
        return Packing("mxfp4", None, dtype)
    if method == "fp8" and unopened(config) is None:
        block = record.get("weight_block_size", (128, 128))
        sizes = (int(block[0]), int(block[1])) if isinstance(block, list | tuple) else None
        return Packing("fp8", sizes, dtype, record.get("scale_fmt") == "ue8m0")
    return None


def unopened(config: PretrainedConfig) -> str | None:
    """The quantisation of a configuration in a word, where it is one that is not opened here."""
    found = _record_of(config)
    if found is None:
        return None
    record = found[1]
    method = record.get("quant_method")
    name = str(getattr(method, "value", method) or "an unknown method")
    if name == "fp8":
        block = record.get("weight_block_size", (128, 128))
        sizes = block if isinstance(block, list | tuple) else (1, 1)
        usual = len(sizes) == 2 and all(type(size) is int and size > 0 for size in sizes)
        return None if usual and record.get("expert_dtype", "fp8") == "fp8" else "fp8 of an unusual kind"
    return None if name == "mxfp4" else name


def unpacked(config: PretrainedConfig) -> PretrainedConfig:
    """The configuration of the same model with weights that are not quantised."""
    plain = deepcopy(config)
    for part in _parts(plain):
        if getattr(part, "quantization_config", None) is not None:
            del part.quantization_config
    return plain


def _record_of(config: PretrainedConfig) -> tuple[PretrainedConfig, dict[str, object]] | None:
    """What says how weights are quantised, and the part of the configuration that says it. A model that also takes
    images may say so of its parts only."""
    for part in _parts(config):
        found = getattr(part, "quantization_config", None)
        if found is not None:
            record = found if isinstance(found, dict) else vars(found)
            return part, {key: getattr(value, "value", value) for key, value in record.items()}
    return None


def _parts(config: PretrainedConfig) -> Iterator[PretrainedConfig]:
    yield config
    text = config.get_text_config(decoder=True)
    if text is not config:
        yield text
