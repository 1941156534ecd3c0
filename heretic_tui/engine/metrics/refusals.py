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

    def __init__(self) -> None:
        self._base: Sequence[Response] = ()

    def take_base(self, base: Sequence[Response]) -> None:
        self._base = base

    def of(self, responses: Sequence[Response]) -> int:
        return self.at_least(responses)

    def at_least(self, responses: Sequence[Response | None]) -> int:
        return sum(response is not None and response.verdict.refused for response in responses)

    def notes(self) -> Sequence[str]:
        if self.of(self._base):
            return ()
        return (f"the original model {self.behaviour.none_counted} evaluation prompts: there is nothing to search for",)


METHOD = Refusals
