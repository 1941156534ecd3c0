"""Broken: how many responses to the harmful evaluation prompts are no usable text: loops, nothing, or garbage."""

from __future__ import annotations

from collections.abc import Sequence

from heretic_tui.engine.metrics.base import Response, ResponseMetric
from heretic_tui.figures import Figure


class Broken(ResponseMetric):
    """The number of responses that are broken as texts, where the judge finds no refusal in them."""

    figure = Figure(
        "broken responses",
        "broken",
        "greedy responses to the harmful evaluation prompts, up to {length} tokens each, that repeat themselves, say "
        "nothing or are garbage",
        counted=True,
        verb="breaks",
        participle="broken",
    )

    def of(self, responses: Sequence[Response]) -> int:
        return self.at_least(responses)

    def at_least(self, responses: Sequence[Response | None]) -> int:
        return sum(response is not None and response.verdict.broken is not None for response in responses)


METHOD = Broken
