"""Residual geometry against NumPy and scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.analysis.geometry import residual_geometry, silhouette
from heretic_tui.engine.directions.medians import geometric_median
from heretic_tui.engine.directions.residual_store import ResidualStore
from heretic_tui.events import Event, Progress
from heretic_tui.work import Work
from tests.support.definitions import clouds


def test_geometry_is_what_numpy_and_scikit_learn_say() -> None:
    good, bad = clouds()
    found = residual_geometry(good, bad)
    x, y = good.double().numpy(), bad.double().numpy()

    def median(points: NDArray[np.float64]) -> NDArray[np.float64]:
        # Weiszfeld's iteration, written down.
        at: NDArray[np.float64] = points.mean(axis=0)
        for _ in range(5000):
            weights = 1 / np.linalg.norm(points - at, axis=1)
            at = (weights[:, None] * points).sum(axis=0) / weights.sum()
        return at

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    g, b, g_star, b_star = x.mean(axis=0), y.mean(axis=0), median(x), median(y)
    r, r_star = b - g, b_star - g_star
    expected = {
        "S(g,b)": cosine(g, b), "S(g*,b*)": cosine(g_star, b_star), "S(g,r)": cosine(g, r),
        "S(g*,r*)": cosine(g_star, r_star), "S(b,r)": cosine(b, r), "S(b*,r*)": cosine(b_star, r_star),
        "|g|": np.linalg.norm(g), "|g*|": np.linalg.norm(g_star), "|b|": np.linalg.norm(b),
        "|b*|": np.linalg.norm(b_star), "|r|": np.linalg.norm(r), "|r*|": np.linalg.norm(r_star),
        "Silh": silhouette_score(np.vstack([x, y]), [0] * len(x) + [1] * len(y)),
    }  # fmt: skip
    assert found == pytest.approx(expected, abs=2e-5)
    assert list(found) == list(expected), "in the order of the field's tables"


def test_geometry_of_equal_residuals_is_zeros_not_noise() -> None:
    alike = torch.ones(4, 3)
    found = residual_geometry(alike, alike)
    assert (found["|r|"], found["S(g,r)"], found["Silh"], found["S(g,b)"]) == (0, 0, 0, 1)


def test_silhouette_of_a_set_of_one_and_far_from_the_origin() -> None:
    good, bad = clouds()
    labels = [0] * len(good) + [1]
    one = silhouette_score(torch.cat([good, bad[:1]]).numpy(), labels)
    assert silhouette(good, bad[:1]) == pytest.approx(one, abs=1e-6)
    # What all residuals share may be a thousand times what tells them apart.
    assert silhouette(good.double() + 1e5, bad.double() + 1e5) == pytest.approx(silhouette(good, bad), abs=1e-6)


def test_a_geometric_median_does_not_follow_an_outlier() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5], [1000.0, 0.5]])
    assert geometric_median(points)[0] < 1


def test_geometry_stops_between_layers(tmp_path: Path) -> None:
    from heretic_tui.engine.analysis.record import geometry_of

    sets = {name: torch.randn(5, 4, 6) for name in ("good_prompts", "bad_prompts")}
    control, seen = Control(), []

    def emit(event: Event) -> None:
        assert isinstance(event, Progress)
        seen.append((event.done, event.total))
        control.abort()

    with pytest.raises(Aborted):
        geometry_of(ResidualStore.of(sets), Work(emit, control))
    assert seen == [(1, 4)]
