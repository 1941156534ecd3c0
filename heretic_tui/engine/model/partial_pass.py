"""A forward pass that begins at a layer: what the layers below would compute is known from an earlier pass."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from heretic_tui.engine.hooks import begin_at, catch_outputs
from heretic_tui.engine.model.chat_model import Batch, ChatModel

log = logging.getLogger(__name__)


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
        self._outputs: dict[int, object] = {}
        with catch_outputs([] if whole else model.anatomy.layers, self._outputs.__setitem__):
            self.logits = self._forward()

    def logits_from(self, start: int) -> Tensor:
        """Logits of the token after the last with whatever is attached to the model now, layers below `start` left
        out: nothing may be attached to those."""
        if self._whole or start == 0:
            return self._forward()
        with begin_at(self._model.anatomy.layers, start, self._outputs[start - 1]):
            return self._forward()

    def _forward(self) -> Tensor:
        batch = self._batch
        return self._model.next_token_logits(batch.ids, batch.mask, batch.positions, None)


def replays_exactly(model: ChatModel, batch: Batch) -> bool:
    """Whether a pass that begins in the middle, or at the last layer, gives what the full one gives. Not so where
    layers hand each other more than the stream."""
    replay = PartialPass(model, batch)
    try:
        starts = [replay.logits_from(start) for start in {model.depth // 2, model.depth - 1}]
    except Exception:
        # Whatever an architecture's own code raises where it misses what a layer that was left out would have set.
        log.info("no pass can begin at a layer", exc_info=True)
        return False
    return all(torch.allclose(logits, replay.logits, rtol=1e-4, atol=1e-4) for logits in starts)
