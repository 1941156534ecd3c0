"""Whether bitsandbytes multiplies with 4-bit weights on this machine's device: printed as JSON, by a process of its
own, since a back end that does not fit may end the process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import torch

# Rows and columns of the product: such as all back ends take.
_ROWS, _COLUMNS = 64, 128
# NF4 keeps random weights to about a tenth of their size; what is no such product is off by more than all of it.
_FAR_OFF = 0.3


@dataclass(frozen=True, kw_only=True)
class FourBits:
    """
    Attributes:
        device: where the product was computed.
        apart: norm of the product's difference from that with whole weights, as a share of the latter's.
        works: whether that is as little as 4 bits can make it.
    """

    version: str
    device: str
    apart: float
    works: bool


def try_four_bits() -> FourBits:
    """One product with weights in NF4. Raises whatever bitsandbytes does."""
    import bitsandbytes
    from bitsandbytes.nn.modules import Linear4bit, Params4bit

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    weight = torch.randn(_ROWS, _COLUMNS, dtype=torch.bfloat16)
    layer: torch.nn.Module = Linear4bit(  # type: ignore[no-untyped-call]
        _COLUMNS, _ROWS, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4", compress_statistics=True
    )
    layer.weight = Params4bit(weight.clone(), requires_grad=False, quant_type="nf4")
    layer = layer.to(device)
    given = torch.randn(4, _COLUMNS, dtype=torch.bfloat16)
    with torch.inference_mode():
        found, whole = layer(given.to(device)).float().cpu(), given.float() @ weight.float().T
    apart = float((found - whole).norm() / whole.norm())
    return FourBits(version=bitsandbytes.__version__, device=device, apart=apart, works=apart < _FAR_OFF)


if __name__ == "__main__":
    print(json.dumps(asdict(try_four_bits())))
