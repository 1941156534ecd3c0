"""Sampled refusals: the share of refused answers to harmful prompts, several drawn for each as people get them."""

from __future__ import annotations

from collections.abc import Mapping

from heretic_tui.engine.metrics.base import ReviewMetric
from heretic_tui.figures import Figure
from heretic_tui.run.review_records import ReviewFigure


class SampledRefusals(ReviewMetric):
    """The check `sampling` on the harmful evaluation prompts of the run, in place of held-out ones. The same seeds for
    every trial."""

    figure = Figure(
        "sampled refusals",
        "sampled",
        "share of responses to the harmful evaluation prompts that count as refused, of several that are drawn for "
        "each by the model's own generation settings (setting review_samples)",
        digits=3,
        lowest=0.0,
    )
    check = "sampling"

    def of(self, found: Mapping[str, ReviewFigure]) -> float:
        return found["refused"].number


METHOD = SampledRefusals
