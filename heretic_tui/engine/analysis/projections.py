"""Two-dimensional views of both prompt sets: principal components, which take no time, or PaCMAP; turned so
that neighbouring layers can be compared."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from heretic_tui.engine.directions.medians import geometric_median

# PaCMAP finds neighbours among this many principal components, as its authors do for wide data.
_COMPONENTS = 100


def principal_components(points: Tensor, count: int) -> Tensor:
    """Coordinates of the rows along their first principal components, float64 (n, count); zeros where the rows span
    less. From the matrix of inner products: there are fewer prompts than dimensions. Shape in (n, hidden)."""
    centred = points.double()
    centred = centred - centred.mean(dim=0)
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    places = (vectors.flip(1) * values.flip(0).clamp(min=0).sqrt())[:, :count]
    return torch.nn.functional.pad(places, (0, count - places.shape[1]))


def pacmap_plane(points: Tensor, before: Tensor | None, seed: int) -> Tensor:
    """PaCMAP's view of the rows (Wang et al. 2021), float64 (n, 2).

    Args:
        points: (n, hidden).
        before: where the same rows lay in the layer before, (n, 2): what the optimisation starts from, so that the
            picture moves and does not jump.

    Raises:
        ImportError: where the package pacmap is not installed.
    """
    import logging

    from pacmap import PaCMAP

    if not _spread(points):
        return torch.zeros(len(points), 2, dtype=torch.float64)
    logging.getLogger("pacmap").setLevel(logging.ERROR)
    places = principal_components(points, min(_COMPONENTS, len(points), points.shape[1]))
    start: Any = "pca" if before is None or not _spread(before) else before.numpy()
    found = PaCMAP(n_components=2, n_neighbors=min(10, len(points) - 1), apply_pca=False, random_state=seed)
    return torch.from_numpy(found.fit_transform(places.float().numpy(), init=start)).double()


def plane_along(points: Tensor, direction: Tensor, before: Tensor | None) -> Tensor:
    """The rows along a direction, and along what is largest in them beside it, float64 (n, 2).

    Args:
        points: (n, hidden).
        direction: of length one, (hidden,).
        before: the view of the layer before, (n, 2).
    """
    centred = points.double() - points.double().mean(dim=0)
    along = centred @ direction.double()
    rest = centred - along[:, None] * direction.double()
    return upright(centred_view(torch.stack([along, principal_components(rest, 1)[:, 0]], dim=1)), before)


def _spread(points: Tensor) -> bool:
    """Whether the rows are not all alike, as they are at the embedding of a template's last token."""
    return bool((points != points[0]).any())


def turned(plane: Tensor, good_count: int, before: Tensor | None = None) -> Tensor:
    """The same view turned about its centre so that the sets' geometric medians lie left (good) and right (bad), and
    mirrored top to bottom where that brings the rows nearer to where they were in the layer before.

    Args:
        plane: (n, 2), the good prompts first.
        before: the turned view of the layer before.
    """
    plane = centred_view(plane)
    # Geometric medians turn with their points; those of coordinates do not.
    axis = geometric_median(plane[good_count:]) - geometric_median(plane[:good_count])
    length = axis.norm()
    if length > 0:
        x, y = axis / length
        plane = plane @ torch.stack([torch.stack([x, -y]), torch.stack([y, x])])
    return upright(plane, before)


def centred_view(plane: Tensor) -> Tensor:
    """The same view with the middle of its extent at 0."""
    return plane - (plane.max(dim=0).values + plane.min(dim=0).values) / 2


def upright(plane: Tensor, before: Tensor | None) -> Tensor:
    """The same view, mirrored top to bottom where that brings the rows nearer to where they were in the view before."""
    if before is not None and float(_scaled(plane[:, 1]) @ _scaled(before[:, 1])) < 0:
        return plane * torch.tensor([1.0, -1.0], dtype=plane.dtype)
    return plane


def _scaled(values: Tensor) -> Tensor:
    return values / values.abs().max().clamp(min=1e-12)
