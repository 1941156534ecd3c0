"""Weights in 8 and 4 bits on this machine's own device: what they stand for, how they multiply, and how they are
edited."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from heretic_tui.engine.anatomy.few_bits import BYTES, parameters_taken, set_products, whole_matrix
from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.methods.base import edit_method, make_edit
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.load import load_model
from heretic_tui.errors import UsageError
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.settings.sources import load_settings
from heretic_tui.work import Work
from tests.support import tiny_models
from tests.support.definitions import METHODS, by_definition, orthonormal
from tests.support.model_folders import rewrite

bitsandbytes = pytest.importorskip("bitsandbytes")
QUANTIZATIONS = ("bnb_8bit", "bnb_4bit")


def eight_bits(weight: Tensor, bias: Tensor | None = None) -> Any:
    """A module of bitsandbytes with this matrix, multiplied as the program does it."""
    live = bitsandbytes.nn.Linear8bitLt(
        weight.shape[1], weight.shape[0], bias=bias is not None, has_fp16_weights=False, threshold=6.0
    )
    live.weight = bitsandbytes.nn.Int8Params(weight.clone(), requires_grad=False)
    if bias is not None:
        live.bias = nn.Parameter(bias, requires_grad=False)
    live = live.to("cpu").eval()
    set_products(live)
    return live


def loaded(folder: Path, quantization: str, dtype: str = "bfloat16") -> ChatModel:
    given = {"model": str(folder), "quantization": quantization, "dtypes": [dtype], "batch_size": 4}
    model, _ = load_model(load_settings(given, environment=False), Work())
    return model


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_8_bits_multiply_as_the_matrix_that_bitsandbytes_gives_back(dtype: torch.dtype, bias: bool) -> None:
    torch.manual_seed(5)
    weight, shift = torch.randn(24, 40), torch.randn(24) if bias else None
    live, x = eight_bits(weight, shift), torch.randn(3, 5, 40).to(dtype)
    assert live.weight.dtype == torch.int8
    whole = whole_matrix(live)
    assert whole is not None
    assert torch.equal(whole, bitsandbytes.functional.int8_vectorwise_dequant(live.weight.data, live.weight.SCB))
    assert (whole - weight).abs().max() <= weight.abs().amax() / 127
    expected = x.double() @ whole.double().T + (0 if shift is None else shift.double())
    off = (live(x).double() - expected).norm() / expected.norm()
    assert off < (1e-6 if dtype == torch.float32 else 5e-3)


def test_in_8_bits_a_row_is_the_same_whatever_is_beside_it_and_large_inputs_are_kept() -> None:
    torch.manual_seed(6)
    live, x = eight_bits(torch.randn(32, 64)), torch.randn(2, 64)
    # Above the threshold of bitsandbytes' own product, and above what float16 holds.
    outlier = x.clone()
    outlier[1, 7] = 1e5
    assert torch.equal(live(outlier)[0], live(x)[0])
    whole = whole_matrix(live)
    assert whole is not None
    torch.testing.assert_close(live(outlier)[1], outlier[1] @ whole.T, rtol=1e-4, atol=1.0)


def test_in_8_bits_inputs_are_still_moved_where_layers_are_spread_over_devices() -> None:
    from accelerate.hooks import ModelHook, add_hook_to_module  # type: ignore[import-untyped]

    moved: list[Tensor] = []

    class Moves(ModelHook):  # type: ignore[misc]  # accelerate has no types
        def pre_forward(self, module: nn.Module, *given: Tensor, **named: Tensor) -> Any:
            moved.extend(given)
            return given, named

    torch.manual_seed(7)
    weight, x = torch.randn(32, 64), torch.randn(2, 64)
    live = bitsandbytes.nn.Linear8bitLt(64, 32, bias=False, has_fp16_weights=False)
    live.weight = bitsandbytes.nn.Int8Params(weight.clone(), requires_grad=False)
    live = add_hook_to_module(live.to("cpu").eval(), Moves())
    set_products(live)
    assert torch.equal(live(x), eight_bits(weight)(x))
    assert moved[0] is x


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("bias", "rank"), [(False, 1), (True, 1), (True, 3)])
def test_an_8_bit_matrix_is_edited_as_it_computes(bias: bool, rank: int, name: str) -> None:
    torch.manual_seed(4)
    live = eight_bits(torch.randn(64, 128), torch.randn(64) if bias else None)
    writer, x, v = Writer(0, "attn.o_proj", "w", live), torch.randn(5, 7, 128), orthonormal(64, rank)
    before = live(x)
    expected = x.double() @ by_definition(writer.weight(), v, 0.8, name).T + (live.bias.double() if bias else 0)
    with torch.inference_mode(), attached((writer,), {"w": make_edit(writer.weight(), v, 0.8, edit_method(name))}):
        assert (live(x).double() - expected).norm() / expected.norm() < 1e-5
    assert torch.equal(live(x), before)


@pytest.mark.parametrize("kind", tiny_models.KINDS)
@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_a_loaded_model_in_few_bits_is_that_of_its_files(tmp_path: Path, quantization: str, kind: str) -> None:
    """Every writer stands for the matrix of the files, but for what so many bits lose; one whose columns do
    not fill blocks of 64 is whole in 4 bits, since bitsandbytes opens it wrongly on a CPU."""
    network, model = tiny_models.network(kind), loaded(tiny_models.save(tmp_path, kind), quantization)
    described = model.describe(quantization)
    assert described.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert parameters_taken(model.network) == parameters_taken(network)
    for writer in model.anatomy.writers:
        of_files = Writer(writer.layer, writer.component, writer.name, network.get_submodule(writer.name)).weight()
        quantised = "bit" in type(writer.module).__name__
        assert quantised == (quantization == "bnb_8bit" or writer.shape[1] % 64 == 0)
        assert writer.weight().shape == of_files.shape
        off = (writer.weight() - of_files).norm() / of_files.norm()
        assert off < ({"bnb_8bit": 0.01, "bnb_4bit": 0.12}[quantization] if quantised else 0.004)


@pytest.fixture(scope="module")
def fitting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model whose sizes all products take."""
    return tiny_models.save_fitting(tmp_path_factory.mktemp("fitting") / "model")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_a_model_in_few_bits_is_edited_and_is_the_base_model_again(
    fitting: Path, quantization: str, dtype: str
) -> None:
    """The edited model is the dense one that has the edited matrices in place of its own."""
    from transformers import AutoModelForCausalLM

    model = loaded(fitting, quantization, dtype)
    bits = {"bnb_8bit": "Linear8bitLt", "bnb_4bit": "Linear4bit"}[quantization]
    assert {type(writer.module).__name__ for writer in model.anatomy.writers} == {bits}
    assert model.padding_safe
    assert model.cache_works
    directions = nn.functional.normalize(torch.randn(4, 64, generator=torch.Generator().manual_seed(1)), dim=-1)
    bank = EditBank(model.anatomy.writers, directions, edit_method("norm_preserving"), 1 << 30)
    edits = bank.edits(Parameters(1.5, dict.fromkeys(model.anatomy.components, Kernel(1.0, 1.0, 0.8, 5.0))))
    dense = AutoModelForCausalLM.from_pretrained(fitting, dtype=getattr(torch, dtype)).eval()
    ids = torch.randint(0, 250, (2, 12), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        before = model.network(ids).logits
        _take_matrices(dense, model)
        assert _off(before, dense(ids).logits) < 0.02
        with attached(model.anatomy.writers, edits):
            edited = model.network(ids).logits
        assert torch.equal(model.network(ids).logits, before)
        for writer in model.anatomy.writers:
            dense.get_submodule(writer.name).weight.copy_(edits[writer.name].of(writer.weight()))
        assert _off(edited, dense(ids).logits) < 0.02
    assert _off(edited, before) > 0.1, "the edit changes something"


def _take_matrices(dense: nn.Module, model: ChatModel) -> None:
    for name, module in model.network.named_modules():
        whole = whole_matrix(module) if isinstance(module, nn.Linear) else None
        if whole is not None:
            target = dense.get_submodule(name).weight
            assert isinstance(target, Tensor)
            target.copy_(whole)


def _off(one: Tensor, other: Tensor) -> float:
    return float((one.float() - other.float()).norm() / other.float().norm())


@pytest.mark.parametrize(("quantization", "bits"), [("bnb_8bit", 8), ("bnb_4bit", 4)])
def test_weights_take_the_memory_that_was_said(fitting: Path, quantization: str, bits: int) -> None:
    model = loaded(fitting, quantization)
    taken = parameters_taken(model.network)
    whole = sum(p.numel() * p.element_size() for p in model.network.parameters() if p.is_floating_point())
    assert whole == 2 * (model.describe(quantization).parameters - taken)
    stored = model.describe(quantization).weight_bytes - whole
    assert stored == taken * bits // 8
    assert stored < taken * BYTES[bits] < 1.05 * stored


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_a_layer_of_zeros_is_refused_in_few_bits_too(fitting: Path, tmp_path: Path, quantization: str) -> None:
    folder = Path(shutil.copytree(fitting, tmp_path / "model"))
    rewrite(folder, lambda tensors: {name: t.zero_() if ".layers.1." in name else t for name, t in tensors.items()})
    with pytest.raises(UsageError, match="nothing but zeros in layer 1: their file is not whole"):
        loaded(folder, quantization)
