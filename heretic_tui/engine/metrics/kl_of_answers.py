"""KL of answers: the KL divergence over the first tokens of the original model's own answers to harmless prompts."""

from __future__ import annotations

from collections.abc import Mapping

from heretic_tui.engine.metrics.base import ReviewMetric
from heretic_tui.figures import Figure
from heretic_tui.run.review_records import ReviewFigure


class KlOfAnswers(ReviewMetric):
    """The check `damage` on the harmless evaluation prompts of the run, in place of held-out ones."""

    figure = Figure(
        "KL of answers",
        "KL answers",
        "mean over the harmless evaluation prompts of KL(original ‖ edited) along the first tokens of the original "
        "model's greedy answer (setting review_kl_tokens), in nats",
        lowest=0.0,
    )
    check = "damage"

    def of(self, found: Mapping[str, ReviewFigure]) -> float:
        return found["kl"].number


METHOD = KlOfAnswers
