"""The numbers of FP8 and MXFP4, against transformers' own functions and the definitions of the formats."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from transformers.integrations.mxfp4 import FP4_VALUES, convert_moe_packed_tensors

from heretic_tui.engine.checkpoint.number_formats import decode_fp8, decode_mxfp4, encode_fp8, encode_mxfp4
from tests.support.quantised import opened_fp8, quantised_fp8

GRID = torch.tensor(FP4_VALUES)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def test_mxfp4_is_decoded_as_transformers_does() -> None:
    # Every byte, with every exponent that bfloat16 has room for.
    blocks = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).repeat(2, 240, 1, 1)
    scales = torch.arange(5, 245, dtype=torch.uint8).reshape(1, 240, 1).repeat(2, 1, 16)
    for dtype in (torch.bfloat16, torch.float32):
        expected = convert_moe_packed_tensors(blocks, scales, dtype=dtype)
        found = decode_mxfp4(blocks, scales, dtype)
        assert found.dtype == dtype
        assert torch.equal(found, expected)


def test_what_is_mxfp4_is_the_same_after_it_is_encoded_again() -> None:
    drawn_codes = torch.Generator().manual_seed(1)
    blocks = torch.randint(0, 256, (3, 64, 2, 16), dtype=torch.uint8, generator=drawn_codes)
    scales = torch.randint(100, 140, (3, 64, 2), dtype=torch.uint8, generator=drawn_codes)
    matrices = decode_mxfp4(blocks, scales, torch.float32)
    assert torch.equal(decode_mxfp4(*encode_mxfp4(matrices), torch.float32), matrices)
    nothing = torch.zeros(1, 32, 4)
    assert torch.equal(decode_mxfp4(*encode_mxfp4(nothing), torch.float32), nothing)


def test_mxfp4_takes_the_nearest_number_and_the_better_of_two_exponents() -> None:
    matrices = drawn(2, 64, 48)
    blocks, scales = encode_mxfp4(matrices)
    found = decode_mxfp4(blocks, scales, torch.float32)
    groups = matrices.mT.reshape(2, 48, 2, 32)
    errors = []
    for above in (0, 1):
        exponent = groups.abs().amax(-1, keepdim=True).log2().floor() - 2 + above
        scaled = groups / exponent.exp2()
        nearest = GRID[(scaled[..., None] - GRID).abs().argmin(-1)] * exponent.exp2()
        errors.append((nearest - groups).square().sum(-1))
    error = (found.mT.reshape(groups.shape) - groups).square().sum(-1)
    torch.testing.assert_close(error, torch.minimum(*errors))


@pytest.mark.parametrize(
    ("number", "nearest"), [(0.25, 0.0), (0.75, 1.0), (1.25, 1.0), (1.75, 2.0), (2.5, 2.0), (3.5, 4.0), (5.0, 4.0)]
)
def test_a_half_goes_to_the_even_number(number: float, nearest: float) -> None:
    # The largest, 6, fixes the exponent.
    group = torch.tensor([6.0, number, -number] + [0.0] * 29).reshape(1, 32, 1)
    assert decode_mxfp4(*encode_mxfp4(group), torch.float32).flatten()[:3].tolist() == [6.0, nearest, -nearest]


@pytest.mark.parametrize("block", [(16, 16), (20, 14), (128, 128), (1, 5), None])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_fp8_is_decoded_and_encoded_by_its_definition(block: tuple[int, int] | None, kind: torch.dtype) -> None:
    matrix = drawn(48, 33)
    codes, scales = quantised_fp8(matrix, block, kind)
    opened = opened_fp8(codes, scales, [*block] if block else None)
    assert torch.equal(decode_fp8(codes, scales, block, torch.float32), opened)
    assert torch.equal(decode_fp8(codes, scales, block, torch.bfloat16), opened.bfloat16())
    again, new = encode_fp8(matrix, torch.zeros_like(scales), block)
    assert torch.equal(new, scales)
    assert torch.equal(again.view(torch.uint8), codes.view(torch.uint8))


def test_fp8_of_a_stack_is_that_of_its_matrices() -> None:
    stack = drawn(3, 20, 33)
    one = [quantised_fp8(matrix, (16, 16), torch.float32) for matrix in stack]
    codes, scales = (torch.stack(parts) for parts in zip(*one, strict=True))
    found, new = encode_fp8(stack, torch.zeros_like(scales), (16, 16))
    assert torch.equal(found.view(torch.uint8), codes.view(torch.uint8))
    assert torch.equal(new, scales)
    opened = torch.stack([opened_fp8(*parts, [16, 16]) for parts in one])
    assert torch.equal(decode_fp8(codes, scales, (16, 16), torch.float32), opened)
    # One scale for each matrix.
    _, each = encode_fp8(stack, torch.zeros(3), None)
    torch.testing.assert_close(each, stack.abs().amax((1, 2)) / 448)


@pytest.mark.parametrize("kind", [torch.float8_e8m0fnu, torch.uint8, torch.float32])
def test_scales_that_are_powers_of_two(kind: torch.dtype) -> None:
    matrix = drawn(32, 32)
    # Largest magnitudes of which one is a power of two times 448 itself.
    matrix[0, 0] = 448 / 64
    before = torch.zeros(2, 2, dtype=torch.float32 if kind == torch.float32 else torch.uint8).view(kind)
    codes, scales = encode_fp8(matrix, before, (16, 16), powers=kind == torch.float32)
    assert scales.dtype == kind
    powers = scales if kind == torch.float32 else (scales.view(torch.uint8).float() - 127).exp2()
    assert powers[0, 0] == 1 / 64
    for row, column in itertools.product(range(2), repeat=2):
        largest = matrix[row * 16 :, column * 16 :][:16, :16].abs().max() / 448
        assert largest <= powers[row, column] < 2 * largest
    found = decode_fp8(codes, scales, (16, 16), torch.float32)
    torch.testing.assert_close(found, matrix, rtol=2**-4, atol=1e-3)


def test_a_block_of_zeros_stays_one() -> None:
    for scales in (torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.bfloat16)):
        codes, new = encode_fp8(torch.zeros(4, 4), scales, (4, 4))
        assert torch.equal(decode_fp8(codes, new, (4, 4), torch.float32), torch.zeros(4, 4))
        assert new.item() == 1
