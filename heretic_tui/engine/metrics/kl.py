"""KL divergence from the base model: how much an edit changes answers to harmless prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from heretic_tui.engine.metrics import Progress
from heretic_tui.engine.model import Batch, ChatModel, Tokens
from heretic_tui.runtime.rundir import RunFolder, replaced


class KLDivergence:
    """Mean over the prompts of KL(base ‖ edited), in nats, of the next-token distribution at the first response
    position, from raw float32 logits over the whole vocabulary."""

    name = "KL divergence"

    def __init__(self, tokens: Sequence[Tokens]) -> None:
        self._tokens = tokens
        self._base: Tensor | None = None

    @property
    def base(self) -> Tensor:
        """Log-probabilities of the base model, float32 on the CPU, (prompts, vocabulary)."""
        assert self._base is not None, "the base model has not been measured"
        return self._base

    def measure_base(self, model: ChatModel, progress: Progress) -> None:
        parts: dict[int, Tensor] = {}

        def keep(batch: Batch) -> None:
            parts.update(zip(batch.rows, _log_probabilities(model, batch).cpu(), strict=True))

        model.in_batches(self._tokens, keep, progress)
        self._base = torch.stack([parts[row] for row in range(len(parts))])

    def measure(self, model: ChatModel, progress: Progress) -> float:
        """The divergence; NaN where the edited model's logits are not numbers."""
        values = torch.zeros(len(self._tokens), dtype=torch.float64)

        def compare(batch: Batch) -> None:
            edited = _log_probabilities(model, batch)
            values[batch.rows] = kl_divergence(self.base[batch.rows].to(edited.device), edited).double().cpu()

        model.in_batches(self._tokens, compare, progress)
        # The exact value cannot be negative; rounding of an edit of nothing can.
        return float(values.mean().clamp(min=0))

    def certain(self) -> int:
        """Number of prompts whose first token the base model is sure of (p > 0.999): they can hardly diverge."""
        return int((self.base.max(dim=-1).values > -0.001).sum())

    def save(self, folder: RunFolder) -> None:
        with replaced(folder.baseline) as beside:
            save_file({"log_probabilities": self.base}, beside)

    def restore(self, folder: RunFolder) -> bool:
        if folder.baseline.is_file():
            self._base = load_file(folder.baseline)["log_probabilities"]
        return self._base is not None


def kl_divergence(base: Tensor, edited: Tensor) -> Tensor:
    """KL(base ‖ edited) per row from log-probabilities (rows, vocabulary); tokens that the base rules out add 0."""
    difference = torch.where(torch.isneginf(base), torch.zeros_like(base), base - edited)
    return (base.exp() * difference).sum(dim=-1)


def _log_probabilities(model: ChatModel, batch: Batch) -> Tensor:
    return torch.log_softmax(model.next_token_logits(batch.ids, batch.mask, batch.positions, None), dim=-1)
