"""Which models can be edited, by their configurations alone: the class to load one with, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, PretrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)

from heretic_tui.engine.checkpoint.packing import unopened
from heretic_tui.errors import UsageError

# Model types for which transformers has a class of the kinds that are loaded here, and that are no decoders of text.
OUT_OF_SCOPE: dict[str, str] = {
    **dict.fromkeys(("bert", "big_bird", "camembert", "data2vec-text", "electra", "ernie", "megatron-bert", "rembert",
                     "roberta", "roberta-prelayernorm", "roc_bert", "roformer", "xlm-roberta", "xlm-roberta-xl", "xmod",
                     "bert-generation", "reformer", "xlm", "xlnet"), "encoder-only"),
    **dict.fromkeys(("bart", "bigbird_pegasus", "blenderbot", "blenderbot-small", "marian", "mbart", "mvp", "pegasus",
                     "plbart", "prophetnet", "trocr", "whisper", "musicgen", "musicgen_melody", "florence2", "t5gemma2",
                     "udop", "vision-encoder-decoder", "pix2struct", "pp_formulanet"), "encoder-decoder"),
    **dict.fromkeys(("blip", "git"), "captions images with a BERT"),
    **dict.fromkeys(("gemma4_assistant", "gemma4_unified_assistant"), "drafts tokens for another model"),
    **dict.fromkeys(("blip-2", "instructblip", "instructblipvideo", "kosmos-2", "idefics"), "answers only to an image"),
    "pi0": "moves robots",
    "shieldgemma2": "classifies",
    "diffusion_gemma": "writes by diffusion, not token by token",
}  # fmt: skip

_UNQUANTIZED = {
    "fp8": "the 16-bit original, where its maker published one, or a converted -BF16 version",
    "fp8 of an unusual kind": "the 16-bit original, where its maker published one, or a converted -BF16 version",
    "gptq": "the model that it was made from",
    "awq": "the model that it was made from",
}

# Far beyond any model; a configuration that says more was not made by one.
_LAYERS = 2000


def model_class(config: PretrainedConfig) -> type[AutoModelForCausalLM] | type[AutoModelForImageTextToText]:
    """The class to load with: a model that also takes images is loaded whole, not only the part that
    answers in text."""
    named = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(config.model_type)
    wanted = config.architectures or []
    sees = named is not None and (not wanted or named in wanted)
    return AutoModelForImageTextToText if sees else AutoModelForCausalLM


def refuse_unsuitable(config: PretrainedConfig) -> None:
    """
    Raises:
        UsageError: for a model that does not answer in text token by token, and for one that is quantised in a way that
            is not opened here.
    """
    if reason := _out_of_scope(config):
        raise UsageError(f"a model of type {config.model_type} cannot be edited: {reason}")
    if method := unopened(config):
        refuse_packed(method)
    for part in _parts(config):
        layers = getattr(part, "num_hidden_layers", None)
        if isinstance(layers, int) and layers > _LAYERS:
            # Building them would take minutes, and then the memory.
            raise UsageError(
                f"config.json asks for {layers:,} layers; no model has more than {_LAYERS:,}: put back the config.json "
                "that belongs to the weights"
            )


def refuse_packed(method: str, how: str = "") -> NoReturn:
    """
    Args:
        how: what it was found by.

    Raises:
        UsageError: a checkpoint that is quantised by this method, which is neither read nor written here.
    """
    instead = _UNQUANTIZED.get(method, "the model that it was made from")
    found = f"{method}, by {how}" if how else method
    raise UsageError(
        f"this checkpoint is quantised already ({found}), and only FP8 (with weight_scale_inv) and MXFP4 are opened: "
        f"load {instead}, and save memory with --quantization bnb_4bit"
    )


def _parts(config: PretrainedConfig) -> Iterator[PretrainedConfig]:
    """A configuration and those of its towers."""
    yield config
    for name in config.sub_configs:
        if isinstance(part := getattr(config, name, None), PretrainedConfig):
            yield from _parts(part)


def _out_of_scope(config: PretrainedConfig) -> str | None:
    kind = config.model_type
    if kind in OUT_OF_SCOPE:
        return f"it is no decoder of text ({OUT_OF_SCOPE[kind]})"
    if getattr(config, "is_encoder_decoder", False):
        return "it is no decoder of text (encoder-decoder)"
    own_code = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.keys() | MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.keys()
    return None if own_code or kind in known else "transformers has no class for it that answers in text"
