"""Changed answers: the share of harmless prompts whose greedy answer becomes another one within its first tokens."""

from __future__ import annotations

from collections.abc import Mapping

from heretic_tui.engine.metrics.base import ReviewMetric
from heretic_tui.figures import Figure
from heretic_tui.run.review_records import ReviewFigure


class ChangedAnswers(ReviewMetric):
    """The check `damage` on the harmless evaluation prompts of the run, in place of held-out ones."""

    figure = Figure(
        "changed answers",
        "changed",
        "share of the harmless evaluation prompts whose greedy answer differs from the original model's within 20 "
        "tokens",
        digits=3,
        lowest=0.0,
    )
    check = "damage"

    def of(self, found: Mapping[str, ReviewFigure]) -> float:
        changed = found["changed"]
        return changed.number / changed.of if changed.of else 0.0


METHOD = ChangedAnswers
