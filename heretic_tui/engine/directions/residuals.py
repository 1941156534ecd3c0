"""Residuals of a prompt set: hidden states at the last prompt position of every prompt, and their means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely, rows_not_finite
from heretic_tui.engine.hooks import catch_inputs, catch_outputs, stream_out
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.model.chat_model import Batch, ChatModel
from heretic_tui.work import ProgressReport


def last_residuals(model: ChatModel, batch: Batch) -> Tensor:
    """Residuals of one batch, float32 on the CPU, shape (rows, layers + 1, hidden).

    Index 0 is the embedding output, index l + 1 the output of layer l. They are caught by hooks on the layers: what
    models return as their last hidden state is mostly taken after the final norm, which is another space.

    Raises:
        NotFiniteError: when they, or the logits computed from them, are not finite.
    """
    caught: dict[int, Tensor] = {}
    rows, width = len(batch.rows), model.hidden_size

    def keep(index: int, hidden: Tensor) -> None:
        # Some architectures go through their layers several times: the last pass is what the answer is made from.
        if hidden.ndim == 4 and len(hidden) != rows:
            hidden = hidden.movedim(0, 2)
        # Where a token has several streams, what it says is their mean.
        caught[index] = hidden[:, -1].float().reshape(rows, -1, width).mean(dim=1).cpu()

    layers = model.anatomy.layers
    with (
        catch_inputs([layers[0]], lambda index, call: keep(0, call.stream)),
        catch_outputs(layers, lambda index, output: keep(index + 1, stream_out(output))),
    ):
        logits = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
    found = torch.stack([caught[index] for index in range(len(layers) + 1)], dim=1)
    for what, lost in (
        ("residuals", rows_not_finite(found)),
        ("logits", (most_likely(logits) == NO_TOKEN).nonzero()[:, 0].tolist()),
    ):
        if lost:
            raise NotFiniteError(lost, what).among(batch.rows)
    return found


def winsorize(residuals: Tensor, quantile: float) -> Tensor:
    """Clamp every residual, prompt by prompt and layer by layer, to the given quantile of its own magnitudes.

    A few components of the stream are hundreds of times larger than the rest in some models and dominate a mean.
    Shape in and out (rows, layers + 1, hidden); a quantile of 1 changes nothing.
    """
    if quantile >= 1.0:
        return residuals
    limit = torch.quantile(residuals.abs(), quantile, dim=-1, keepdim=True)
    return residuals.clamp(-limit, limit)


@dataclass(frozen=True)
class Residuals:
    """Residuals of a prompt set after winsorising.

    Shapes: mean (layers + 1, hidden) float64; each (prompts, layers + 1, hidden) float32, on the CPU.
    """

    mean: Tensor
    each: Tensor

    def along(self, directions: Tensor) -> Tensor:
        """Component of every residual along its layer's direction, float32 (prompts, layers + 1)."""
        return torch.einsum("nld,ld->nl", self.each, directions).contiguous()


def gather_residuals(
    model: ChatModel, tokens: Sequence[Tokens], quantile: float = 1.0, progress: ProgressReport | None = None
) -> Residuals:
    """Residuals of a prompt set per layer; the mean is accumulated in float64, independent of the batches."""
    each = torch.empty(len(tokens), model.depth + 1, model.hidden_size)

    def keep(batch: Batch) -> None:
        each[batch.rows] = winsorize(last_residuals(model, batch), quantile)

    model.in_batches(tokens, keep, progress)
    return Residuals(each.mean(dim=0, dtype=torch.float64), each)
