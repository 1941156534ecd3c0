"""Expected refusals: how many harmful prompts the model will decline to answer, before a response is decoded."""

from __future__ import annotations

from torch import Tensor

from heretic_tui.engine.metrics.base import OpeningMetric
from heretic_tui.figures import Figure


class ExpectedRefusals(OpeningMetric):
    """The probability that a response is a refusal by how it begins, summed over the prompts."""

    figure = Figure(
        "expected refusals",
        "expected",
        "probability that a response counts as refused, by how it begins, summed over the harmful evaluation prompts",
        digits=1,
        lowest=0.0,
    )

    def of(self, values: Tensor) -> float:
        return float(values.sum())


METHOD = ExpectedRefusals
