"""What a matrix is for, by the names that the architectures of transformers give it and by the classes around it."""

from __future__ import annotations

import re

ATTENTION = "attn.o_proj"
MLP = "mlp.down_proj"

# The kinds of writers, and the component that each is where every kind has a kernel of its own.
FINE = {
    "attention": ATTENTION,
    "linear attention": "linear_attn.o_proj",
    "state space": "ssm.o_proj",
    "convolution": "conv.o_proj",
    "dense": MLP,
    "routed experts": "experts.down_proj",
    "shared experts": "shared_experts.down_proj",
    "per-layer input": "per_layer_input.o_proj",
}
MIXERS = ("attention", "linear attention", "state space", "convolution")

# Last matrices of token mixers and of MLPs.
_MIXER_OUT = frozenset((
    "o_proj", "out_proj", "c_proj", "dense", "wo", "linear_out", "out_lin", "attention_out", "output", "o", "o_b_proj",
    "output_linear", "wo_b", "dense2", "linear_right",
))  # fmt: skip
_MLP_OUT = frozenset((
    "down_proj", "fc2", "dense_4h_to_h", "fc_out", "w2", "w_out", "proj_down", "lin2", "output_linear", "c_proj", "wo",
    "dense", "output", "out_proj", "per_layer_projection", "post_expert_proj", "fc2_latent_proj",
))  # fmt: skip
_ONLY_MLP = _MLP_OUT - _MIXER_OUT
# Below these a matrix does not write to the stream, whatever its name: norms with parts of their own, the blocks of
# Zamba whose output only a Mamba layer reads, experts that see images only, routers, indexers and compressors within
# attention.
_INSIDE = re.compile(
    r"norm|vision|shared_transf|router|indexer|compressor|forget_gate|(?:^|\.)gate(?:\.|$)|altup|hyper|(?:^|[._])hc(?:[._]|$)"
)
_MIXER_WORDS = re.compile(r"att|mixer|mamba|ssm|conv|temporal|recurrent|lstm|laurel", re.IGNORECASE)
_STATE_SPACE = re.compile(r"mamba|ssm", re.IGNORECASE)
_LINEAR = re.compile(r"linear_?att|delta|lightning|recurrent|lstm|rwkv|gated_?linear", re.IGNORECASE)
_CONVOLUTION = re.compile(r"conv", re.IGNORECASE)


def kind_of(path: str, owners: str) -> str | None:
    """The kind of writer that a matrix of this name is, None where it is none.

    Args:
        path: dotted path within the decoder layer, such as `self_attn.o_proj`.
        owners: class names of the modules around it within the layer, which tell linear attention from attention.
    """
    parts = path.split(".")
    # Some architectures wrap the matrix (`o_proj.linear`), some number it (`ffn.2`).
    name = next((p for p in reversed(parts) if p not in ("linear", "weight") and not p.isdigit()), parts[-1]).lower()
    if path == "ffn.2" or (name == "value" and "feed_forward" in path):
        return "dense"
    # DBRX names its attention for the norms around it.
    if _INSIDE.search(path.lower().replace("norm_attn_norm", "")) or name not in _MIXER_OUT | _MLP_OUT:
        return None
    if name == "per_layer_projection":
        return "per-layer input"
    if name not in _ONLY_MLP and _MIXER_WORDS.search(".".join(parts[:-1])):
        if _STATE_SPACE.search(owners + path):
            return "state space"
        if _LINEAR.search(owners + path):
            return "linear attention"
        return "convolution" if _CONVOLUTION.search(path) else "attention"
    if name not in _MLP_OUT:
        return None
    if "shared" in path:
        return "shared experts"
    return "routed experts" if "expert" in path or "latent" in name else "dense"


def component_of(kind: str, fine: bool) -> str:
    """The component whose kernel edits a writer of this kind: one of two, or with `fine` one for each kind."""
    return FINE[kind] if fine else ATTENTION if kind in MIXERS else MLP


def after_the_mixers(component: str) -> bool:
    """Whether a component is none of token mixers."""
    return component not in {FINE[kind] for kind in MIXERS}


def in_order(components: set[str]) -> tuple[str, ...]:
    """Components as they are listed: token mixers before what comes after them."""
    return tuple(component for component in FINE.values() if component in components)
