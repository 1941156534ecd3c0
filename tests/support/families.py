"""Small random models of every family of transformers: default configurations with their sizes shrunk."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from transformers import PretrainedConfig
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

HIDDEN, VOCABULARY, DEPTH = 32, 96, 2

# What a setting shrinks to, by its name. Heads of 16 make attention's inner width 64, so that it is not the stream's.
SIZES: dict[str, Any] = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "embed_dim", "attention_hidden_size",
                     "embedding_dim", "emb_dim", "embedding_size", "word_embed_proj_dim",
                     "input_embedding_size"), HIDDEN),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads",
                     "decoder_attention_heads", "num_encoder_attention_heads", "num_decoder_attention_heads",
                     "swa_num_attention_heads", "num_sliding_attention_heads", "index_n_heads", "attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "swa_num_key_value_heads", "kv_n_heads",
                     "num_global_key_value_heads", "num_query_groups"), 2),
    **dict.fromkeys(("intermediate_size", "n_inner", "d_ff", "ffn_dim", "moe_intermediate_size", "dff", "dim_ff",
                     "encoder_ffn_dim", "decoder_ffn_dim", "shared_expert_intermediate_size", "ffn_hidden_size",
                     "moe_shared_expert_intermediate_size", "intermediate_size_mlp", "shared_intermediate_size",
                     "expert_ffn_hidden_size", "dense_intermediate_size", "feed_forward_size", "share_expert_dim",
                     "shared_experts_intermediate_size", "d_inner"), 48),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "decoder_vocab_size",
                     "unpadded_vocab_size"), VOCABULARY),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "zero_expert_num"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "num_experts_per_token", "top_k_experts",
                     "moe_top_k"), 2),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_group"), 1),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers", "decoder_layers", "encoder_layers",
                     "layers", "num_encoder_layers", "num_decoder_layers"), DEPTH),
    **dict.fromkeys(("head_dim", "qk_nope_head_dim", "v_head_dim", "swa_head_dim", "index_head_dim", "global_head_dim",
                     "kv_channels", "dim_head", "d_head", "linear_head_dim",
                     "linear_key_head_dim", "linear_value_head_dim", "mamba_d_head", "mamba_head_dim",
                     "attention_head_size"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "rotary_dim"), 16),
    "qk_head_dim": 32,
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "o_lora_rank", "laurel_rank", "adapter_rank"), 16),
    **dict.fromkeys(("linear_num_key_heads", "linear_num_heads"), 2),
    **dict.fromkeys(("linear_num_value_heads", "mamba_num_heads", "mamba_n_heads"), 4),
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size"), 8),
    **dict.fromkeys(("chunk_size", "mamba_chunk_size", "block_size"), 8),
    **dict.fromkeys(("time_step_rank", "mamba_dt_rank"), 4),
    **dict.fromkeys(("n_groups", "mamba_n_groups", "mamba_ngroups", "o_groups"), 1),
    **dict.fromkeys(("hidden_size_per_layer_input", "router_hidden_size"), 8),
    "lru_width": HIDDEN,
    "num_dense_layers": 1,
    "first_k_dense_replace": 1,
    "image_size": 28,
    "patch_size": 14,
    # Of the towers that read pictures.
    "depth": DEPTH,
    "out_hidden_size": HIDDEN,
}  # fmt: skip
# Lists with one entry a layer.
_PER_LAYER = ("layer_types", "mlp_layer_types", "layers_block_type", "indexer_types", "attention_layers", "block_types")

_ROPE = {"rope_type": "default", "rope_theta": 1e4}

# What the general rules cannot know, by model type, or by model type and part.
OWN: dict[str, dict[str, Any]] = {
    "zamba": {"attention_hidden_size": 64, "attention_head_dim": 16, "n_mamba_heads": 2, "num_hidden_layers": 4,
              "layers_block_type": ["linear_attention", "hybrid"] * 2},
    "zamba2": {"attention_hidden_size": 64, "attention_head_dim": 16, "n_mamba_heads": 4, "hybrid_layer_ids": [1]},
    "helium": {"head_dim": 8, "num_key_value_heads": 4},
    "falcon_h1": {"mamba_d_ssm": 64},
    "bamba": {"attn_layer_indices": [1]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "hunyuan_v1_dense hunyuan_v1_moe ministral": {"head_dim": 16},
    "nemotron": {"head_dim": 16, "num_key_value_heads": 2},
    "gptj codegen": {"rotary_dim": 8},
    "glm5_next.text_config": {"num_key_value_heads": 4},
    "mistral4": {"head_dim": 32},
    "apertus1p5": {"image_token_offset": 40, "audio_token_offset": 44},
    "apertus1p5.vision_config": {"codebook_size": 4, "base_channels": 32, "num_res_blocks": 1},
    "apertus1p5.audio_config": {"codebook_dim": HIDDEN, "codebook_size": 4, "num_filters": 4},
    "dots3_note_text dots3_note.text_config": {"num_key_value_heads": 4, "per_layer_config": {"1": {
        "num_attention_heads": 8, "num_key_value_heads": 8, "q_lora_rank": 24, "kv_lora_rank": 24, "head_dim": 32,
        "qk_nope_head_dim": 16, "qk_rope_head_dim": 16, "v_head_dim": 16}}},
    "dots3_note.vision_config": {"adapter_in_dim": HIDDEN, "adapter_out_dim": HIDDEN},
    "granite4_vision": {"deepstack_layer_map": [[0, 0]]},
    "muse_spark.audio_config": {"num_hidden_layers": 4, "hidden_sizes": [16] * 4, "out_hidden_size": HIDDEN},
    "muse_spark.vision_config": {"out_hidden_size": HIDDEN},
    "dots3_note.audio_config": {"adapter_input_size": HIDDEN, "adapter_out_dim": HIDDEN},
    # Widths beside the stream that no general name tells.
    "janus.vision_config": {"projection_dim": HIDDEN},
    "janus.vq_config": {"num_embeddings": 16, "base_channels": 32, "projection_dim": HIDDEN},
    "chameleon.vq_config": {"num_embeddings": 16, "base_channels": 32},
    "muse_spark muse_glimmer nemotron_h_omni": {"projector_hidden_size": 48},
    "muse_spark.text_config": {"moe_hidden_size": 64},
    "cohere2_vision": {"alignment_intermediate_size": 64},
    "phi4_multimodal.audio_config": {"num_blocks": DEPTH, "nemo_conv_channels": 32},
    "zaya": {"num_experts_per_tok": 1},
    "chameleon": {"vocabulary_map": {"<image>": 90}},
    "cohere_compass_text cohere_compass.text_config": {"rope_parameters": {
        kind: {**_ROPE, "mrope_section": [2, 3, 3]} for kind in ("full_attention", "sliding_attention")}},
    "dbrx.attn_config": {"rope_theta": 1e4, "clip_qkv": 8.0},
    "deepseek_ocr2.text_config": {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "first_k_dense_replace": 1},
    "gemma3n_text": {"num_kv_shared_layers": 0, "intermediate_size": 48, "activation_sparsity_pattern": None,
                     "layer_types": ["sliding_attention", "full_attention"]},
    "glm46v.text_config glm4v.text_config glm_ocr.text_config glmga.text_config glm4v_moe.text_config": {
        "head_dim": 16, "rope_parameters": {**_ROPE, "mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5}},
    "qwen2_vl.text_config qwen2_5_vl.text_config qwen2_5_omni_thinker.text_config": {
        "head_dim": 8, "rope_parameters": {**_ROPE, "mrope_section": [1, 1, 2]}},
    "paddleocr_vl.text_config": {"rope_parameters": {**_ROPE, "mrope_section": [2, 3, 3]}},
    "ernie4_5_vl_moe.text_config": {"rope_parameters": {**_ROPE, "mrope_section": [1, 1, 2]}},
    "hunyuan_vl.text_config": {"head_dim": 16, "rope_parameters": {**_ROPE, "mrope_section": [1, 1, 3, 3]}},
    "granite_docling.vision_config": {"out_hidden_size": HIDDEN},
    "inkling2.vision_config inkling2_loop.vision_config": {"text_hidden_size": HIDDEN},
    "molmo2.adapter_config": {"vision_feature_layer": [1, 0]},
    "nemotron_h_omni.vision_config": {"video_temporal_patch_size": 2},
    "qwen2_5_omni_thinker qwen3_omni_moe_thinker": {"vision_start_token_id": 90, "vision_end_token_id": 91},
    "step3p7.text_config": {"sliding_window": 4},
    "qwen4_exp_text qwen4_exp.text_config": {"indexer_n_heads": 4, "indexer_kv_heads": 1, "indexer_head_dim": 16,
                                             "indexer_budget": 8, "indexer_compress_ratio": 2},
}  # fmt: skip


def families() -> dict[str, str]:
    """Name of the class to load by model type: every causal and every image-text-to-text family."""
    found: dict[str, Any] = dict(modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
    found.update(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    return {kind: name[0] if isinstance(name, tuple) else name for kind, name in found.items()}


# Families that cannot be built small here, and why.
NOT_BUILT: dict[str, str] = {
    **dict.fromkeys(("fast_vlm", "gemma3n", "perception_lm"), "its vision tower needs timm"),
    "inkling_mm_model": "its vision tower needs scipy",
    "granite4_vision": "its other towers are not built small",
    "blt": "reads bytes through three stacks of layers, each of a width of its own",
}


def small_config(kind: str) -> PretrainedConfig:
    """The default configuration of a model type with its sizes shrunk."""
    cls = CONFIG_MAPPING[kind]
    return cls(**_shrunk(kind, cls()))


def _shrunk(path: str, config: PretrainedConfig) -> dict[str, Any]:
    options: dict[str, Any] = {}
    lists = [value for name, value in vars(config).items() if name in _PER_LAYER and isinstance(value, list)]
    depth = max([DEPTH, *(len(set(value)) for value in lists)])
    for name, value in vars(config).items():
        if isinstance(value, PretrainedConfig):
            options[name] = {"model_type": value.model_type, **_shrunk(f"{path}.{name}", value)}
        elif name in _PER_LAYER and isinstance(value, list):
            kinds = list(dict.fromkeys(value))
            options[name] = [kinds[i % len(kinds)] for i in range(depth)]
        elif name in SIZES and isinstance(value, int) and not isinstance(value, bool) and value > 0:
            options[name] = depth if SIZES[name] == DEPTH and "layer" in name else SIZES[name]
        elif name.endswith("_token_id") and isinstance(value, int):
            options[name] = VOCABULARY - 1
    if "kv_lora_rank" in options and "num_key_value_heads" in options:
        # Latent attention has as many key heads as query heads.
        options["num_key_value_heads"] = options["num_attention_heads"]
    rope = getattr(config, "rope_parameters", None)
    if isinstance(rope, dict) and "mrope_section" in rope:
        width = int(options.get("head_dim", HIDDEN // 4) * rope.get("partial_rotary_factor", 1.0)) // 2
        section = [width // 4, width // 4, width - 2 * (width // 4)]
        options["rope_parameters"] = {**rope, "mrope_section": section}
    for paths, own in OWN.items():
        if path in paths.split():
            options.update(own)
    return options


def build(kind: str, seed: int = 0) -> Any:
    """A small random model in float32, in eval mode, with gains and biases that are not all alike."""
    torch.manual_seed(seed)
    config = small_config(kind)
    cls = getattr(transformers, families()[kind])
    if cls.config_class in config.sub_configs.values():
        config = config.get_text_config(decoder=True)
    network = cls(config).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim == 1:
            parameter.add_(torch.rand_like(parameter) * 0.5)
        else:
            parameter.mul_(3)
    return network
