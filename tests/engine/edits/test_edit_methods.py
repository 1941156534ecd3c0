"""What every edit method has to do, whichever it is: be linear where the bank mixes, treat each expert as a matrix of
its own, and have an exact form as an adapter."""

from __future__ import annotations

import pytest
import torch

from heretic_tui.engine.edits.methods.base import edit_method, make_edit
from heretic_tui.plugins import EDIT_METHODS, names
from tests.support.definitions import METHODS, by_definition, unit, with_adapter

every_method = pytest.mark.parametrize("name", names(EDIT_METHODS))


def matrix(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


@every_method
def test_products_are_linear_in_the_direction(name: str) -> None:
    method, weight, (one, other) = edit_method(name), matrix(16, 24), (unit(16, 1)[:, None], unit(16, 2)[:, None])
    norms = method.row_norms(weight)
    mixed = method.products(weight, 0.3 * one + 0.8 * other, norms)
    parts = zip(method.products(weight, one, norms), method.products(weight, other, norms), strict=True)
    for whole, (first, second) in zip(mixed, parts, strict=True):
        torch.testing.assert_close(whole, 0.3 * first + 0.8 * second, rtol=1e-5, atol=1e-5)


@every_method
def test_no_strength_is_no_change(name: str) -> None:
    weight = matrix(16, 24)
    torch.testing.assert_close(make_edit(weight, unit(16), 0.0, edit_method(name)).of(weight), weight)


@every_method
def test_an_expert_is_a_matrix_of_its_own(name: str) -> None:
    method, weight = edit_method(name), matrix(3, 16, 24)
    edit = make_edit(weight, unit(16), 0.9, method)
    for expert in range(3):
        alone = make_edit(weight[expert], unit(16), 0.9, method).of(weight[expert])
        torch.testing.assert_close(edit.of(weight)[expert], alone, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(edit.of_expert(expert).of(weight[expert]), alone, rtol=1e-5, atol=1e-5)


# Below 0 what is written along a direction is made more.
both_ways = pytest.mark.parametrize("strength", [0.9, -1.4])


@both_ways
@every_method
def test_the_exact_adapter_is_the_edit(name: str, strength: float) -> None:
    method, weight = edit_method(name), matrix(16, 24)
    edit = make_edit(weight, unit(16), strength, method)
    form = method.adapter(edit, weight, None)
    assert (form.magnitude is not None) == method.dora
    assert len(form.a) == 1
    torch.testing.assert_close(with_adapter(weight, form), edit.of(weight), rtol=1e-5, atol=1e-5)


@both_ways
@every_method
def test_a_lora_of_full_rank_is_the_edit(name: str, strength: float) -> None:
    method, weight = edit_method(name), matrix(16, 24)
    edit = make_edit(weight, unit(16), strength, method)
    form = method.adapter(edit, weight, 16)
    assert form.magnitude is None
    torch.testing.assert_close(weight + form.b @ form.a, edit.of(weight), rtol=1e-4, atol=1e-4)


@both_ways
@pytest.mark.parametrize("name", METHODS)
def test_the_built_in_ones_are_what_their_words_say(name: str, strength: float) -> None:
    weight, v = matrix(16, 24), unit(16)
    edited = make_edit(weight, v, strength, edit_method(name)).of(weight)
    torch.testing.assert_close(edited, by_definition(weight, v, strength, name).float(), rtol=1e-5, atol=1e-5)


def test_what_is_added_along_a_direction_is_what_was_written_along_it() -> None:
    """No constant: what reads nothing along the direction gets none of it, and a matrix that writes none stays."""
    weight, v = matrix(16, 24), unit(16)
    edited = make_edit(weight, v, -1.4, edit_method("subtract")).of(weight)
    torch.testing.assert_close(v @ edited, 2.4 * (v @ weight), rtol=1e-4, atol=1e-4)
    without = make_edit(weight, v, 1.0, edit_method("subtract")).of(weight)
    torch.testing.assert_close(make_edit(without, v, -1.4, edit_method("subtract")).of(without), without)
