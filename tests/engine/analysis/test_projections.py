"""Both prompt sets on a plane: principal components, and views turned to match."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from heretic_tui.engine.analysis.projections import principal_components, turned
from heretic_tui.engine.directions.medians import geometric_median
from tests.support.definitions import clouds


def test_principal_components_are_those_of_scikit_learn() -> None:
    points = torch.cat(clouds())
    expected = PCA(2).fit_transform(points.double().numpy())
    found = principal_components(points, 2).numpy()
    for column in range(2):
        sign = np.sign(found[:, column] @ expected[:, column])
        np.testing.assert_allclose(found[:, column] * sign, expected[:, column], atol=1e-8)


def test_a_turned_view_has_the_good_median_left_and_keeps_its_shape() -> None:
    good, bad = (part[:, :2].double() for part in clouds())
    plane = torch.cat([good, bad])
    view = turned(plane, len(good))
    left, right = geometric_median(view[: len(good)]), geometric_median(view[len(good) :])
    assert left[0] < right[0]
    assert float(left[1]) == pytest.approx(float(right[1]), abs=1e-3)
    torch.testing.assert_close(torch.cdist(view, view), torch.cdist(plane, plane))
    # A layer that came out upside down is turned back to how the one before lay.
    mirrored = turned(plane * torch.tensor([1.0, -1.0]), len(good), view)
    assert float(mirrored[:, 1] @ view[:, 1]) > 0
