"""Numbers of FP8 and MXFP4 as matrices, and matrices as such numbers.

FP8 (E4M3, largest 448): a matrix is its codes times scales, one for each block of rows and columns; those at the edges
may be smaller (DeepSeek-V3, arXiv:2412.19437, section 3.3). MXFP4 (OCP Microscaling Formats v1.0, sections 5.2, 6.3):
32 numbers of 4 bits (E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and a sign) share an exponent of 8 bits, with a bias of 127.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

_LARGEST_FP8 = 448.0
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_E2M1_VALUES = torch.tensor([*_E2M1, *(-value for value in _E2M1)])
# Half-way between two neighbours; whether that goes up: to the one whose last bit is 0.
_HALVES = ((0.25, False), (0.75, True), (1.25, False), (1.75, True), (2.5, False), (3.5, True), (5.0, False))
# Exponent of the largest E2M1, 6 = 1.5 × 2².
_E2M1_EXPONENT = 2
_BIAS = 127
# Numbers that share an exponent.
GROUP = 32


def decode_fp8(codes: Tensor, scales: Tensor, block: tuple[int, int] | None, dtype: torch.dtype) -> Tensor:
    """(…, rows, columns) in a dtype; multiplied in float32.

    Args:
        codes: float8_e4m3fn.
        scales: (…, blocks of rows, blocks of columns); without blocks anything that goes with the codes.
    """
    factors = _floats(scales)
    if block is None:
        return (codes.float() * _broadcast(factors, codes.ndim)).to(dtype)
    made = torch.empty(codes.shape, dtype=dtype)
    for rows, row in _bands(codes.shape[-2], block[0]):
        # No copy of the whole in float32.
        wide = factors[..., row, :].repeat_interleave(block[1], dim=-1)[..., None, : codes.shape[-1]]
        made[..., rows, :] = codes[..., rows, :].float() * wide
    return made


def encode_fp8(
    matrix: Tensor, scales: Tensor, block: tuple[int, int] | None, powers: bool = False
) -> tuple[Tensor, Tensor]:
    """Codes and scales of a matrix (…, rows, columns) in float32: scale = largest magnitude of a block / 448, rounded
    to the dtype of the scales, codes = nearest to matrix / scale.

    Args:
        scales: those that it had: the new ones have their shape and dtype.
        powers: whether scales are to be powers of two, as those of a dtype that holds only such always are: the next
            above.
    """
    if block is None:
        shaped = _broadcast(_floats(scales), matrix.ndim)
        shared = [at for at in range(matrix.ndim) if shaped.shape[at] == 1]
        new, factors = _scales_like(scales, matrix.abs().amax(dim=shared, keepdim=True).reshape(scales.shape), powers)
        return _nearest_fp8(matrix / _broadcast(factors, matrix.ndim)), new
    codes = torch.empty(matrix.shape, dtype=torch.float8_e4m3fn)
    made = torch.empty_like(scales)
    columns = matrix.shape[-1]
    for rows, row in _bands(matrix.shape[-2], block[0]):
        band = matrix[..., rows, :]
        filled = functional.pad(band, (0, -columns % block[1])).unflatten(-1, (-1, block[1]))
        made[..., row, :], factors = _scales_like(scales, filled.abs().amax(dim=(-3, -1)), powers)
        wide = factors.repeat_interleave(block[1], dim=-1)[..., None, :columns]
        codes[..., rows, :] = _nearest_fp8(band / wide)
    return codes, made


def _nearest_fp8(values: Tensor) -> Tensor:
    # A scale that was rounded down brings the largest of a block a little beyond what there is.
    return values.clamp(-_LARGEST_FP8, _LARGEST_FP8).to(torch.float8_e4m3fn)


def _scales_like(scales: Tensor, largest: Tensor, powers: bool) -> tuple[Tensor, Tensor]:
    """Scales for blocks with these largest magnitudes, as they are stored, and as numbers in float32."""
    wanted = torch.where(largest > 0, largest / _LARGEST_FP8, torch.ones_like(largest))
    bytes_ = scales.dtype in (torch.float8_e8m0fnu, torch.uint8)
    if bytes_ or powers:
        mantissas, exponents = torch.frexp(wanted)
        exponents = ((exponents - (mantissas == 0.5).int()).clamp(-_BIAS, _BIAS) + _BIAS).to(torch.uint8)
        factors = _powers(exponents)
        return exponents.view(scales.dtype) if bytes_ else factors.to(scales.dtype), factors
    stored = wanted.to(scales.dtype)
    # What is too small for the dtype would divide by zero.
    stored = torch.where(stored > 0, stored, torch.ones_like(stored))
    return stored, stored.float()


def _floats(scales: Tensor) -> Tensor:
    if scales.dtype in (torch.float8_e8m0fnu, torch.uint8):
        return _powers(scales.view(torch.uint8))
    return scales.float()


def _powers(exponents: Tensor) -> Tensor:
    return torch.ldexp(torch.ones(exponents.shape), exponents.int() - _BIAS)


def _broadcast(scales: Tensor, dimensions: int) -> Tensor:
    """One scale for all, or one for each of a stack of matrices."""
    return scales.reshape(*scales.shape, *(1,) * (dimensions - scales.ndim))


def _bands(rows: int, height: int) -> list[tuple[slice, int]]:
    return [(slice(at * height, (at + 1) * height), at) for at in range(math.ceil(rows / height))]


def decode_mxfp4(blocks: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """(matrices, columns, rows) in a dtype: as gpt-oss has its experts, the other way round than they are packed.

    Args:
        blocks: (matrices, rows, groups, 16) uint8, two numbers in each, the first in the lower half.
        scales: (matrices, rows, groups) uint8.
    """
    count, rows, groups, _ = blocks.shape
    made = torch.empty(count, groups * GROUP, rows, dtype=dtype)
    for at in range(count):
        # One by one: numbers that choose from a table take eight bytes each.
        pairs = torch.stack((blocks[at] & 0xF, blocks[at] >> 4), dim=-1).flatten(-2)
        values = torch.ldexp(_E2M1_VALUES[pairs.int()], scales[at, ..., None].int() - _BIAS)
        made[at] = values.reshape(rows, -1).T
    return made


def encode_mxfp4(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Blocks and scales of (matrices, columns, rows), as `decode_mxfp4` gives them. Numbers are rounded to the nearest,
    a half to the even one. Of the two exponents that a group can have (the standard's, with which its largest may be
    cut off at 6, and the one above) it gets the one whose squared error is smaller."""
    count, columns, rows = matrices.shape
    blocks = torch.empty(count, rows, columns // GROUP, GROUP // 2, dtype=torch.uint8)
    scales = torch.empty(count, rows, columns // GROUP, dtype=torch.uint8)
    for at in range(count):
        groups = matrices[at].float().T.reshape(rows, -1, GROUP)
        largest = groups.abs().amax(dim=-1, keepdim=True)
        # frexp: a mantissa from 0.5 to 1.
        usual = torch.frexp(largest)[1] - 1 - _E2M1_EXPONENT
        usual = torch.where(largest > 0, usual, torch.zeros_like(usual)).clamp(-_BIAS, _BIAS)
        tried = [_with_exponents(groups, exponents) for exponents in (usual, (usual + 1).clamp(max=_BIAS))]
        (codes, error), (others, other_error) = tried
        above = other_error < error
        codes = torch.where(above, others, codes)
        blocks[at] = codes[..., 0::2] | (codes[..., 1::2] << 4)
        scales[at] = (usual + above.int() + _BIAS).squeeze(-1).to(torch.uint8)
    return blocks, scales


def _with_exponents(groups: Tensor, exponents: Tensor) -> tuple[Tensor, Tensor]:
    """E2M1 codes of groups (…, 32) with these exponents, and their squared errors (…, 1)."""
    scaled = torch.ldexp(groups, -exponents)
    magnitudes = scaled.abs()
    codes = torch.zeros_like(groups, dtype=torch.uint8)
    for half, up in _HALVES:
        codes += magnitudes >= half if up else magnitudes > half
    codes |= torch.signbit(groups).to(torch.uint8) << 3
    missed = _E2M1_VALUES[codes.int()] - scaled
    return codes, torch.ldexp(missed.square().sum(dim=-1, keepdim=True), 2 * exponents)
