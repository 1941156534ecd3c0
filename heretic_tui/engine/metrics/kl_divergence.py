"""KL divergence from the base model: how much an edit changes answers to harmless prompts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from heretic_tui.engine.finite import NO_TOKEN, NotFiniteError, most_likely
from heretic_tui.engine.tensor_files import keep_tensors, kept_tensors
from heretic_tui.errors import UsageError
from heretic_tui.run.folder import RunFolder


class KLDivergence:
    """Mean over the prompts of KL(base ‖ edited), in nats, of the next-token distribution at the first response
    position, from raw float32 logits over the whole vocabulary."""

    name = "KL divergence"

    def __init__(self, prompts: int) -> None:
        self._prompts = prompts
        self._base: Tensor | None = None

    @property
    def base(self) -> Tensor:
        """Log-probabilities of the base model, float32 on the CPU, (prompts, vocabulary)."""
        assert self._base is not None, "the base model has not been measured"
        return self._base

    def set_base(self, logits: Iterable[tuple[Sequence[int], Tensor]]) -> None:
        """Keep the base model's log-probabilities.

        Args:
            logits: rows, and their logits (rows, vocabulary), until all prompts are covered.

        Raises:
            NotFiniteError: with all rows for which they are no numbers.
        """
        parts: dict[int, Tensor] = {}
        lost: list[int] = []
        for rows, found in logits:
            lost += [row for row, token in zip(rows, most_likely(found).tolist(), strict=True) if token == NO_TOKEN]
            parts.update(zip(rows, torch.log_softmax(found, dim=-1).cpu(), strict=True))
        if lost:
            raise NotFiniteError(sorted(lost))
        self._base = torch.stack([parts[row] for row in range(self._prompts)])

    def of(self, logits: Iterable[tuple[Sequence[int], Tensor]]) -> float:
        """The divergence of an edited model from its logits, as for `set_base`; NaN where they are not numbers."""
        values = torch.zeros(self._prompts, dtype=torch.float64)
        for rows, found in logits:
            edited = torch.log_softmax(found, dim=-1)
            values[list(rows)] = kl_divergence(self.base[list(rows)].to(edited.device), edited).double().cpu()
        # The exact value cannot be negative; rounding of an edit of nothing can.
        return float(values.mean().clamp(min=0))

    def certain(self) -> int:
        """Number of prompts whose first token the base model is sure of (p > 0.999): they can hardly diverge."""
        return int((self.base.max(dim=-1).values > -0.001).sum())

    def save(self, folder: RunFolder) -> None:
        keep_tensors(folder, folder.baseline, {"log_probabilities": self.base})

    def restore(self, folder: RunFolder) -> bool:
        found = kept_tensors(folder, folder.baseline, "log_probabilities")
        if found is None:
            return False
        base = found["log_probabilities"]
        if base.dtype != torch.float32 or base.ndim != 2 or len(base) != self._prompts or base.isnan().any():
            raise UsageError(f"{folder.baseline} is damaged (it holds no log-probabilities of {self._prompts} prompts)")
        self._base = base
        return True


def kl_divergence(base: Tensor, edited: Tensor) -> Tensor:
    """KL(base ‖ edited) per row from log-probabilities (rows, vocabulary); tokens that the base rules out add 0."""
    difference = torch.where(torch.isneginf(base), torch.zeros_like(base), base - edited)
    return (base.exp() * difference).sum(dim=-1)
