"""Every family of transformers that answers in text: all writers edited, nothing of a direction is added any more."""

from __future__ import annotations

from pathlib import Path

import families
import pytest
import torch
from torch import Tensor, nn
from transformers.utils import logging

from heretic_tui.engine.ablation import attached, make_edit
from heretic_tui.engine.anatomy import Anatomy, Writer
from heretic_tui.engine.probe import examine

logging.set_verbosity_error()
TOKENS = torch.randint(0, families.VOCABULARY // 2, (2, 7), generator=torch.Generator().manual_seed(3))


def logits(network: nn.Module) -> Tensor:
    with torch.inference_mode():
        return network(input_ids=TOKENS, use_cache=False).logits


def unit(width: int) -> Tensor:
    return nn.functional.normalize(torch.randn(width, generator=torch.Generator().manual_seed(5)), dim=0)


def without(direction: Tensor, tensor: Tensor) -> Tensor:
    """The tensor with its component along a unit direction, over the last dimension, taken out."""
    rows = tensor.reshape(*tensor.shape[:-1], -1, len(direction))
    return (rows - (rows @ direction)[..., None] * direction).reshape(tensor.shape)


def prepare(network: nn.Module, anatomy: Anatomy, direction: Tensor) -> None:
    """Embeddings, and biases, which edits leave alone, bring nothing of the direction."""
    width = len(direction)
    aims: dict[int, Tensor] = {}
    for writer in anatomy.writers:
        if writer.bias is not None:
            aims[id(writer.bias)] = nn.functional.normalize(writer.bend(direction), dim=0)
    for name, parameter in network.named_parameters():
        if id(parameter) in aims:
            parameter.copy_(without(aims[id(parameter)], parameter))
        elif parameter.ndim and parameter.shape[-1] == width and (
            name.endswith("bias") or ("embed" in name or "wte" in name or "wpe" in name) and parameter.ndim == 2
        ):
            parameter.copy_(without(direction, parameter))


def components(network: nn.Module, anatomy: Anatomy, direction: Tensor) -> list[float]:
    """After every layer, the largest component of the stream along the direction, relative to the stream's length."""
    found: list[float] = []

    def enter(module: nn.Module, args: tuple, kwargs: dict) -> tuple:
        if args:
            return (without(direction, args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": without(direction, kwargs["hidden_states"])}

    def leave(module: nn.Module, args: tuple, output: object) -> None:
        stream = output[0] if isinstance(output, tuple | list) else output
        assert isinstance(stream, Tensor)
        rows = stream.reshape(-1, len(direction))
        found.append(float((rows @ direction).abs().max() / rows.norm(dim=-1).max()))

    hooks = [anatomy.layers[0].register_forward_pre_hook(enter, with_kwargs=True)]
    hooks += [layer.register_forward_hook(leave) for layer in anatomy.layers]
    try:
        logits(network)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def edit_of(writer: Writer, direction: Tensor):
    aim = nn.functional.normalize(writer.bend(direction), dim=0)
    return make_edit(writer.weight(), aim, 1.0, "none")


def outcome(kind: str, folder: Path) -> str:
    """works, or what is missing. Whatever must hold for every family is asserted."""
    network = families.build(kind)
    anatomy = examine(network)
    direction = unit(anatomy.writers[0].shape[-2])
    prepare(network, anatomy, direction)
    base = logits(network)
    assert torch.isfinite(base).all()
    edits = {writer.name: edit_of(writer, direction) for writer in anatomy.writers}
    before = components(network, anatomy, direction)
    with attached(anatomy.writers, edits):
        edited = logits(network)
        after = components(network, anatomy, direction)
    assert torch.equal(logits(network), base), "detached, the outputs are the base model's"
    assert max(before) > 1e-2, "unedited, the layers write to the direction"
    told = [*anatomy.missing, *anatomy.partly, *anatomy.notes]
    if not told:
        assert max(after) < 1e-4, f"a component of {max(after):.1e} is left, and nothing is told of it"
    for writer in anatomy.writers:
        writer.store(edits[writer.name].of(writer.weight()))
    torch.testing.assert_close(logits(network), edited, rtol=2e-3, atol=2e-3 * float(edited.abs().max()))
    network.save_pretrained(folder)
    again = type(network).from_pretrained(folder).eval()
    torch.testing.assert_close(logits(again), edited, rtol=2e-3, atol=2e-3 * float(edited.abs().max()))
    return "; ".join(told) or "works"


KINDS = [kind for kind in sorted(families.families()) if kind not in families.OUT_OF_SCOPE]


@pytest.mark.parametrize("kind", KINDS)
def test_family(kind: str, tmp_path: Path) -> None:
    if reason := families.NOT_BUILT.get(kind):
        pytest.skip(reason)
    found = outcome(kind, tmp_path)
    print(kind, found)
