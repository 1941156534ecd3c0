"""Benchmark: what is missing to a full score in benchmarks of lm-evaluation-harness, in the mean over them."""

from __future__ import annotations

from collections.abc import Mapping

from heretic_tui.engine.metrics.base import ReviewMetric
from heretic_tui.errors import HereticError
from heretic_tui.figures import Figure
from heretic_tui.run.review_records import ReviewFigure


class Benchmark(ReviewMetric):
    """The check `benchmarks`: its tasks have prompts of their own."""

    figure = Figure(
        "benchmark loss",
        "benchmark",
        "1 minus the mean of the main figures of some benchmarks (setting review_tasks)",
        lowest=0.0,
    )
    check = "benchmarks"

    def of(self, found: Mapping[str, ReviewFigure]) -> float:
        # Parts of a group are known by the group's key and theirs; of one without a figure of its own they count.
        own = [figure for figure in found.values() if figure.key == figure.short]
        scores = own or list(found.values())
        if other := [score for score in scores if score.form != "share" or score.better != "high"]:
            raise HereticError(f"{other[0].name} is no score from 0 to 1 that is to be high: choose other review_tasks")
        return 1 - sum(score.number for score in scores) / len(scores)


METHOD = Benchmark
