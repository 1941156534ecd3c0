"""How much memory a run takes, as far as that follows from a model without its weights."""

from __future__ import annotations

import torch
from transformers import PretrainedConfig

from heretic_tui.engine.anatomy.few_bits import BYTES
from heretic_tui.engine.anatomy.inspect import Inspection
from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.directions.methods.base import direction_method
from heretic_tui.engine.edits.methods.base import EditMethod, edit_method
from heretic_tui.engine.session.phases.directions import BANK_SHARE
from heretic_tui.run.plan import Needs
from heretic_tui.settings.schema import Settings
from heretic_tui.words import bits_of


def needs_of(inspection: Inspection, config: PretrainedConfig, settings: Settings) -> Needs:
    """What a model takes under these settings."""
    stored = (inspection.loaded or inspection.bytes) / max(1, inspection.parameters)
    named: torch.dtype | None = getattr(torch, settings.dtypes[0], None)
    size = named.itemsize if named else min(4.0, stored)
    # Embeddings and norms, what makes logits, and experts that are fused into one parameter.
    whole = inspection.parameters - inspection.quantised

    def weights(bits: int, size: float) -> int:
        return round(whole * size + inspection.quantised * BYTES.get(bits, size))

    directions, readers = _a_layer(settings)
    method = edit_method(settings.edit_method)
    a_layer = sum(
        directions * _products(writer, method) + readers * 4 * writer.shape[-2] for writer in inspection.anatomy.writers
    )
    layers, text = len(inspection.anatomy.layers), config.get_text_config(decoder=True)
    vocabulary = getattr(text, "vocab_size", None)
    return Needs(
        weights=weights(bits_of(settings.quantization), size),
        by_bits={bits: weights(bits, 2) for bits in (16, 8, 4)},
        edits=(layers + 1) * a_layer,
        token=_token(config, layers, size),
        edits_share=BANK_SHARE,
        state=round(inspection.hidden_size * size),
        layers=layers,
        hidden=inspection.hidden_size,
        vocabulary=vocabulary if isinstance(vocabulary, int) else 0,
    )


def _a_layer(settings: Settings) -> tuple[int, int]:
    """How many directions of a layer all methods give together, and how many of them are read along another vector."""
    directions = readers = 0
    for name in settings.direction_method:
        found = direction_method(name)
        directions += settings.directions_per_layer if "directions_per_layer" in found.uses else 1
        readers += bool(getattr(found, "oblique", False))
    return directions, readers


def _products(writer: Writer, method: EditMethod) -> int:
    """Bytes of a matrix's products with one direction, in float32; nothing is computed on the meta device."""
    shape = writer.shape
    weight = torch.empty(shape, device="meta")
    v, norms = torch.empty((shape[-2], 1), device="meta"), torch.empty(shape[:-1], device="meta")
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
