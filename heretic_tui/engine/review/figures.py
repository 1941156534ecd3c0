"""Figures of a review with their intervals: of counts, of shares and of means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from heretic_tui.engine.review.chance import mean_interval
from heretic_tui.run.reviews import Form, ReviewFigure
from heretic_tui.shares import share_interval

# The same values have the same interval.
SEED = 0


def count_figure(
    key: str, name: str, short: str, counted: Sequence[bool], better: Literal["low", "high"] | None = "low"
) -> ReviewFigure:
    """How many of some prompts are counted, with Wilson's interval."""
    count, total = sum(counted), len(counted)
    interval = share_interval(count, total)
    return ReviewFigure(
        key=key,
        name=name,
        short=short,
        value=count,
        form="count",
        of=total,
        low=interval.low * total if interval else None,
        high=interval.high * total if interval else None,
        better=better,
        values=[float(each) for each in counted],
    )


def mean_figure(
    key: str,
    name: str,
    short: str,
    values: Sequence[float],
    form: Form = "number",
    better: Literal["low", "high"] | None = "low",
    digits: int = 4,
) -> ReviewFigure:
    """The mean of some values, one a prompt, with its bootstrap interval."""
    interval = mean_interval(values, SEED)
    return ReviewFigure(
        key=key,
        name=name,
        short=short,
        value=sum(values) / len(values) if values else None,
        form=form,
        of=len(values),
        low=_within(interval.low, form) if interval else None,
        high=_within(interval.high, form) if interval else None,
        better=better,
        digits=digits,
        values=[float(value) for value in values],
    )


def _within(bound: float, form: Form) -> float:
    """A bound of a bootstrap interval; of a share it lies between 0 and 1."""
    return min(1.0, max(0.0, bound)) if form == "share" else bound
