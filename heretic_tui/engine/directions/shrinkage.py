"""Covariances of more channels than prompts: shrunk towards a diagonal, and solved without a matrix of channels."""

from __future__ import annotations

import torch
from torch import Tensor

# Of the largest entry of a diagonal: what is added where it would be 0, as it is where two sets do not spread at all.
_LEAST = 1e-10


def ledoit_wolf(centred: Tensor) -> tuple[float, float]:
    """The shrinkage s and the level m of the estimate (1 − s) XᵀX / n + s m I that is expected to be nearest to the
    true covariance (Ledoit and Wolf 2004, *A well-conditioned estimator for large-dimensional covariance matrices*).

    Args:
        centred: X, (n, channels), with a mean of zero.
    """
    n, channels = centred.shape
    squares = centred.square()
    level = float(squares.sum()) / n / channels
    # ‖XᵀX‖² = ‖XXᵀ‖², which has one row a prompt.
    size = float((centred @ centred.T).square().sum()) / n**2
    spread = (float(squares.sum(dim=1).square().sum()) / n - size) / (channels * n)
    distance = (size - channels * level**2) / channels
    spread = min(spread, distance)
    return (spread / distance if spread > 0 else 0.0), level


def optimal_linear(centred: Tensor) -> tuple[float, float]:
    """The shares α and β of the estimate α XᵀX / n + β I that is nearest to the true covariance as channels and prompts
    grow together (Bodnar, Gupta and Parolya 2014, *On the strong convergence of the optimal linear shrinkage estimator
    for large dimensional covariance matrix*, arXiv 1308.2608); its trace is that of XᵀX / n.

    Args:
        centred: X, (n, channels), with a mean of zero.
    """
    n, channels = centred.shape
    trace = float(centred.square().sum()) / n
    size = float((centred @ centred.T).square().sum()) / n**2
    even = trace**2 / channels
    # The estimate is one of a covariance: no less than nothing of what was seen.
    alpha = min(1.0, max(0.0, 1 - trace**2 / n / (size - even))) if size > even else 0.0
    return alpha, (1 - alpha) * trace / channels


def solve_diagonal_and_rows(diagonal: Tensor, rows: Tensor, right: Tensor) -> Tensor:
    """x with (diag(d) + RᵀR) x = b, by Woodbury's identity: the only matrix that is solved has one row for each of R.

    Args:
        diagonal: d, (channels,), none below 0. Where there are zeros a little is added.
        rows: R, (n, channels).
        right: b, (channels,).
    """
    largest = float(diagonal.max()) or float(rows.square().sum(dim=0).max()) or 1.0
    inverse = 1 / diagonal.clamp(min=_LEAST * largest)
    scaled = rows * inverse
    inner = torch.eye(len(rows), dtype=rows.dtype) + scaled @ rows.T
    found: Tensor = inverse * right - scaled.T @ torch.linalg.solve(inner, rows @ (inverse * right))
    return found
