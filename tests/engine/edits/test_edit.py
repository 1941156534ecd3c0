"""The closed-form edit against the definition, against PEFT's own layers, and on the live model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from heretic_tui.engine.anatomy.few_bits import set_products
from heretic_tui.engine.anatomy.probe import examine
from heretic_tui.engine.anatomy.writers import Writer, find_anatomy
from heretic_tui.engine.edits.attach import attached, stacked
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.edit import Edit, row_norms
from heretic_tui.engine.edits.methods.base import EditMethod, edit_method, make_edit
from heretic_tui.engine.edits.methods.subtract import Subtract
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.parameters import Kernel, Parameters
from tests.support import families, tiny_models
from tests.support.definitions import METHODS, by_definition, unit


def module(kind: str, bias: bool, dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(3)
    made = nn.Linear(24, 16, bias=bias) if kind == "Linear" else Conv1D(16, 24)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn_like(parameter))
        if kind == "Conv1D" and not bias:
            made.bias.zero_()
    return made.to(dtype)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", ["Linear", "Conv1D"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attached_edit_is_the_dense_edit(kind: str, bias: bool, dtype: torch.dtype, name: str) -> None:
    live = module(kind, bias, dtype)
    writer = Writer(0, "attn.o_proj", "w", live)
    v, x = unit(16), torch.randn(5, 7, 24).to(dtype)
    edit = make_edit(writer.weight(), v, 0.8, edit_method(name))
    dense = by_definition(writer.weight(), v, 0.8, name)
    expected = x.double() @ dense.T + (live.bias.double() if isinstance(live.bias, torch.Tensor) else 0)
    before = live(x)
    with attached((writer,), {"w": edit}):
        edited = live(x)
    assert edited.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 0.03
    torch.testing.assert_close(edited.double(), expected, rtol=tolerance, atol=tolerance * expected.abs().max().item())
    torch.testing.assert_close(edit.of(writer.weight()).double(), dense, rtol=1e-5, atol=1e-5)
    # Detached without trace, to the bit.
    assert torch.equal(live(x), before)
    assert not live._forward_hooks


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    strength=st.floats(-0.5, 2.0, allow_nan=False),
    rows=st.integers(2, 9),
    columns=st.integers(1, 9),
    name=st.sampled_from(METHODS),
)
def test_closed_form_holds_for_any_matrix(seed: int, strength: float, rows: int, columns: int, name: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator) * 3
    v = nn.functional.normalize(torch.randn(rows, generator=generator), dim=0)
    dense = by_definition(weight, v, strength, name)
    # A row that the edit all but empties has no well-conditioned direction to be scaled along.
    left = by_definition(weight, v, strength, "pre").norm(dim=1) / weight.double().norm(dim=1)
    kept = (left > 0.05).nonzero().flatten()
    edited = make_edit(weight, v, strength, edit_method(name)).of(weight).double()
    torch.testing.assert_close(edited[kept], dense[kept], rtol=1e-3, atol=1e-3)


def test_one_keeps_the_length_of_every_row_and_one_takes_the_direction_out() -> None:
    weight, v = torch.randn(16, 24), unit(16)
    kept = make_edit(weight, v, 1.0, edit_method("norm_preserving")).of(weight)
    torch.testing.assert_close(row_norms(kept), row_norms(weight))
    without = make_edit(weight, v, 1.0, edit_method("subtract")).of(weight)
    assert (v @ without).abs().max() < 1e-5


def test_rows_of_zeros_stay_zeros() -> None:
    weight, v = torch.randn(8, 6), unit(8)
    weight[3] = 0
    for name in ("row_normalised", "norm_preserving"):
        edited = make_edit(weight, v, 1.0, edit_method(name)).of(weight)
        assert torch.isfinite(edited).all()
    assert torch.equal(make_edit(weight, v, 0.7, edit_method("subtract")).of(weight)[3], -0.7 * v[3] * (weight.T @ v))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", ["Linear", "Conv1D"])
@pytest.mark.parametrize("bias", [False, True])
def test_peft_layers_give_the_same_output(kind: str, bias: bool, name: str) -> None:
    """PEFT's LoRA where no rows are scaled, its DoRA where they are, filled by the formulas of the design."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = module(kind, bias, torch.float32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = self.w(x)
            return made

    net, v, strength, x = Net(), unit(16), 0.9, torch.randn(4, 24)
    writer = Writer(0, "attn.o_proj", "w", net.w)
    weight = writer.weight()
    edit = make_edit(weight, v, strength, edit_method(name))
    with attached((writer,), {"w": edit}):
        expected = net(x)
    dora = name == "norm_preserving"
    adapted = get_peft_model(
        net, LoraConfig(r=1, lora_alpha=1, target_modules=["w"], use_dora=dora, fan_in_fan_out=kind == "Conv1D")
    )
    layer: Any = adapted.get_submodule("base_model.model.w")
    norms = row_norms(weight)
    u = weight.T @ (v / norms)
    with torch.no_grad():
        layer.lora_A["default"].weight.copy_((weight.T @ v if name == "subtract" else u)[None])
        layer.lora_B["default"].weight.copy_((-strength * (v if name == "subtract" else norms * v))[:, None])
        if dora:
            layer.lora_magnitude_vector["default"].weight.copy_(norms)
    torch.testing.assert_close(adapted(x), expected, rtol=1e-5, atol=1e-5)


