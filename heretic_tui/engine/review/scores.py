"""What a model reached in a benchmark: figures with their standard errors, and item by item, from what
lm-evaluation-harness gives back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Figure:
    """One figure of a task.

    Attributes:
        metric: as the harness calls it, with the filter in brackets where the answers went through one.
        error: the harness's own standard error; None where it gives none.
        higher_is_better: None where the harness does not say.
        by_item: what the figure is the mean of, (items,) in the order of the items, so that two models can be compared
            item by item; None where it is no mean of numbers.
    """

    metric: str
    value: float
    error: float | None
    higher_is_better: bool | None
    by_item: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Score:
    """What a model reached in a task.

    Attributes:
        items: how many it was asked; 0 where there is a problem.
        figures: in the harness's order; none for a tag, or a group that has no figure of its own.
        parts: the tasks of a group or a tag.
        problem: why there is no score, in one line.
    """

    task: str
    items: int = 0
    figures: tuple[Figure, ...] = ()
    parts: tuple[Score, ...] = ()
    problem: str | None = None

    @property
    def main(self) -> Figure | None:
        """The figure that is shown where there is room for one: the first, or that in which the length of an answer
        does not count (acc_norm)."""
        found = next((figure for figure in self.figures if figure.metric == "acc_norm"), None)
        return found or next(iter(self.figures), None)


def scored(name: str, tasks: Iterable[str], results: Mapping[str, Any]) -> Score:
    """
    Args:
        name: of a task, a group or a tag.
        tasks: the tasks that it stands for.
        results: what the harness gives back: dictionaries of `results`, `samples` and `higher_is_better` by task.
    """
    parts = tuple(_part(part, results) for part in tasks)
    if len(parts) == 1 and parts[0].task == name:
        return parts[0]
    own = results["results"].get(name, {})
    figures = _figures(name, own, results, lambda metric: _of_parts(parts, metric))
    return Score(name, sum(part.items for part in parts), figures, parts)


def _part(name: str, results: Mapping[str, Any]) -> Score:
    own, samples = results["results"][name], results["samples"][name]

    def by_item(metric: str) -> list[float | None]:
        key, _, chosen = metric.partition(",")
        some = [sample for sample in samples if sample["filter"] == chosen and key in sample]
        return [_number(sample[key]) for sample in sorted(some, key=lambda sample: sample["doc_id"])]

    return Score(name, int(own["sample_len"]), _figures(name, own, results, by_item))


def _figures(
    name: str, own: Mapping[str, Any], results: Mapping[str, Any], by_item: Callable[[str], list[float | None]]
) -> tuple[Figure, ...]:
    better = results["higher_is_better"].get(name) or {}
    figures = []
    for key, value in own.items():
        metric, comma, chosen = key.partition(",")
        number = _number(value)
        if not comma or metric.endswith("_stderr") or number is None:
            continue
        shown = metric if chosen == "none" else f"{metric} ({chosen})"
        error = _number(own.get(f"{metric}_stderr,{chosen}"))
        figures.append(Figure(shown, number, error, better.get(metric), _mean_of(by_item(key), number)))
    return tuple(figures)


def _of_parts(parts: Sequence[Score], key: str) -> list[float | None]:
    metric, _, chosen = key.partition(",")
    shown = metric if chosen == "none" else f"{metric} ({chosen})"
    values: list[float | None] = []
    for part in parts:
        figure = next((figure for figure in part.figures if figure.metric == shown), None)
        values += [None] if figure is None or figure.by_item is None else figure.by_item.tolist()
    return values


def _mean_of(values: Sequence[float | None], mean: float) -> NDArray[np.float64] | None:
    """The values, where all are numbers and that is their mean."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    array = np.array(known, dtype=np.float64)
    return array if math.isclose(float(array.mean()), mean, rel_tol=1e-9, abs_tol=1e-12) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool | int | float | np.bool_ | np.number) and math.isfinite(value):
        return float(value)
    return None
