"""Whether bitsandbytes' weights in 8 and 4 bits multiply rightly on this machine's device: printed as JSON, by a
process of its own, since a back end that does not fit may end the process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import torch
from torch import nn

from heretic_tui.engine.anatomy.few_bits import set_products

# Rows and columns of the product: such as all back ends take.
_ROWS, _COLUMNS = 64, 128
# NF4 keeps random weights to about a tenth of their size, rows of int8 to a hundredth; what is no such product is off
# by more than all of it.
_FAR_OFF_4, _FAR_OFF_8 = 0.3, 0.03


@dataclass(frozen=True, kw_only=True)
class FewBits:
    """
    Attributes:
        device: where the products were computed.
        four, eight: norm of the product's difference from that with whole weights, as a share of the latter's.
        works: whether these are as little as so many bits can make them.
    """

    version: str
    device: str
    four: float
    eight: float
    works: bool


def try_few_bits() -> FewBits:
    """One product each. Raises whatever bitsandbytes does."""
    import bitsandbytes

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    weight = torch.randn(_ROWS, _COLUMNS, dtype=torch.bfloat16)
    given = torch.randn(4, _COLUMNS, dtype=torch.bfloat16)
    whole = given.float() @ weight.float().T

    def apart(layer: nn.Module) -> float:
        layer = layer.to(device).eval()
        set_products(layer)
        with torch.inference_mode():
            found = layer(given.to(device)).float().cpu()
        return float((found - whole).norm() / whole.norm())

    four, eight = apart(_in_four(weight)), apart(_in_eight(weight))
    works = four < _FAR_OFF_4 and eight < _FAR_OFF_8
    return FewBits(version=bitsandbytes.__version__, device=device, four=four, eight=eight, works=works)


def _in_four(weight: torch.Tensor) -> nn.Module:
    from bitsandbytes.nn.modules import Linear4bit, Params4bit

    layer: nn.Module = Linear4bit(  # type: ignore[no-untyped-call]
        _COLUMNS, _ROWS, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4", compress_statistics=True
    )
    layer.weight = Params4bit(weight.clone(), requires_grad=False, quant_type="nf4")
    return layer


def _in_eight(weight: torch.Tensor) -> nn.Module:
    from bitsandbytes.nn.modules import Int8Params, Linear8bitLt

    layer: nn.Module = Linear8bitLt(_COLUMNS, _ROWS, bias=False, has_fp16_weights=False)
    layer.weight = Int8Params(weight.clone(), requires_grad=False)
    return layer


if __name__ == "__main__":
    print(json.dumps(asdict(try_few_bits())))
