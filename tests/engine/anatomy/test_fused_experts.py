"""Fused experts, edited through their products, against edited weights written down expert by expert."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from heretic_tui.engine.anatomy.probe import examine
from heretic_tui.engine.anatomy.writers import Anatomy, Writer, find_anatomy
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.methods.base import edit_method, make_edit
from heretic_tui.engine.export.merged import edit_weights, save_whole
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.work import Work
from tests.support import families, tiny_models
from tests.support.definitions import METHODS, by_definition, unit

# (E, out, in); (E, in, out) with biases; (E, in, out) with all experts in one product; experts one below the other.
KINDS = ("mixtral", "gpt_oss", "llama4_text", "dbrx", "jetmoe", "inkling_text", "qwen3_next")
IDS = torch.randint(0, 90, (2, 9), generator=torch.Generator().manual_seed(1))


def logits(network: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = network(input_ids=IDS, use_cache=False).logits
        return found


def stacks_of(anatomy: Anatomy) -> list[Writer]:
    return [writer for writer in anatomy.writers if writer.stack is not None]


def dense(writer: Writer, v: torch.Tensor, strength: float, name: str) -> torch.Tensor:
    return torch.stack([by_definition(w, v, strength, name) for w in writer.weight()]).float()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_attached_edit_is_the_dense_edit_of_every_expert(kind: str, name: str) -> None:
    network, v = families.build(kind), unit(families.HIDDEN)
    anatomy = find_anatomy(network)
    stacks = stacks_of(anatomy)
    assert len(stacks) >= 2
    base = logits(network)
    edits = {writer.name: make_edit(writer.weight(), v, 0.8, edit_method(name)) for writer in stacks}
    with attached(anatomy.writers, edits):
        edited = logits(network)
    assert torch.equal(logits(network), base), "nothing is left behind, to the bit"
    assert not any("forward" in module.__dict__ for module in network.modules())
    assert (edited - base).abs().max() > 1e-3 * base.abs().max()
    for writer in stacks:
        expected = dense(writer, v, 0.8, name)
        torch.testing.assert_close(edits[writer.name].of(writer.weight()), expected, rtol=1e-4, atol=1e-4)
        writer.store(expected)
    torch.testing.assert_close(logits(network), edited, rtol=1e-3, atol=1e-3 * float(base.abs().max()))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("piece", [1, 1 << 12, 1 << 26])
def test_trials_and_exports_work_on_some_experts_at_a_time(
    name: str,
    piece: int,
    monkeypatch: pytest.MonkeyPatch,
    make_model: Callable[..., ChatModel],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("heretic_tui.engine.anatomy.writers.ENTRIES_AT_ONCE", piece)
    monkeypatch.setitem(families.SIZES, "vocab_size", tiny_models.VOCABULARY)
    model = make_model(network=families.build("gpt_oss"))
    stacks = stacks_of(model.anatomy)
    directions = nn.functional.normalize(torch.randn(3, families.HIDDEN), dim=-1)
    kernel = Kernel(0.9, 1.0, 0.4, 9.0)
    bank = EditBank(model.anatomy.writers, directions, edit_method(name), 1 << 30)
    bank.edits(Parameters(0.0, {"mlp.down_proj": kernel}))
    edits = bank.edits(Parameters(0.4, {"mlp.down_proj": kernel}))
    v = nn.functional.normalize(torch.lerp(directions[1], directions[2], 0.4), dim=0)
    expected = {writer.name: dense(writer, v, kernel.strength(writer.layer), name) for writer in stacks}
    edit_weights(model, edits)
    save_whole(model, tmp_path, "1GB", Work())
    for writer in stacks:
        torch.testing.assert_close(writer.weight(), expected[writer.name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("way", ["eager", "grouped_mm", "batched_mm"])
@pytest.mark.parametrize("kind", ["mixtral", "gpt_oss"])
def test_every_way_of_computing_experts_is_edited_alike(kind: str, way: str) -> None:
    network, v = families.build(kind), unit(families.HIDDEN)
    network.config._experts_implementation = way
    stacks = stacks_of(find_anatomy(network))
    with attached(
        tuple(stacks), {w.name: make_edit(w.weight(), v, 0.8, edit_method("norm_preserving")) for w in stacks}
    ):
        edited = logits(network)
    for writer in stacks:
        writer.store(dense(writer, v, 0.8, "norm_preserving"))
    torch.testing.assert_close(logits(network), edited, rtol=1e-3, atol=1e-3 * float(edited.abs().max()))


def test_an_error_within_the_experts_leaves_nothing_behind() -> None:
    network, v = families.build("mixtral"), unit(families.HIDDEN)
    stacks = stacks_of(find_anatomy(network))
    with (
        pytest.raises(IndexError),
        attached(tuple(stacks), {w.name: make_edit(w.weight(), v, 1.0, edit_method("subtract")) for w in stacks}),
    ):
        network(input_ids=torch.tensor([[10_000]]))
    assert not any("forward" in module.__dict__ for module in network.modules())


def test_a_square_parameter_of_unknown_orientation_is_not_guessed() -> None:
    network = families.build("mixtral")
    for layer in network.model.layers:
        experts = layer.mlp.experts
        experts.down_proj = nn.Parameter(torch.zeros(4, families.HIDDEN, families.HIDDEN))
        del experts.is_transposed
    anatomy = find_anatomy(network)
    assert len(anatomy.missing) == len(network.model.layers)
    assert "unknown orientation" in str(anatomy.missing[0])


def test_experts_computed_in_an_unknown_way_count_as_not_edited() -> None:
    network = families.build("mixtral")
    for layer in network.model.layers:
        experts = layer.mlp.experts

        def forward(x: torch.Tensor, *routing: torch.Tensor, experts: Any = experts) -> torch.Tensor:
            up = experts.down_proj.shape[-1]
            return torch.einsum("eoi,ti->to", experts.down_proj, x.repeat(1, 2)[:, :up])

        experts.forward = forward
    anatomy = examine(network)
    assert not stacks_of(anatomy)
    assert {missing.layer for missing in anatomy.missing} == set(range(len(network.model.layers)))
    assert "computed in a way unknown" in str(anatomy.missing[0])
    assert any("besides the writers" in line for line in anatomy.partly)
