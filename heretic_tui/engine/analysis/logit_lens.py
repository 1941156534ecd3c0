"""What directions say: the tokens that a direction raises and lowers when it goes through the final norm and the
unembedding (the logit lens)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from heretic_tui.engine.hooks import catch_outputs, catch_pairs, stream_out
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.layer_figures import ScoredTokens


@dataclass(frozen=True)
class Reading:
    """Tokens with their scores, strongest first."""

    raises: ScoredTokens
    lowers: ScoredTokens


class Lens:
    """Final norm and unembedding of a model.

    A direction's score for a token is what the token's logit gains when the stream at the last layer consists of the
    direction alone, over the mean of the vocabulary.
    """

    def __init__(self, model: ChatModel) -> None:
        self._head = model.unembedding
        self._norm = final_norm(model)
        self._model = model

    @property
    def has_norm(self) -> bool:
        return self._norm is not None

    def scores(self, directions: Tensor) -> Tensor:
        """Scores of all tokens, float32 on the CPU (n, vocabulary), for directions (n, hidden)."""
        parameter = next(self._head.parameters())
        # At the length that a norm expects, so that its epsilon changes nothing.
        stream = torch.nn.functional.normalize(directions.float(), dim=-1) * directions.shape[-1] ** 0.5
        with torch.inference_mode():
            stream = stream.to(parameter.device)
            # Half the difference of both signs: what biases of the norm and of the head add cancels.
            logits = (self._logits(stream) - self._logits(-stream)) / 2
        return (logits - logits.mean(dim=-1, keepdim=True)).cpu()

    def read(self, directions: Tensor, count: int = 10) -> list[Reading]:
        """The tokens that each direction raises and lowers most, for directions (n, hidden)."""
        readings = []
        # A few at a time: a row of scores for each layer of a large vocabulary would take much memory.
        for some in directions.split(16):
            for direction, scores in zip(some, self.scores(some), strict=True):
                if direction.any():
                    readings.append(Reading(*(self._words(scores * sign, sign, count) for sign in (1.0, -1.0))))
                else:
                    # The embedding of a template's last token: there is no direction, and nothing that it says.
                    readings.append(Reading((), ()))
        return readings

    def _words(self, scores: Tensor, sign: float, count: int) -> ScoredTokens:
        top = scores.topk(min(count, len(scores)))
        pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        return tuple((self._model.decode([token]), round(sign * value, 4)) for token, value in pairs)

    def _logits(self, stream: Tensor) -> Tensor:
        normed = stream.to(self._model.dtype)
        if self._norm is not None:
            normed = self._norm(normed)
        logits: Tensor = self._head(normed)
        return logits.float()


def final_norm(model: ChatModel) -> nn.Module | None:
    """The module between the last decoder layer and the unembedding, found by running a token: the first one after the
    last layer that is given that layer's output and returns the same shape. None where there is no such module."""
    layers = model.anatomy.layers
    inside = {id(module) for module in layers.modules()}
    last: list[Tensor] = []
    found: list[nn.Module] = []

    def ended(index: int, output: object) -> None:
        last[:] = [stream_out(output)]

    def after(module: nn.Module, given: Tensor, output: Tensor) -> None:
        if last and not found and output.shape == given.shape == last[0].shape and torch.equal(given, last[0]):
            found.append(module)

    outside = [
        module
        for module in model.network.modules()
        if id(module) not in inside and not any(module.children()) and not isinstance(module, nn.Dropout | nn.Identity)
    ]
    batch = model.batch([0], [[model.pad_token]])
    with catch_outputs([layers[-1]], ended), catch_pairs(outside, after), torch.inference_mode():
        model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
    return found[0] if found else None
