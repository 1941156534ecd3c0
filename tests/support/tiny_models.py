"""Tiny random models of several architectures, with a tokenizer and chat template, for tests that need no learning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|user|>", "<|system|>", "<|assistant|>", "<|pad|>"]


def tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={character: i for i, character in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(SPECIAL)
    fast = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>")
    fast.chat_template = template
    return fast


VOCABULARY = 256 + len(SPECIAL)


def network(kind: str = "llama", seed: int = 0, scale: float = 4.0, bias: bool = False) -> Any:
    """A random model. Weights are larger than at initialisation, so that its next tokens are not all alike. (Its parts
    have names that only its class knows: so it may be of any type.)"""
    torch.manual_seed(seed)
    small: dict[str, Any] = {"vocab_size": VOCABULARY, "eos_token_id": 256, "pad_token_id": 260, "bos_token_id": None}
    if kind == "llama":
        model: PreTrainedModel = LlamaForCausalLM(LlamaConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
            attention_bias=bias, mlp_bias=bias, **small,
        ))  # fmt: skip
    elif kind == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(
            hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
            **small,
        ))  # fmt: skip
    elif kind == "gpt2":
        model = GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=4, n_head=4, n_positions=256, **small))
    elif kind == "gpt_neox":
        model = GPTNeoXForCausalLM(
            GPTNeoXConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4, **small)
        )
    else:
        raise ValueError(kind)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(scale)
            elif bias or kind in ("gpt2", "gpt_neox"):
                parameter.add_(torch.randn_like(parameter) * 0.1)
    assert model.generation_config is not None
    model.generation_config.eos_token_id = 256
    return model.eval()


KINDS = ("llama", "qwen2", "gpt2", "gpt_neox")


def save(folder: Path, kind: str = "llama", template: str | None = TEMPLATE, **options: Any) -> Path:
    """An ordinary model folder."""
    network(kind, **options).save_pretrained(folder)
    tokenizer(template).save_pretrained(folder)
    return folder


def save_fitting(folder: Path) -> Path:
    """A model folder whose matrices are of sizes that all of bitsandbytes' products take, as those of usual models."""
    torch.manual_seed(0)
    made = LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128, num_attention_heads=4, num_hidden_layers=3,
        pad_token_id=260, eos_token_id=256, bos_token_id=None,
    ))  # fmt: skip
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4.0)
    made.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder
