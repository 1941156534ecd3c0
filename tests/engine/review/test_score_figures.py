"""Figures of benchmarks as those of a review."""

from __future__ import annotations

import math

import numpy as np
import pytest

from heretic_tui.engine.review.score_figures import figures_of, notes_of
from heretic_tui.engine.review.scores import Figure, Score


def score(
    name: str, value: float, values: list[float] | None, metric: str = "acc", error: float | None = 0.1, **more: object
) -> Score:
    higher = more.get("higher", True)
    assert higher is None or isinstance(higher, bool)
    return Score(name, 4, (Figure(metric, value, error, higher, None if values is None else np.array(values)),))


@pytest.mark.parametrize("count", [2, 8, 9])
def test_parts_of_a_group_have_figures_where_they_are_few(count: int) -> None:
    parts = tuple(score(f"part{number}", 0.5, [0, 1, 0, 1]) for number in range(count))
    group = Score("group", 4 * count, (Figure("acc", 0.99, 0.05, True, None),), parts)
    whole, *others = figures_of(group)
    assert (whole.key, whole.name, whole.of) == ("group", "group acc", 4 * count)
    assert (whole.form, whole.low, whole.high, whole.values) == ("share", 0.99 - 1.96 * 0.05, 1.0, None)
    assert [figure.key for figure in others] == ([] if count > 8 else [f"group.part{n}" for n in range(count)])
    told = [] if count <= 8 else ["group by part: " + ", ".join(f"part{n} 50.0%" for n in range(count))]
    assert notes_of(group) == told
    # Those of a tag are all that there is.
    tag = Score("tag", 4 * count, (), parts)
    assert [figure.values for figure in figures_of(tag)] == [[0, 1, 0, 1]] * count


def test_a_share_is_what_lies_between_0_and_1_item_by_item() -> None:
    (f1,) = figures_of(score("x", 0.25, [0.0, 0.5, 0.5, 0.0], "f1"))
    assert (f1.form, f1.text, f1.better) == ("share", "25.0%", "high")
    (bleu,) = figures_of(score("x", 27.5, None, "bleu"))
    assert (bleu.form, bleu.text, bleu.values) == ("number", "27.5000", None)
    (points,) = figures_of(score("x", 0.5, [0, 0, 0, 2], "points", higher=None))
    assert (points.form, points.better) == ("number", None)
    (perplexity,) = figures_of(score("x", 12.5, None, "word_perplexity", None, higher=False))
    assert (perplexity.better, perplexity.low, perplexity.high) == ("low", None, None)


def test_what_is_no_number_is_no_figure() -> None:
    assert not figures_of(score("x", math.inf, None))
    assert not figures_of(Score("x", 3))
    (figure,) = figures_of(score("x", 0.5, [0, 1, math.nan, 1], error=math.nan))
    assert (figure.values, figure.low) == (None, None)
