"""Weights in 8 and 4 bits, as bitsandbytes keeps them: which matrices it takes, what they hold, and products of those
in 8 bits."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D
from transformers.quantizers.base import get_keys_to_not_convert
from transformers.quantizers.quantizers_utils import should_convert_module

# Bytes of a weight with its share of the scales: one in float32 for a row of 8-bit ones; for 64 4-bit ones one in 8
# bits, and one more in float32 for 256 of these.
BYTES = {8: 1 + 4 / 2048, 4: 1 / 2 + 1 / 64 + 4 / (64 * 256)}
_LARGEST = 127


def taken(network: PreTrainedModel) -> dict[str, tuple[int, int]]:
    """Rows and columns of the matrices that are quantised, by name. (Fused experts, embeddings and what makes logits
    are not.)"""
    left = get_keys_to_not_convert(network)
    return {
        name: (module.nf, module.nx) if isinstance(module, Conv1D) else (module.out_features, module.in_features)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and should_convert_module(name, left)
    }


def usually_left(network: PreTrainedModel) -> list[str]:
    """What bitsandbytes leaves whole by itself."""
    return get_keys_to_not_convert(network)


def parameters_taken(network: PreTrainedModel) -> int:
    """How many weights they hold."""
    return sum(rows * columns for rows, columns in taken(network).values())


def numbers(parameter: nn.Parameter) -> int:
    """How many weights a parameter holds: those in 4 bits lie two in a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(state.shape.numel())


def whole_matrix(module: nn.Module) -> Tensor | None:
    """What a quantised matrix stands for, a new float32 tensor (d_out, d_in); None for one that is not quantised."""
    stored = module.weight
    assert isinstance(stored, Tensor)
    if type(module).__name__ == "Linear8bitLt":
        from bitsandbytes.functional import int8_vectorwise_dequant

        found: Tensor = int8_vectorwise_dequant(stored.data, _scales(module))
        return found.float()
    if type(module).__name__ != "Linear4bit":
        return None
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(stored.data, stored.quant_state).float()  # type: ignore[attr-defined]


def _scales(module: nn.Module) -> Tensor:
    """The largest entry of each row of an 8-bit matrix, (d_out,) float32."""
    # bitsandbytes' own product moves them.
    scales = module.weight.SCB  # type: ignore[union-attr]
    scales = module.state.SCB if scales is None else scales  # type: ignore[union-attr]
    assert isinstance(scales, Tensor)
    return scales


def set_products(network: nn.Module) -> None:
    """Let quantised matrices be opened for each product, and multiplied with inputs as they are.

    With 8-bit ones bitsandbytes rounds inputs to 8 bits too, but for columns in which any row of the batch has a large
    entry. What a prompt gives would then depend on the others in its batch, by far more than rounding, and edits, which
    see inputs as they are, would leave some of the direction behind. Inputs that float16 does not hold would be lost.

    Of 4-bit ones it rearranges the bytes at the first product on a CPU that multiplies bfloat16: for small batches that
    is faster, but its own dequantisation, by which adapters that rescale rows are measured, reads something else then.
    """
    for module in network.modules():
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False  # type: ignore[assignment]
        if type(module).__name__ == "Linear8bitLt":
            # accelerate puts what moves inputs between devices around this.
            name = "_old_forward" if hasattr(module, "_hf_hook") else "forward"
            setattr(module, name, partial(_product, module))


def _product(module: nn.Module, x: Tensor) -> Tensor:
    stored, bias = module.weight, module.bias
    assert isinstance(stored, Tensor)
    assert bias is None or isinstance(bias, Tensor)
    weight = torch.empty(stored.shape, dtype=x.dtype, device=x.device)
    torch.mul(stored.data, (_scales(module) / _LARGEST)[:, None], out=weight)
    return nn.functional.linear(x, weight, None if bias is None else bias.to(x.dtype))
