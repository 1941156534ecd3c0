"""How far two sets lie apart: the area under the curve, with its interval."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score

from heretic_tui.engine.analysis.separation import area_under_curve


def test_area_under_the_curve_counts_ties_half_and_keeps_its_interval() -> None:
    good, bad = torch.tensor([0.0, 1, 2, 2, 3]), torch.tensor([2.0, 2, 3, 4])
    area = area_under_curve(good, bad)
    assert area.value == pytest.approx(roc_auc_score([0] * 5 + [1] * 4, [*good.tolist(), *bad.tolist()]))
    assert 0 < area.low < area.value < area.high < 1
    apart = area_under_curve(torch.arange(20.0), torch.arange(100.0, 120.0))
    assert (apart.value, apart.high) == (1, 1)
    assert 0.8 < apart.low < 0.99, "twenty of each without overlap are no certainty"
