"""Which modules write to the residual stream, found by walking the decoder layers of any Llama-like model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from heretic_tui.engine.events import Coverage
from heretic_tui.errors import UsageError

ATTENTION = "attn.o_proj"
MLP = "mlp.down_proj"

# The last matrix of a block, by the names that the architectures of transformers give it.
_OUT_NAMES = frozenset((
    "o_proj", "out_proj", "c_proj", "dense", "wo", "w2", "down_proj", "fc2", "fc_out", "dense_4h_to_h", "linear_out",
    "output_linear", "out_lin",
))  # fmt: skip
# A module whose path within the layer holds one of these belongs to the token mixer, any other to the MLP.
_MIXER_WORDS = ("attn", "attention", "mixer", "mamba", "ssm", "conv", "temporal", "recurrent")
# Stacks of layers that do not carry the text's residual stream.
_OTHER_TOWERS = ("vision", "visual", "audio", "image", "speech", "encoder", "mtp")


@dataclass(frozen=True)
class Writer:
    """A matrix whose output is added to the residual stream, y = W x (+ bias).

    Attributes:
        layer: index of the decoder layer.
        component: `attn.o_proj` or `mlp.down_proj`.
        name: dotted path of the module in the whole model.
        module: the live module (Linear, Conv1D or a bitsandbytes Linear4bit).
    """

    layer: int
    component: str
    name: str
    module: nn.Module

    @property
    def bias(self) -> Tensor | None:
        return getattr(self.module, "bias", None)

    def weight(self) -> Tensor:
        """W as a new float32 tensor of shape (d_out, d_in), on the module's device."""
        stored = self.module.weight
        assert isinstance(stored, Tensor)
        if type(self.module).__name__ == "Linear4bit":
            state: Any = stored.quant_state  # type: ignore[attr-defined]
            if getattr(state, "packing_format_for_cpu", False):
                return self._weight_from_outputs()
            from bitsandbytes.functional import dequantize_4bit

            return dequantize_4bit(stored.data, state).float()
        weight = stored.detach().to(torch.float32, copy=True)
        return weight.T.contiguous() if isinstance(self.module, Conv1D) else weight

    def _weight_from_outputs(self) -> Tensor:
        """W from what the module makes of unit vectors. On CPUs with AVX512-BF16 bitsandbytes rearranges the stored
        bytes at the first forward pass, and its own dequantisation then reads them wrongly."""
        width: Any = self.module.in_features
        with torch.inference_mode():
            columns = self.module(torch.eye(width, dtype=torch.bfloat16))
        weight = columns.float().T
        return weight.contiguous() if self.bias is None else weight - self.bias.float()[:, None]

    def store(self, weight: Tensor) -> None:
        """Put a float32 W of shape (d_out, d_in) in the module, rounded to the module's dtype."""
        stored = self.module.weight
        assert isinstance(stored, Tensor)
        with torch.no_grad():
            stored.copy_(weight.T if isinstance(self.module, Conv1D) else weight)


@dataclass(frozen=True)
class Anatomy:
    """The decoder layers, the writers that can be edited, and a line for each thing that cannot."""

    layers: nn.ModuleList
    writers: tuple[Writer, ...]
    missing: tuple[str, ...]

    @property
    def components(self) -> tuple[str, ...]:
        return tuple(c for c in (ATTENTION, MLP) if any(w.component == c for w in self.writers))

    def coverage(self) -> Coverage:
        return Coverage(
            editable=len(self.writers),
            found=len(self.writers) + len(self.missing),
            components=dict(Counter(w.component for w in self.writers)),
            missing=list(self.missing),
        )


def find_layers(network: nn.Module) -> tuple[str, nn.ModuleList]:
    """Path and stack of the decoder layers that carry the text's residual stream.

    Raises:
        UsageError: when there is no such stack.
    """
    config = network.config.get_text_config(decoder=True)  # type: ignore[union-attr, operator]
    depth = getattr(config, "num_hidden_layers", None)
    stacks = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and not any(word in name.lower() for word in _OTHER_TOWERS)
    ]
    fitting = [(name, stack) for name, stack in stacks if len(stack) == depth]
    if not fitting:
        raise UsageError(
            f"no stack of {depth} decoder layers found in {type(network).__name__}: this architecture cannot be edited"
        )
    return min(fitting, key=lambda item: item[0].count("."))


def find_anatomy(network: nn.Module) -> Anatomy:
    """Walk the decoder layers and collect every writer.

    Raises:
        UsageError: when no decoder layers, or nothing that can be edited, are found.
    """
    path, layers = find_layers(network)
    config = network.config.get_text_config(decoder=True)  # type: ignore[union-attr, operator]
    hidden = int(config.hidden_size)
    writers: list[Writer] = []
    missing: list[str] = []
    for index, layer in enumerate(layers):
        found = {ATTENTION: 0, MLP: 0}
        for name, module in layer.named_modules():
            component = ATTENTION if any(word in name.lower() for word in _MIXER_WORDS) else MLP
            full = f"{path}.{index}.{name}"
            for kind in _fused_experts(name, module, hidden):
                missing.append(f"{full}.{kind} (experts fused into one parameter)")
                found[component] += 1
            if name.rsplit(".", 1)[-1] not in _OUT_NAMES or _output_size(module) != hidden:
                continue
            found[component] += 1
            if isinstance(module, nn.Linear | Conv1D):
                writers.append(Writer(index, component, full, module))
            else:
                missing.append(f"{full} ({type(module).__name__} is not a kind of module that can be edited)")
        for component, count in found.items():
            if not count:
                what = "attention" if component == ATTENTION else "MLP"
                missing.append(f"{path}.{index}: no {what} output matrix recognised")
    if not writers:
        raise UsageError(
            f"{type(network).__name__}: none of the matrices that write to the residual stream can be edited "
            f"({missing[0]})"
        )
    return Anatomy(layers, tuple(writers), tuple(missing))


def _output_size(module: nn.Module) -> int | None:
    if isinstance(module, Conv1D):
        return int(module.nf)
    size = getattr(module, "out_features", None)
    return int(size) if isinstance(size, int) else None


def _fused_experts(name: str, module: nn.Module, hidden: int) -> list[str]:
    """Names of the module's own parameters of shape (experts, out, in) or (experts, in, out) that write `hidden`."""
    return [
        key
        for key, parameter in module.named_parameters(recurse=False)
        if parameter.ndim == 3 and hidden in parameter.shape[1:] and ("down" in key or "w2" in key)
    ]
