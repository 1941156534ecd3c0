"""The tensors of a checkpoint as an unquantised one would have them: matrices that its files hold quantised are opened
when they are read, one at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from heretic_tui.engine.checkpoint.number_formats import GROUP, decode_fp8, decode_mxfp4, encode_fp8, encode_mxfp4
from heretic_tui.engine.checkpoint.packing import Packing
from heretic_tui.engine.checkpoint.shards import read_tensor
from heretic_tui.engine.checkpoint.stored import TORCH_DTYPES, Stored
from heretic_tui.errors import UsageError

_WORDS = {torch.bfloat16: "BF16", torch.float16: "F16"}
_SCALE = "_scale_inv"
_BLOCKS, _SCALES = "_blocks", "_scales"
_INPUT_SCALES = ("activation_scale", "input_scale")
_SCALE_KINDS = ("F32", "BF16", "F16", "F8_E8M0", "U8")


@dataclass(frozen=True)
class Packed:
    """A matrix, or several in a stack, that files hold as codes and scales.

    Attributes:
        shape: of what it is opened to.
        parts: the names of codes and scales in the files, in this order.
        beside: names of what belongs to them alone: scales of the inputs, where these are fixed.
    """

    shape: tuple[int, ...]
    packing: Packing
    parts: tuple[str, str]
    codes: Stored
    scales: Stored
    beside: tuple[str, ...] = ()

    @property
    def dtype(self) -> str:
        """What it is opened to, in safetensors' word."""
        return _WORDS[self.packing.dtype]

    @property
    def files(self) -> frozenset[Path]:
        return frozenset((self.codes.file, self.scales.file))

    def empty(self) -> Tensor:
        return torch.empty(self.shape, dtype=self.packing.dtype, device="meta")

    def read(self, dtype: torch.dtype | None = None) -> Tensor:
        """The matrix, in the dtype of its packing where no other is given."""
        codes, scales = read_tensor(self.codes), read_tensor(self.scales)
        if self.packing.method == "mxfp4":
            return decode_mxfp4(codes, scales, dtype or self.packing.dtype)
        return decode_fp8(codes, scales, self.packing.block, dtype or self.packing.dtype)

    def packed(self, matrix: Tensor) -> dict[str, Tensor]:
        """Another matrix of the shape in the same kind of numbers: codes and scales by their names in the files."""
        if self.packing.method == "mxfp4":
            made = encode_mxfp4(matrix)
        else:
            made = encode_fp8(matrix.float(), read_tensor(self.scales), self.packing.block, self.packing.powers)
        return dict(zip(self.parts, made, strict=True))


Held: TypeAlias = Stored | Packed


class Unread:
    """A tensor that is read when it is sliced, as transformers does with those of a safetensors file.

    Args:
        dtype: what a quantised one is opened to.
    """

    def __init__(self, held: Held, dtype: torch.dtype) -> None:
        self._held, self._dtype = held, dtype
        self.shape = torch.Size(held.shape)
        self.dtype = dtype if isinstance(held, Packed) else TORCH_DTYPES[held.dtype]

    def __getitem__(self, part: object) -> Tensor:
        tensor = read_held(self._held, self._dtype if isinstance(self._held, Packed) else None)
        return tensor if part is ... else tensor[part]  # type: ignore[index]

    def get_shape(self) -> list[int]:
        return list(self.shape)

    def get_dtype(self) -> str:
        return self._held.dtype


def read_held(held: Held, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor in memory of its own; a quantised one is opened to a dtype, others are as they are stored."""
    return held.read(dtype) if isinstance(held, Packed) else read_tensor(held)


def opened(tensors: Mapping[str, Stored], packing: Packing | None) -> dict[str, Held]:
    """The tensors of the files, with one in place of the parts of each quantised matrix.

    Raises:
        UsageError: where parts do not fit together.
    """
    found: dict[str, Held] = dict(tensors)
    if packing is None:
        return found
    for name, stored in tensors.items():
        pair = _parts_of(name, packing)
        if pair is None or any(part not in tensors for part in pair):
            continue
        if packing.method == "fp8" and stored.dtype != "F8_E4M3":
            continue
        whole = name.removesuffix(_BLOCKS) if packing.method == "mxfp4" else name
        codes, scales = stored, tensors[pair[1]]
        shape = _shape(pair, codes, scales, packing)
        if whole != name and whole in tensors:
            raise UsageError(f"{whole} is in the weights twice, as it is and quantised: download the model again")
        beside = tuple(other for scale in _INPUT_SCALES if (other := _beside(name, scale)) in tensors)
        for part in (*pair, *beside):
            del found[part]
        found[whole] = Packed(shape, packing, pair, codes, scales, beside)
    return found


def _beside(name: str, scale: str) -> str:
    module = name.removesuffix(".weight")
    return f"{name}_{scale}" if module == name else f"{module}.{scale}"


def _parts_of(name: str, packing: Packing) -> tuple[str, str] | None:
    """The names of codes and scales of a quantised matrix, by that of its codes."""
    if packing.method == "fp8":
        return name, name + _SCALE
    return (name, name.removesuffix(_BLOCKS) + _SCALES) if name.endswith(_BLOCKS) else None


def _shape(pair: tuple[str, str], codes: Stored, scales: Stored, packing: Packing) -> tuple[int, ...]:
    """
    Raises:
        UsageError: where the scales are not those of the codes.
    """
    if packing.method == "mxfp4":
        count, rows, groups, _ = codes.shape if len(codes.shape) == 4 else (0, 0, 0, 0)
        fits = codes.shape == (count, rows, groups, GROUP // 2) and scales.shape == (count, rows, groups)
        if fits and codes.dtype == scales.dtype == "U8":
            return count, groups * GROUP, rows
        raise _misfit(pair, codes, scales)
    if packing.block is None:
        wide = (*scales.shape, *(1,) * (len(codes.shape) - len(scales.shape)))
        fits = len(wide) == len(codes.shape) and all(map(lambda own, size: own in (1, size), wide, codes.shape))
    else:
        counts = tuple(math.ceil(size / of) for size, of in zip(codes.shape[-2:], packing.block, strict=False))
        fits = len(codes.shape) > 1 and scales.shape == (*codes.shape[:-2], *counts)
    if not fits or scales.dtype not in _SCALE_KINDS:
        raise _misfit(pair, codes, scales)
    return codes.shape


def _misfit(pair: tuple[str, str], codes: Stored, scales: Stored) -> UsageError:
    size, other = ("×".join(map(str, each.shape)) or "a number" for each in (codes, scales))
    return UsageError(
        f"{pair[1]} ({other}, {scales.dtype}) does not fit {pair[0]} ({size}, {codes.dtype}) by the block size that "
        "config.json gives: put back the config.json that belongs to the weights"
    )
