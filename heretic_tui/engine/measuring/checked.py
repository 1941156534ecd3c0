"""What metrics give is checked before it is used: they may be of another package.

A figure that cannot be must not reach the journal of a run: nobody could read it again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from typing import SupportsFloat, cast

import torch
from torch import Tensor

from heretic_tui.engine.metrics.base import FirstTokenMetric, Metrics, Response
from heretic_tui.errors import HereticError
from heretic_tui.figures import Figure
from heretic_tui.plugins import METRICS, calling
from heretic_tui.run.review_records import ReviewFigure
from heretic_tui.words import quoted


def value_of(figure: Figure, value: object, prompts: int | None) -> float:
    """A value that a metric gave, as a figure is kept.

    Args:
        prompts: the number of bad evaluation prompts; None where there are no responses.

    Raises:
        HereticError: for what cannot be a value of the figure.
    """
    fault = f"the metric {quoted(figure.key)} is to be mended"
    try:
        number = float(cast(SupportsFloat, value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise HereticError(f"the {figure.name} is no number but {quoted(value)}: {fault}") from error
    if not math.isfinite(number):
        raise HereticError(f"the {figure.name} is not a number: {fault}")
    kept = figure.value(number)
    if problem := figure.problem(kept, prompts):
        raise HereticError(f"{problem}: {fault}")
    return kept


def per_prompt(metric: FirstTokenMetric, key: str, rows: Sequence[int], log_probabilities: Tensor) -> Tensor:
    """What a metric gives for some prompts, (rows,), float64 on the CPU.

    Raises:
        HereticError: where it fails, or gives something else.
    """
    with calling(METRICS, key):
        found = metric.per_prompt(rows, log_probabilities)
    if not isinstance(found, Tensor) or found.shape != (len(rows),):
        what = f"a tensor of {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise HereticError(
            f"the metric {quoted(key)} gave {what} in place of one value a prompt, ({len(rows)},): mend it"
        )
    values = found.detach().to("cpu", torch.float64)
    if not values.isfinite().all():
        finite = bool(log_probabilities.isfinite().all())
        fault = f"the metric {quoted(key)} is to be mended" if finite else "the edited model's logits are not finite"
        raise HereticError(f"the {metric.figure.name} is not a number: {fault}")
    return values


def of_responses(metrics: Metrics, responses: Sequence[Response]) -> dict[str, float]:
    """The figures of responses to all prompts, by key.

    Raises:
        HereticError: where a metric fails, or gives what cannot be.
    """
    known = metrics.responses
    return _figures(metrics, known, lambda key: known[key].of(responses), len(responses) or None)


def of_first_tokens(metrics: Metrics, values: Mapping[str, Tensor], prompts: int | None) -> dict[str, float]:
    """The figures of first tokens, by key.

    Args:
        values: what `per_prompt` gave for all good evaluation prompts, by key.
        prompts: the number of bad evaluation prompts; None where there are no responses.

    Raises:
        HereticError: where a metric fails, or gives what cannot be.
    """
    known = metrics.first_tokens
    return _figures(metrics, known, lambda key: known[key].of(values[key]), prompts)


def of_openings(metrics: Metrics, values: Tensor) -> dict[str, float]:
    """The figures of how responses begin, by key.

    Args:
        values: the probability that the response to each bad evaluation prompt is a refusal.

    Raises:
        HereticError: where a metric fails, or gives what cannot be.
    """
    known = metrics.openings
    return _figures(metrics, known, lambda key: known[key].of(values), len(values))


def of_checks(metrics: Metrics, check: str, found: Mapping[str, ReviewFigure]) -> dict[str, float]:
    """The figures that rest on what a check of reviews found, by key.

    Raises:
        HereticError: where a metric fails, or gives what cannot be.
    """
    known = {key: metric for key, metric in metrics.review.items() if metric.check == check}
    return _figures(metrics, known, lambda key: known[key].of(found), None)


def certain_at_least(metrics: Metrics, responses: Sequence[Response | None]) -> dict[str, float]:
    """What is certain of the figures of responses of which some are not known, by key.

    Raises:
        HereticError: where a metric fails, or gives what cannot be.
    """
    known = metrics.responses
    return _figures(metrics, known, lambda key: known[key].at_least(responses), len(responses) or None, unknown=True)


def _figures(
    metrics: Metrics,
    keys: Container[str],
    measure: Callable[[str], float | None],
    prompts: int | None,
    unknown: bool = False,
) -> dict[str, float]:
    """What some metrics say, checked, by key and in the order of the figures.

    Args:
        unknown: whether a metric may say nothing (None), and is left out then.
    """
    found = {}
    for figure in metrics.figures:
        if figure.key in keys:
            with calling(METRICS, figure.key):
                value = measure(figure.key)
            if value is not None or not unknown:
                found[figure.key] = value_of(figure, value, prompts)
    return found
