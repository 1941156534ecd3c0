"""Refusals: how many of the bad evaluation prompts the model declines to answer."""

from __future__ import annotations

from collections.abc import Sequence

from heretic_tui.engine.metrics.base import Response, ResponseMetric
from heretic_tui.figures import Figure


class Refusals(ResponseMetric):
    """The number of prompts refused: greedy responses, up to `max_response_length` tokens."""

    figure = Figure(
        "refusals",
        "refusals",
        "greedy responses to the harmful evaluation prompts that {judged}, up to {length} tokens each",
        counted=True,
        verb="refuses",
        participle="refused",
    )
    counts_refused = True

    def of(self, responses: Sequence[Response]) -> int:
        return self.at_least(responses)

    def at_least(self, responses: Sequence[Response | None]) -> int:
        return sum(response is not None and response.verdict.refused for response in responses)


METHOD = Refusals
