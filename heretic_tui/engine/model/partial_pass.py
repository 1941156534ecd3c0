"""A forward pass that begins at a layer: what the layers below would compute is known from an earlier pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from heretic_tui.engine.model.chat_model import Batch, ChatModel


@contextmanager
def changed_output(layer: nn.Module, change: Any) -> Iterator[None]:
    """Within the block, `change` is applied to the stream (rows, tokens, hidden) that the layer puts out."""

    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


class PartialPass:
    """One batch, run once in full, and then from any layer on.

    Args:
        whole: always run all layers; for models that `replays_exactly` found wanting.

    Attributes:
        logits: of the full pass, float32 (rows, vocabulary).
    """

    def __init__(self, model: ChatModel, batch: Batch, whole: bool = False) -> None:
        self._model = model
        self._batch = batch
        self._whole = whole
        self._inputs: list[Tensor] = []
        hooks = [layer.register_forward_pre_hook(self._keep, with_kwargs=True) for layer in model.anatomy.layers]
        try:
            self.logits = self._forward()
        finally:
            for hook in hooks:
                hook.remove()

    def logits_from(self, start: int) -> Tensor:
        """Logits of the token after the last with whatever is attached to the model now, layers below `start` left
        out: nothing may be attached to those."""
        layers = self._model.anatomy.layers
        if self._whole or start == 0:
            return self._forward()
        entry = layers[start].register_forward_pre_hook(self._enter(self._inputs[start]), with_kwargs=True)
        # Hidden states in, the same out: the module's own forward is back when its attribute is gone.
        before = {layer: layer.__dict__.get("forward") for layer in layers[:start]}
        for layer in before:
            layer.forward = _pass_on  # type: ignore[method-assign]
        try:
            return self._forward()
        finally:
            entry.remove()
            for layer, forward in before.items():
                if forward is None:
                    del layer.forward
                else:
                    layer.forward = forward  # type: ignore[method-assign]

    def _forward(self) -> Tensor:
        batch = self._batch
        return self._model.next_token_logits(batch.ids, batch.mask, batch.positions, None)

    def _keep(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._inputs.append(args[0] if args else kwargs["hidden_states"])

    def _enter(self, hidden: Tensor) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return ((hidden, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": hidden})

        return hook


def replays_exactly(model: ChatModel, batch: Batch) -> bool:
    """Whether a pass that begins in the middle, or at the last layer, gives what the full one gives. Not so where
    layers hand each other more than the stream, or return something else than hidden states."""
    replay = PartialPass(model, batch)
    try:
        starts = [replay.logits_from(start) for start in {model.depth // 2, model.depth - 1}]
    except Exception:  # an architecture's own code falls over what it was not given
        return False
    return all(torch.allclose(logits, replay.logits, rtol=1e-4, atol=1e-4) for logits in starts)


def _pass_on(*args: Any, **kwargs: Any) -> Tensor:
    hidden: Tensor = args[0] if args else kwargs["hidden_states"]
    return hidden
