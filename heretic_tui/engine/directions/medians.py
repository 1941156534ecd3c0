"""The geometric median of residuals."""

from __future__ import annotations

import numpy as np
import torch
from geom_median.numpy import compute_geometric_median
from torch import Tensor

# Weiszfeld's iteration stops when the sum of distances improves by less than this share.
_TOLERANCE = 1e-10


def geometric_median(points: Tensor) -> Tensor:
    """The point with the least sum of distances to all rows (Weiszfeld), float64 (hidden,). Shape in (n, hidden)."""
    # The NumPy side of the package: its PyTorch side is slower by the cost of a tensor for each of a thousand norms.
    found = compute_geometric_median(points.double().numpy(), ftol=_TOLERANCE)
    return torch.from_numpy(np.asarray(found.median))
