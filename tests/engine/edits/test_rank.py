"""Edits that take several directions out: the closed forms against the definition, mixes of two layers' directions, and
rows of several trials."""

from __future__ import annotations

import pytest
import torch
from scipy.linalg import orthogonal_procrustes
from torch import nn

from heretic_tui.engine.anatomy.probe import examine
from heretic_tui.engine.anatomy.writers import Writer, find_anatomy
from heretic_tui.engine.edits.attach import attached, stacked
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.methods.base import edit_method, make_edit
from heretic_tui.engine.export.merged import edit_matrix
from heretic_tui.errors import UsageError
from heretic_tui.parameters import Kernel, Parameters
from tests.support import families, tiny_models
from tests.support.definitions import METHODS, bases, by_definition, orthonormal, with_adapter

COMPONENTS = ("attn.o_proj", "mlp.down_proj")
every_method = pytest.mark.parametrize("name", METHODS)
ranks = pytest.mark.parametrize("rank", [1, 2, 5])


def matrix(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def strengths(rank: int) -> list[float]:
    return [1.3, 0.4, 0.0, 0.9, -0.5][:rank]


def mixed(directions: torch.Tensor, index: float) -> torch.Tensor:
    """The directions at an index between two layers, columns (hidden, k), by SciPy."""
    low, share = int(index) + 1, index % 1
    one, other = directions[low].double().T.numpy(), directions[low + 1].double().T.numpy()
    if one.shape[1] > 1:
        other = other @ orthogonal_procrustes(other, one)[0]
    between = torch.from_numpy((1 - share) * one + share * other)
    # Gram and Schmidt's, whose columns point as those did that they are made of.
    q, r = torch.linalg.qr(between)
    found: torch.Tensor = q * r.diagonal().sign()
    return found


@ranks
@every_method
def test_the_closed_form_is_the_definition(name: str, rank: int) -> None:
    weight, v = matrix(16, 24), orthonormal(16, rank)
    for strength in (0.8, strengths(rank)):
        edit = make_edit(weight, v.double(), strength, edit_method(name))
        assert (edit.rank, edit.a.shape, edit.b.shape) == (rank, (24, rank), (16, rank))
        torch.testing.assert_close(edit.of(weight), by_definition(weight, v, strength, name), rtol=1e-6, atol=1e-6)


@ranks
@every_method
def test_of_fused_experts_each_is_a_matrix_of_its_own(name: str, rank: int) -> None:
    weight, v = matrix(3, 16, 24), orthonormal(16, rank)
    edit = make_edit(weight, v, strengths(rank), edit_method(name))
    for expert in range(3):
        expected = by_definition(weight[expert], v, strengths(rank), name)
        torch.testing.assert_close(edit.of(weight)[expert], expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(edit.of_expert(expert).of(weight[expert]), expected, rtol=1e-6, atol=1e-6)


@ranks
@every_method
@pytest.mark.parametrize("bias", [False, True])
def test_attached_it_is_the_edited_matrix(name: str, rank: int, bias: bool) -> None:
    live, x = nn.Linear(24, 16, bias=bias), torch.randn(5, 7, 24)
    writer = Writer(0, "attn.o_proj", "w", live)
    v = orthonormal(16, rank)
    expected = x.double() @ by_definition(writer.weight(), v, strengths(rank), name).T
    expected = expected + (live.bias.double() if bias else 0)
    with torch.no_grad(), attached((writer,), {"w": make_edit(writer.weight(), v, strengths(rank), edit_method(name))}):
        torch.testing.assert_close(live(x).double(), expected, rtol=1e-4, atol=1e-4)
        # The shape of the input is the module's own affair.
        torch.testing.assert_close(live(x[0, 0]).double(), expected[0, 0], rtol=1e-4, atol=1e-4)


@every_method
def test_the_exact_adapter_is_of_the_rank_of_the_edit(name: str) -> None:
    method, weight = edit_method(name), matrix(16, 24).float()
    edit = make_edit(weight, orthonormal(16, 3), strengths(3), method)
    form = method.adapter(edit, weight, None)
    assert (form.a.shape, form.b.shape) == ((3, 24), (16, 3))
    torch.testing.assert_close(with_adapter(weight, form), edit.of(weight), rtol=1e-4, atol=1e-5)


@ranks
@every_method
@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_edits_from_stored_products_are_those_of_the_definition(name: str, rank: int, limit: int) -> None:
    writers = find_anatomy(tiny_models.network()).writers
    directions = bases(4, rank, 32)
    bank = EditBank(writers, directions, edit_method(name), limit)
    shares = (0.2, 0.7, 1.0, 0.0)[: rank - 1]
    for index, sign in ((None, 1), (2.0, 1), (1.4, 1), (1.9, 1), (None, -1), (1.4, -1)):
        kernel = Kernel(sign * 1.2, 2.0, sign * 0.4, 9.0, shares)
        edits = bank.edits(Parameters(index, dict.fromkeys(COMPONENTS, kernel)))
        for writer in writers:
            own = directions[writer.layer + 1 if index is None else int(index) + 1].T
            v = own if index is None or index == int(index) else mixed(directions, index)
            strength = kernel.strength(writer.layer)
            each = [strength, *(strength * share for share in shares)]
            expected = by_definition(writer.weight(), v, each, name).float()
            torch.testing.assert_close(edits[writer.name].of(writer.weight()), expected, rtol=1e-4, atol=1e-5)


@every_method
def test_behind_a_norm_that_scales_channels_directions_are_made_orthonormal_again(name: str) -> None:
    network = families.build("gemma2")
    writers, directions = examine(network).writers, bases(2, 3, families.HIDDEN)
    kernel = Kernel(0.9, 1.0, 0.4, 9.0, (0.5, 0.8))
    bank = EditBank(writers, directions, edit_method(name), 1 << 30)
    for index in (None, 0.4):
        edits = bank.edits(Parameters(index, dict.fromkeys(COMPONENTS, kernel)))
        for writer in writers:
            layer = network.model.layers[writer.layer]
            norm = layer.post_attention_layernorm if "attn" in writer.name else layer.post_feedforward_layernorm
            v = directions[writer.layer + 1].T if index is None else mixed(directions, index)
            q, r = torch.linalg.qr((1 + norm.weight.double())[:, None] * v)
            strength = kernel.strength(writer.layer)
            each = [strength, strength * 0.5, strength * 0.8]
            expected = by_definition(writer.weight(), q * r.diagonal().sign(), each, name).float()
            torch.testing.assert_close(edits[writer.name].of(writer.weight()), expected, rtol=1e-4, atol=1e-4)


def test_a_mix_does_not_depend_on_the_basis_that_a_layer_s_space_is_given_by() -> None:
    writers = find_anatomy(tiny_models.network()).writers
    directions = bases(4, 3, 32)
    turned = directions.clone()
    for index in range(5):
        turned[index] = orthonormal(3, 3, seed=index + 40) @ directions[index]
    trial = Parameters(1.5, dict.fromkeys(COMPONENTS, Kernel(1.0, 2.0, 1.0, 9.0)))
    one, other = (
        EditBank(writers, each, edit_method("norm_preserving"), 0).edits(trial) for each in (directions, turned)
    )
    for writer in writers:
        weight = writer.weight()
        torch.testing.assert_close(one[writer.name].of(weight), other[writer.name].of(weight), rtol=1e-4, atol=1e-5)


def test_rows_of_several_trials_in_one_batch_each_have_their_own_edit() -> None:
    network = tiny_models.network(bias=True)
    writers = find_anatomy(network).writers
    bank = EditBank(writers, bases(4, 3, 32), edit_method("norm_preserving"), 1 << 30)
    trials = [
        bank.edits(Parameters(1.4, {"attn.o_proj": Kernel(1.2, 2.0, 0.4, 1.0, (0.5, 0.1))})),
        {},
        bank.edits(Parameters(None, {"mlp.down_proj": Kernel(0.9, 3.0, 0.4, 2.0)})),
    ]
    ids, rows = torch.randint(0, 250, (5, 9)), torch.tensor([2, 0, 1, 2, 0])
    with attached(writers, stacked(writers, trials), rows):
        together = network(ids).logits
    for number, edits in enumerate(trials):
        with attached(writers, edits):
            alone = network(ids).logits
        torch.testing.assert_close(together[rows == number], alone[rows == number], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together[1], together[2])


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2", "qwen3_moe", "gpt_oss", "mixtral"])
def test_a_live_network_is_edited_as_its_weights_would_be(kind: str) -> None:
    """Experts of every form, transposed matrices, norms behind: none of the directions is written any more."""
    network = families.build(kind)
    anatomy = examine(network)
    bank = EditBank(anatomy.writers, bases(len(anatomy.layers), 2, families.HIDDEN), edit_method("subtract"), 1 << 30)
    kernels = {name: Kernel(1.0, 0.0, 0.6, 9.0, (0.5,)) for name in anatomy.components}
    edits = bank.edits(Parameters(0.3, kernels))
    ids = torch.randint(0, families.VOCABULARY // 2, (2, 7), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        base = network(input_ids=ids, use_cache=False).logits
        with attached(anatomy.writers, edits):
            hooked = network(input_ids=ids, use_cache=False).logits
    assert (hooked - base).abs().max() > 1e-3 * base.abs().max()
    with torch.no_grad():
        for writer in anatomy.writers:
            edit_matrix(writer, edits[writer.name])
        dense = network(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(dense, hooked, rtol=2e-3, atol=2e-3 * float(hooked.abs().max()))


def test_shares_of_another_number_of_directions_are_told() -> None:
    writers = find_anatomy(tiny_models.network()).writers
    bank = EditBank(writers, bases(4, 2, 32), edit_method("subtract"), 0)
    with pytest.raises(UsageError, match="shares for 3 directions of a layer, and the layers have 2"):
        bank.edits(Parameters(1.0, {"attn.o_proj": Kernel(1, 1, 1, 5, (0.5, 0.5))}))
    alike = bank.edits(Parameters(1.0, {"attn.o_proj": Kernel(1, 1, 1, 5)}))
    said = bank.edits(Parameters(1.0, {"attn.o_proj": Kernel(1, 1, 1, 5, (1.0,))}))
    assert all(torch.equal(alike[name].b, said[name].b) for name in alike)
