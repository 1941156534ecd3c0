"""Figures of a review with their intervals: of counts, of shares, of means and of perplexities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from heretic_tui.engine.review.chance import mean_interval
from heretic_tui.engine.review.likelihood import Likelihood
from heretic_tui.run.review_records import Form, ReviewedAnswer, ReviewFigure
from heretic_tui.shares import share_interval

# The same values have the same interval.
SEED = 0


def count_figure(
    key: str,
    name: str,
    short: str,
    counted: Sequence[bool | None],
    better: Literal["low", "high"] | None = "low",
    if_any: bool = False,
) -> ReviewFigure:
    """How many of some prompts are counted, with Wilson's interval.

    Args:
        counted: for each prompt; None where nothing is known of it: the count is of the others.
    """
    known = [bool(each) for each in counted if each is not None]
    count, total = sum(known), len(known)
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
        values=[None if each is None else float(each) for each in counted],
        if_any=if_any,
    )


def refused_figure(key: str, name: str, short: str, answers: Sequence[ReviewedAnswer]) -> ReviewFigure:
    """How many of some answers are refused, by the run's judge."""
    return count_figure(key, name, short, [answer.verdict.refused for answer in answers])


def refused_by_language(key: str, name: str, answers: Sequence[ReviewedAnswer]) -> list[ReviewFigure]:
    """The same by the language of the prompts, where their source tells it."""
    languages = sorted({answer.language for answer in answers if answer.language})
    return [
        refused_figure(
            f"{key}_{language}",
            f"{name} ({language})",
            language,
            [answer for answer in answers if answer.language == language],
        )
        for language in languages
    ]


def mean_figure(
    key: str,
    name: str,
    short: str,
    values: Sequence[float],
    form: Form = "number",
    better: Literal["low", "high"] | None = "low",
    digits: int = 4,
) -> ReviewFigure:
    """The mean of some values, one a prompt, with its bootstrap interval. Of a share that is the same of every prompt,
    none or all, a bootstrap would know no other: there it is Wilson's of so many prompts."""
    interval = mean_interval(values, SEED)
    if form == "share" and values and (not any(values) or all(value == 1 for value in values)):
        interval = share_interval(round(sum(values)), len(values))
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


def perplexity_figure(key: str, name: str, short: str, likelihood: Likelihood) -> ReviewFigure:
    """The perplexity of some texts together, in which each token counts the same; texts of which no token is counted
    are left out. None for one that is beyond all numbers.

    Its logarithm is a ratio: of all nats by all tokens. What is drawn from for the interval is what each text adds to
    that, by its first-order terms: values whose mean is the ratio itself.
    """
    there = likelihood.tokens > 0
    nats, tokens = likelihood.nats[there], likelihood.tokens[there]
    ratio = float(nats.sum() / tokens.sum()) if len(tokens) else None
    values = [] if ratio is None else (ratio + (nats - ratio * tokens) / tokens.mean()).tolist()
    interval = mean_interval(values, SEED)
    low, high = (_exp(interval.low), _exp(interval.high)) if interval else (None, None)
    return ReviewFigure(
        key=key,
        name=name,
        short=short,
        value=None if ratio is None else _exp(ratio),
        of=len(values),
        low=None if high is None else low,
        high=high,
        digits=3,
        values=values,
        logarithms=True,
    )


def _exp(value: float) -> float | None:
    try:
        return math.exp(value)
    except OverflowError:
        return None


def _within(bound: float, form: Form) -> float:
    """A bound of a bootstrap interval; of a share it lies between 0 and 1."""
    return min(1.0, max(0.0, bound)) if form == "share" else bound
