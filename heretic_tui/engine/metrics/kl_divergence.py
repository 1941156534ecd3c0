"""KL divergence from the base model: how much an edit changes answers to harmless prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from heretic_tui.engine.metrics.base import FirstTokenMetric
from heretic_tui.figures import Figure

# Log-probability of a token that the base model is sure of (p > 0.999).
_SURE = -0.001


class KLDivergence(FirstTokenMetric):
    """Mean over the prompts of KL(base ‖ edited), in nats, of the next-token distribution at the first response
    position, from raw float32 logits over the whole vocabulary."""

    figure = Figure(
        "KL divergence",
        "KL",
        "mean over the harmless evaluation prompts of KL(original ‖ edited) of the first response token, in nats",
        lowest=0.0,
    )

    def __init__(self) -> None:
        self._base: Tensor | None = None

    def take_base(self, base: Tensor) -> None:
        self._base = base

    def per_prompt(self, rows: Sequence[int], log_probabilities: Tensor) -> Tensor:
        assert self._base is not None, "the base model has not been measured"
        return kl_divergence(self._base[list(rows)].to(log_probabilities.device), log_probabilities)

    def of(self, values: Tensor) -> float:
        # The exact value cannot be negative; rounding of an edit of nothing can.
        return float(values.mean().clamp(min=0))

    def notes(self) -> Sequence[str]:
        if self._base is None:
            return ()
        sure, total = int((self._base.max(dim=-1).values > _SURE).sum()), len(self._base)
        if sure <= total / 2:
            return ()
        # Where the base model is sure of the first token, an edit can hardly change it.
        return (
            f"the original model is certain of the first token for {sure} of {total} harmless prompts, so the KL "
            "divergence says little: set --response-prefix to what responses begin with",
        )


METHOD = KLDivergence


def kl_divergence(base: Tensor, edited: Tensor) -> Tensor:
    """KL(base ‖ edited) per row from log-probabilities (rows, vocabulary); tokens that the base rules out add 0."""
    difference = torch.where(torch.isneginf(base), torch.zeros_like(base), base - edited)
    return (base.exp() * difference).sum(dim=-1)
