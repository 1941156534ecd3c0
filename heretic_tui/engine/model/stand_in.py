"""A stand-in for a model: its whole network with random weights, of which layers of one kind share a few. It computes
as long as the model does, in a fraction of the memory, and no weight file is read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from heretic_tui.engine.anatomy.writers import find_layers
from heretic_tui.errors import HereticError
from heretic_tui.words import size_words

# Layers get weights of their own up to so many bytes: what is read again and again from the cache of a processor is
# faster than a model is.
_OWN = 1 << 29
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Shared:
    """How a stand-in is filled.

    Attributes:
        sources: by the index of each layer, the index of that whose weights it has.
        bytes: of all weights, those that are shared counted once.
    """

    sources: tuple[int, ...]
    bytes: int

    @property
    def layers(self) -> int:
        """How many layers have weights of their own."""
        return len(set(self.sources))


def shared_layers(network: PreTrainedModel, dtype: torch.dtype, own: int = _OWN) -> Shared:
    """Which layers of a network, which may be on the meta device, are to share weights.

    Args:
        dtype: of the weights in memory.
        own: bytes up to which layers have their own.

    Raises:
        UsageError: where the layers are not found.
    """
    _, layers = find_layers(network)
    kinds: dict[tuple[tuple[str, tuple[int, ...]], ...], list[int]] = {}
    sources, taken = [], 0
    for index, layer in enumerate(layers):
        parameters = dict(layer.named_parameters())
        same = kinds.setdefault(tuple((name, tuple(each.shape)) for name, each in parameters.items()), [])
        size = sum(each.numel() * _size(each, dtype) for each in parameters.values())
        if not same or taken + size <= own:
            same.append(index)
            taken += size
            sources.append(index)
        else:
            # In turns, so that none is at hand from the layer before.
            sources.append(same[index % len(same)])
    outside = {id(each): each.numel() * _size(each, dtype) for each in _outside(network).values()}
    return Shared(tuple(sources), taken + sum(outside.values()))


def fill(network: PreTrainedModel, shared: Shared, dtype: torch.dtype, device: torch.device, free: int) -> None:
    """Give a network on the meta device random weights, in place. What text does not come through (towers for images
    and sounds) stays without.

    Args:
        free: bytes that may be taken.

    Raises:
        HereticError: where there are fewer.
    """
    if shared.bytes > free:
        raise HereticError(
            f"a stand-in for the model takes {size_words(shared.bytes)} of memory, and {size_words(free)} may be used"
        )
    block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    _, layers = find_layers(network)
    made: dict[int, nn.Parameter] = {}

    def new(parameter: Tensor) -> nn.Parameter:
        # Tied ones stay one.
        if id(parameter) not in made:
            made[id(parameter)] = _random(parameter, block, dtype, device)
        return made[id(parameter)]

    for name, parameter in _outside(network).items():
        _put(network, name, new(parameter))
    for index, layer in enumerate(layers):
        source = shared.sources[index]
        for name, parameter in dict(layers[source].named_parameters()).items():
            _put(layer, name, new(parameter) if source == index else parameter)
    for module in network.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.zeros_like(buffer, device=device))
        # It was marked as done when there was nothing to fill in.
        module._is_hf_initialized = False  # type: ignore[assignment]
    # What is computed from the configuration, such as the frequencies of positions; parameters are marked as done.
    network.initialize_weights()
    network.eval().requires_grad_(False)


def _outside(network: PreTrainedModel) -> dict[str, Tensor]:
    """The parameters that text comes through besides the layers, by their paths."""
    path, _ = find_layers(network)
    owner = path.rpartition(".")[0]
    inner = f"{path}."
    heads = [module for module in (network.get_input_embeddings(), network.get_output_embeddings()) if module]
    ends = {id(parameter) for module in heads for parameter in module.parameters()}
    return {
        name: parameter
        for name, parameter in network.named_parameters(remove_duplicate=False)
        if not name.startswith(inner) and (not owner or name.startswith(f"{owner}.") or id(parameter) in ends)
    }


def _size(parameter: Tensor, dtype: torch.dtype) -> int:
    return dtype.itemsize if parameter.is_floating_point() else parameter.dtype.itemsize


def _random(parameter: Tensor, block: Tensor, dtype: torch.dtype, device: torch.device) -> nn.Parameter:
    """A parameter of the same shape, its numbers such that a product is as large as what it is made of."""
    if parameter.ndim < 2 or not parameter.is_floating_point():
        kept = dtype if parameter.is_floating_point() else parameter.dtype
        found = torch.ones(parameter.shape, dtype=kept, device=device)
    else:
        found = torch.empty(parameter.shape, dtype=dtype, device=device)
        # Random numbers for billions of weights would take longer than what is to be measured.
        scaled = block * parameter.shape[-1] ** -0.5
        for piece in found.view(-1).split(len(block)):
            piece.copy_(scaled[: len(piece)])
    made = nn.Parameter(found, requires_grad=False)
    made._is_hf_initialized = True  # type: ignore[attr-defined]
    return made


def _put(module: nn.Module, name: str, parameter: Tensor) -> None:
    owner, _, key = name.rpartition(".")
    setattr(module.get_submodule(owner), key, parameter)
