"""How much memory a run takes, as far as that follows from a model without its weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import PretrainedConfig

from heretic_tui.engine.anatomy.inspect import Inspection
from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.edits.methods.base import EditMethod, edit_method
from heretic_tui.engine.session.phases.directions import BANK_SHARE
from heretic_tui.settings.schema import Settings

# Four bits a weight, scales, and what stays in 16 bits (embeddings, norms), as a share of 16 bits.
_QUANTIZED = 0.32


@dataclass(frozen=True)
class Needs:
    """In bytes.

    Attributes:
        weights: in the dtype that is tried first, or in four bits.
        quantized: the weights in four bits.
        edits: products of all matrices with all directions (edits/bank.py); they are kept as far as `edits_share` of
            the free memory holds them.
        token: keys and values of one token of one line of the cache; None where the configuration does not tell.
    """

    weights: int
    quantized: int
    edits: int
    token: int | None
    edits_share: float = BANK_SHARE


def needs_of(inspection: Inspection, config: PretrainedConfig, settings: Settings) -> Needs:
    """What a model takes under these settings."""
    stored = inspection.bytes / max(1, inspection.parameters)
    named: torch.dtype | None = getattr(torch, settings.dtypes[0], None)
    size = named.itemsize if named else min(4.0, stored)
    quantized = inspection.parameters * 2 * _QUANTIZED
    weights = inspection.parameters * size
    if settings.quantization != "none":
        weights, size = quantized, 2
    directions = len(inspection.anatomy.layers) + 1
    method = edit_method(settings.edit_method)
    products = sum(directions * _products(writer, method) for writer in inspection.anatomy.writers)
    return Needs(round(weights), round(quantized), products, _token(config, len(inspection.anatomy.layers), size))


def _products(writer: Writer, method: EditMethod) -> int:
    """Bytes of a matrix's products with one direction, in float32; nothing is computed on the meta device."""
    shape = writer.shape
    weight = torch.empty(shape, device="meta")
    v, norms = torch.empty(shape[-2], device="meta"), torch.empty(shape[:-1], device="meta")
    return sum(4 * tensor.numel() for tensor in (v, *method.products(weight, v, norms)))


def _token(config: PretrainedConfig, layers: int, size: float) -> int | None:
    text = config.get_text_config(decoder=True)
    heads = getattr(text, "num_attention_heads", None)
    hidden = getattr(text, "hidden_size", None)
    if not isinstance(heads, int) or not isinstance(hidden, int) or heads < 1:
        return None
    groups = getattr(text, "num_key_value_heads", None) or heads
    width = getattr(text, "head_dim", None) or hidden // heads
    if not isinstance(groups, int) or not isinstance(width, int):
        return None
    return round(2 * layers * groups * width * size)
