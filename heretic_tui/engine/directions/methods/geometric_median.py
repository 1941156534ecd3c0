"""Geometric median: that of the harmful prompts' residuals minus that of the harmless ones', at length one.

The geometric median is the point with the least sum of distances to all prompts (Weiszfeld 1937): a few prompts that
are unlike all others move a mean, and hardly a median. Costs no pass; with 800 prompts of
a model with 4,096 channels a fraction of a second a layer on one core of a CPU.
"""

from __future__ import annotations

from torch import Tensor

from heretic_tui.engine.directions.medians import geometric_median
from heretic_tui.engine.directions.methods.base import EachLayer


class GeometricMedian(EachLayer):
    """r_l = normalise(median_bad_l − median_good_l)."""

    def of_layer(self, good: Tensor, bad: Tensor, count: int) -> Tensor:
        return geometric_median(bad) - geometric_median(good)


METHOD = GeometricMedian