@given(
    peak=st.floats(0, 2),
    position=st.floats(0, 40),
    floor=st.floats(0, 2),
    reach=st.floats(0.01, 40),
    layer=st.integers(0, 40),
)
def test_kernel(peak: float, position: float, floor: float, reach: float, layer: int) -> None:
    # At the edge itself the kernel jumps, and a position that is mirrored is rounded to one of its sides.
    assume(abs(abs(layer - position) - reach) > 1e-9)
    strength = Kernel(peak, position, floor, reach).strength(layer)
    if abs(layer - position) > reach:
        assert strength == 0
    else:
        assert min(peak, floor) - 1e-9 <= strength <= max(peak, floor) + 1e-9
        mirrored = Kernel(peak, position + 2 * (layer - position), floor, reach).strength(layer)
        assert strength == pytest.approx(mirrored, rel=1e-6, abs=1e-9)
    assert Kernel(peak, float(layer), floor, reach).strength(layer) == peak


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_whole_model_edited_by_hooks_equals_model_with_edited_weights(kind: str) -> None:
    network = tiny_models.network(kind)
    anatomy = find_anatomy(network)
    assert len(anatomy.writers) == 8
    assert not anatomy.missing
    directions = nn.functional.normalize(torch.randn(5, 32), dim=-1)
    kernels = {"attn.o_proj": Kernel(1.2, 2.0, 0.4, 2.0), "mlp.down_proj": Kernel(0.7, 3.0, 0.1, 1.5)}
    ids = torch.randint(0, 250, (2, 9))
    base = network(ids).logits
    for index in (None, 1.4):
        edits = EditBank(anatomy.writers, directions, edit_method("norm_preserving"), 1 << 30).edits(
            Parameters(index, kernels)
        )
        assert set(edits) == {w.name for w in anatomy.writers if w.layer >= (0 if w.component == "attn.o_proj" else 2)}
        with attached(anatomy.writers, edits):
            hooked = network(ids).logits
        assert torch.equal(network(ids).logits, base)
        copy = tiny_models.network(kind)
        for writer in find_anatomy(copy).writers:
            if writer.name in edits:
                writer.store(edits[writer.name].of(writer.weight()))
        torch.testing.assert_close(copy(ids).logits, hooked, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(hooked, base, atol=1e-2)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_edits_from_stored_products_are_those_of_the_definition(name: str, limit: int) -> None:
    writers = find_anatomy(tiny_models.network()).writers
    directions = nn.functional.normalize(torch.randn(5, 32), dim=-1)
    bank = EditBank(writers, directions, edit_method(name), limit)
    for index in (None, 1.0, 1.4, 1.9, 2.0, 0.3):
        kernels = dict.fromkeys(("attn.o_proj", "mlp.down_proj"), Kernel(1.2, 2.0, 0.4, 9.0))
        edits = bank.edits(Parameters(index, kernels))
        for writer in writers:
            strength = kernels[writer.component].strength(writer.layer)
            weight = writer.weight()
            if index is None:
                v = directions[writer.layer + 1]
            else:
                low = int(index) + 1
                v = nn.functional.normalize(torch.lerp(directions[low], directions[low + 1], index % 1), dim=0)
            expected = make_edit(weight, v, strength, edit_method(name)).of(weight)
            torch.testing.assert_close(edits[writer.name].of(weight), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("index", [None, 0.4])
def test_edits_behind_a_norm_take_out_what_the_norm_makes_the_direction_of(name: str, index: float | None) -> None:
    network = families.build("gemma2")
    writers = examine(network).writers
    directions = nn.functional.normalize(torch.randn(3, families.HIDDEN), dim=-1)
    kernels = dict.fromkeys(("attn.o_proj", "mlp.down_proj"), Kernel(0.9, 1.0, 0.4, 9.0))
    edits = EditBank(writers, directions, edit_method(name), 1 << 30).edits(Parameters(index, kernels))
    for writer in writers:
        layer = network.model.layers[writer.layer]
        norm = layer.post_attention_layernorm if "attn" in writer.name else layer.post_feedforward_layernorm
        v = directions[writer.layer + 1] if index is None else torch.lerp(directions[1], directions[2], 0.4)
        v = nn.functional.normalize((1 + norm.weight) * v, dim=0)
        strength, weight = kernels[writer.component].strength(writer.layer), writer.weight()
        expected = by_definition(weight, v, strength, name).float()
        torch.testing.assert_close(edits[writer.name].of(weight), expected, rtol=1e-4, atol=1e-4)


def test_rows_of_several_trials_in_one_batch_each_have_their_own_edit() -> None:
    network = tiny_models.network(bias=True)
    writers = find_anatomy(network).writers
    directions = nn.functional.normalize(torch.randn(5, 32), dim=-1)
    bank = EditBank(writers, directions, edit_method("norm_preserving"), 1 << 30)
    trials = [
        bank.edits(Parameters(1.4, {"attn.o_proj": Kernel(1.2, 2.0, 0.4, 1.0)})),
        {},
        bank.edits(Parameters(None, {"mlp.down_proj": Kernel(0.9, 3.0, 0.4, 2.0)})),
    ]
    ids = torch.randint(0, 250, (5, 9))
    rows = torch.tensor([2, 0, 1, 2, 0])
    with attached(writers, stacked(writers, trials), rows):
        together = network(ids).logits
    for number, edits in enumerate(trials):
        with attached(writers, edits):
            alone = network(ids).logits
        mine = rows == number
        torch.testing.assert_close(together[mine], alone[mine], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together[1], together[2])


def test_unknown_component_and_layer_out_of_range_are_told() -> None:
    writers = find_anatomy(tiny_models.network()).writers
    directions = torch.randn(5, 32)
    with pytest.raises(UsageError, match=r"no component 'mlp\.up_proj'"):
        EditBank(writers, directions, edit_method("subtract"), 1 << 30).edits(
            Parameters(1.0, {"mlp.up_proj": Kernel(1, 1, 1, 1)})
        )
    with pytest.raises(UsageError, match="outside the model's layers"):
        EditBank(writers, directions, edit_method("subtract"), 1 << 30).edits(
            Parameters(3.5, {"attn.o_proj": Kernel(1, 1, 1, 5)})
        )


class Other(Subtract):
    """An edit method of somebody else: it gives what it is told to."""

    def __init__(self, given: Callable[[Edit], object], products: object = None) -> None:
        self._given, self._made = given, products

    def products(self, weight: torch.Tensor, v: torch.Tensor, norms: torch.Tensor) -> Any:
        return super().products(weight, v, norms) if self._made is None else self._made

    def edit(self, v: torch.Tensor, products: Any, norms: torch.Tensor, strengths: Sequence[float]) -> Any:
        return self._given(super().edit(v, products, norms, strengths))


@pytest.mark.parametrize(
    ("method", "said"),
    [
        # Shapes that could be computed with.
        (Other(lambda edit: replace(edit, b=edit.b[:1])), r"'Other' gave, for .*, b of \(1, 1\) in place of \(32, 1\)"),
        (Other(lambda edit: replace(edit, c=torch.ones(1))), r"c of \(1,\) in place of \(32,\)"),
        (Other(lambda edit: replace(edit, a=edit.a[None])), r"a of \(1, 32, 1\) in place of \(32, 1\)"),
        (Other(lambda edit: replace(edit, a=edit.a.half())), r"a as torch.float16 in place of float32"),
        (Other(lambda edit: edit.a), "a Tensor in place of an Edit"),
        (Other(lambda edit: edit.nothing), "the edit method 'Other' failed: AttributeError"),  # type: ignore[attr-defined]
        (Other(lambda edit: edit, torch.ones(32)), "products that are no tuple"),
        (Other(lambda edit: edit, (torch.ones(32),)), r"products of \(32,\), whose last dimension is not that of the"),
    ],
)
def test_what_an_edit_method_of_somebody_else_s_gives_is_checked(method: EditMethod, said: str) -> None:
    writers = find_anatomy(tiny_models.network()).writers
    directions = nn.functional.normalize(torch.randn(5, 32), dim=-1)
    parameters = Parameters(1.0, {"attn.o_proj": Kernel(1, 1, 1, 5)})
    with pytest.raises(HereticError, match=said):
        EditBank(writers, directions, method, 1 << 30).edits(parameters)
    with pytest.raises(HereticError, match=said):
        EditBank(writers, directions, method, 0).edits(parameters)
    EditBank(writers, directions, Other(lambda edit: edit), 1 << 30).edits(parameters)


def test_edit_without_scaling_keeps_the_bias() -> None:
    writer = Writer(0, "attn.o_proj", "w", module("Linear", True, torch.float32))
    v = unit(16)
    with attached((writer,), {"w": make_edit(writer.weight(), v, 1.0, edit_method("subtract"))}):
        out = writer.module(torch.zeros(1, 24))
    torch.testing.assert_close(out[0], writer.bias)
    assert isinstance(make_edit(writer.weight(), v, 1.0, edit_method("subtract")), Edit)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("bias", [False, True])
def test_a_4bit_matrix_is_edited_as_it_computes(bias: bool, name: str) -> None:
    bnb = pytest.importorskip("bitsandbytes")
    torch.manual_seed(4)
    plain = nn.Linear(128, 64, bias=bias)
    live = bnb.nn.Linear4bit(128, 64, bias=bias, compute_dtype=torch.bfloat16, quant_type="nf4")
    live.load_state_dict(plain.state_dict())
    live = live.to("cpu").eval().requires_grad_(False)
    set_products(live)
    writer = Writer(0, "attn.o_proj", "w", live)
    x = torch.randn(5, 7, 128).bfloat16()
    before = writer.weight()
    assert (before - plain.weight).abs().max() < 0.03
    with torch.inference_mode():
        live(x)
    assert torch.equal(writer.weight(), before), "the first pass does not rearrange the stored bytes"
    edit = make_edit(writer.weight(), unit(64), 0.8, edit_method(name))
    expected = x.double() @ by_definition(before, unit(64), 0.8, name).T
    expected = expected + (plain.bias.double() if bias else 0)
    with torch.inference_mode(), attached((writer,), {"w": edit}):
        assert (live(x).double() - expected).norm() / expected.norm() < 0.02
