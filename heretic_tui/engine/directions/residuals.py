"""Residuals of a prompt set: hidden states at the last prompt position of every prompt, and their means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely, rows_not_finite
from heretic_tui.engine.hooks import catch_inputs, catch_outputs, stream_out
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.model.chat_model import Batch, ChatModel
from heretic_tui.engine.model.in_turn import sent
from heretic_tui.work import ProgressReport


class Caught:
    """Residuals that a forward pass leaves behind, by residual index: index 0 is the embedding output, index l + 1 the
    output of layer l."""

    def __init__(self, model: ChatModel, ends: Sequence[int]) -> None:
        self._depth, self._width, self._rows = model.depth, model.hidden_size, len(ends)
        # On each device that the stream comes to.
        self._ends = {torch.device("cpu"): torch.tensor(ends)}
        self._found: dict[int, Tensor] = {}

    def keep(self, index: int, hidden: Tensor) -> None:
        """Take what stands at the last place of each row, from a stream (rows, tokens, hidden)."""
        rows, device = self._rows, hidden.device
        if device not in self._ends:
            self._ends[device] = sent(self._ends[torch.device("cpu")], device)
        # Some architectures go through their layers several times: the last pass is what the answer is made from.
        if hidden.ndim == 4 and len(hidden) != rows:
            hidden = hidden.movedim(0, 2)
        last = hidden[torch.arange(rows, device=device), self._ends[device]]
        # Where a token has several streams, what it says is their mean. It is fetched when the pass has ended: whoever
        # fetches it waits for the device.
        self._found[index] = last.float().reshape(rows, -1, self._width).mean(dim=1)

    @property
    def residuals(self) -> Tensor:
        """Float32 on the CPU, (rows, layers + 1, hidden); not looked at yet (`check_finite`)."""
        return torch.stack([self._found[index].cpu() for index in range(self._depth + 1)], dim=1)


@contextmanager
def catching(model: ChatModel, ends: Sequence[int]) -> Iterator[Caught]:
    """Within the block a forward pass leaves its residuals behind. They are caught by hooks on the layers: what models
    return as their last hidden state is mostly taken after the final norm, which is another space.

    Args:
        ends: the place of the last token of each row.
    """
    caught, layers = Caught(model, ends), model.anatomy.layers
    with (
        catch_inputs([layers[0]], lambda index, call: caught.keep(0, call.stream)),
        catch_outputs(layers, lambda index, output: caught.keep(index + 1, stream_out(output))),
    ):
        yield caught


def check_finite(residuals: Tensor, tokens: Tensor, rows: Sequence[int]) -> None:
    """
    Args:
        residuals: (rows, layers + 1, hidden).
        tokens: the most likely next token of each row (finite.py: most_likely).
        rows: the caller's.

    Raises:
        NotFiniteError: when residuals, or the logits computed from them, are not finite.
    """
    for what, lost in (
        ("residuals", rows_not_finite(residuals)),
        ("logits", (tokens == NO_TOKEN).nonzero()[:, 0].tolist()),
    ):
        if lost:
            raise NotFiniteError(lost, what).among(rows)


def last_residuals(model: ChatModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Residuals of one batch, float32 on the CPU, shape (rows, layers + 1, hidden), and the most likely next tokens,
    (rows,).

    Raises:
        NotFiniteError: when they, or the logits computed from them, are not finite.
    """
    with catching(model, [batch.ids.shape[1] - 1] * len(batch.rows)) as caught:
        logits = model.next_token_logits(batch.ids, batch.mask, batch.positions, None)
    found, tokens = caught.residuals, most_likely(logits)
    check_finite(found, tokens, batch.rows)
    return found, tokens


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
        each[batch.rows] = winsorize(last_residuals(model, batch)[0], quantile)

    model.in_batches(tokens, keep, progress)
    return Residuals(each.mean(dim=0, dtype=torch.float64), each)
