"""What the probe finds out about a loaded model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from heretic_tui.engine.anatomy.probe import examine
from heretic_tui.engine.anatomy.writers import find_anatomy
from heretic_tui.engine.model.capabilities import find_capabilities
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import greedy
from heretic_tui.work import Work
from tests.support import families, tiny_models


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gains_of_norms_behind_writers(dtype: torch.dtype) -> None:
    network = families.build("gemma2").to(dtype)
    anatomy = examine(network)
    for writer in anatomy.writers:
        layer = network.model.layers[writer.layer]
        norm = layer.post_attention_layernorm if "attn" in writer.name else layer.post_feedforward_layernorm
        gain = 1 + norm.weight.float()
        tolerance = 1e-4 if dtype == torch.float32 else 0.02
        torch.testing.assert_close(writer.post_norm_gain, gain / gain.mean(), rtol=tolerance, atol=tolerance)
    assert all(w.post_norm_gain is None for w in examine(network, post_norms=False).writers)


@pytest.mark.parametrize("kind", ["deepseek_v4", "gemma3n_text"])
def test_layers_with_several_streams_are_seen_through_in_16_bits(kind: str) -> None:
    network = families.build(kind)
    expected = [writer.name for writer in examine(network).writers]
    assert expected
    assert [writer.name for writer in examine(network.to(torch.bfloat16)).writers] == expected


def test_what_the_writers_do_not_account_for_is_told() -> None:
    class Leaking(nn.Module):
        """A layer that adds something that no matrix of it makes."""

        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, hidden_states: torch.Tensor, **rest: object) -> torch.Tensor:
            out: torch.Tensor = self.layer(hidden_states, **rest)
            return out + hidden_states.tanh() * torch.arange(hidden_states.shape[-1])

    network = families.build("llama")
    assert not examine(network).partly
    network.model.layers[1] = Leaking(network.model.layers[1])
    (line,) = examine(network).partly
    assert line.startswith("layer 1: something besides the writers found changes the stream")


def test_a_matrix_whose_output_does_not_reach_the_stream_is_not_edited() -> None:
    network = families.build("llama")
    layer = network.model.layers[0]
    layer.mlp.register_module("fc2", nn.Linear(families.HIDDEN, families.HIDDEN))
    layer.mlp.register_forward_hook(lambda module, args, output: (module.fc2(output), output)[1])
    assert any(writer.name.endswith("fc2") for writer in find_anatomy(network).writers)
    anatomy = examine(network)
    assert not any(writer.name.endswith("fc2") for writer in anatomy.writers)
    assert anatomy.notes == ("layer 0: mlp.fc2: does not reach the stream, so it is not edited",)


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [("nemotron_h", "fc2_latent_proj", {"moe_latent_size": 16}), ("muse_spark", "post_expert_proj", {})],
)
def test_experts_in_a_narrower_space(
    kind: str, name: str, options: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The matrix that brings them back to the stream is the writer, not the experts' own."""
    monkeypatch.setitem(families.OWN, kind, {**families.OWN.get(kind, {}), **options})
    anatomy = examine(families.build(kind))
    routed = [writer for writer in anatomy.writers if writer.kind == "routed experts"]
    assert routed
    assert all(writer.name.endswith(name) for writer in routed)
    assert not anatomy.missing


def test_fine_components() -> None:
    network = families.build("qwen3_next")
    assert find_anatomy(network).components == ("attn.o_proj", "mlp.down_proj")
    assert find_anatomy(network, fine=True).components == (
        "attn.o_proj",
        "linear_attn.o_proj",
        "experts.down_proj",
        "shared_experts.down_proj",
    )


@pytest.mark.parametrize(
    ("kind", "padding_safe", "cache_works"),
    [
        ("llama", True, True),
        ("qwen3_next", True, True),
        ("nemotron_h", True, True),
        ("falcon_h1", True, True),
        ("zamba2", True, True),
        ("lfm3", True, True),
        ("mamba", True, False),
        ("minimax", True, False),
        ("recurrent_gemma", False, False),
        ("rwkv", False, False),
        ("xlstm", False, False),
    ],
)
def test_batched_verdicts_are_those_of_one_by_one(
    kind: str, padding_safe: bool, cache_works: bool, monkeypatch: pytest.MonkeyPatch, make_model: object
) -> None:
    monkeypatch.setitem(families.SIZES, "vocab_size", tiny_models.VOCABULARY)
    told: list[object] = []
    model: ChatModel = make_model(network=families.build(kind))  # type: ignore[operator]
    find_capabilities(model, Work(told.append))
    assert (model.padding_safe, model.cache_works) == (padding_safe, cache_works)
    assert len(told) == (not padding_safe) + (not cache_works)
    rows = [[5, 6, 7], [9, 10, 11, 12, 13, 14], [40, 41, 42], [20, 21, 22, 23, 24, 25, 26]]
    # An end that comes for some rows and not for others.
    model.batch_size = 1
    model.end_tokens = frozenset()
    model.end_tokens = frozenset({greedy(model, rows[:1], 3)[0][2]})
    alone = greedy(model, rows, 8)
    model.batch_size = 4
    assert greedy(model, rows, 8) == alone
    assert len({len(response) for response in alone}) > 1
