"""A model of a usual shape with random weights, for measurements that need none that means something."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from heretic_tui.demo.settings import MODEL

# Files of the demo that make it a chat model.
_READING = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
_VOCABULARY = 1024
# So large that one token is likelier than others by more than rounding.
_SCALE = 3.0


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a Llama."""

    name: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    groups: int

    @property
    def parameters(self) -> int:
        width = self.hidden // self.heads
        attention = 2 * self.hidden**2 + 2 * self.hidden * self.groups * width
        return self.layers * (attention + 3 * self.hidden * self.intermediate) + 2 * _VOCABULARY * self.hidden


# As Llama 3.2 1B, and as models of a tenth of that.
LARGE = Shape(name="random 1B", layers=16, hidden=2048, intermediate=8192, heads=32, groups=8)
SMALL = Shape(name="random 0.1B", layers=12, hidden=768, intermediate=3072, heads=12, groups=4)


def write_random_model(folder: Path, shape: Shape, seed: int = 0) -> None:
    """Write it in bfloat16, with the tokenizer of the demo.

    Raises:
        OSError: where there is no room.
    """
    config = LlamaConfig(
        vocab_size=_VOCABULARY,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.groups,
        max_position_embeddings=2048,
        # Else the last token that was read is the likeliest, whatever the layers add.
        tie_word_embeddings=False,
        # So that what a layer adds is of the size of what it reads.
        initializer_range=shape.hidden**-0.5,
        eos_token_id=1,
        pad_token_id=0,
        dtype=torch.bfloat16,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(seed)
    with torch.device(device):
        network = LlamaForCausalLM(config)
        network.to(dtype=torch.bfloat16)  # type: ignore[call-arg]
        with torch.no_grad():
            network.lm_head.weight.normal_(std=_SCALE / shape.hidden**0.5)
    network.save_pretrained(folder)
    for name in _READING:
        shutil.copyfile(MODEL / name, folder / name)
