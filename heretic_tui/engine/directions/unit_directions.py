"""The directions of a run: what its method finds, checked, and orthogonalised where that is set."""

from __future__ import annotations

import torch
from torch import Tensor

from heretic_tui.engine.directions.methods.base import DirectionMethod, Given, Oblique
from heretic_tui.engine.directions.subspaces import of_layers
from heretic_tui.errors import HereticError
from heretic_tui.plugins import DIRECTION_METHODS, calling

# Below this length what is left of a direction is rounding.
_TOO_SMALL = 1e-6
# How far a method's vectors may be from length one, and from a right angle to each other: it may have computed them in
# half precision.
_NOT_ONE = 1e-2


def unit_directions(method: DirectionMethod, given: Given, orthogonalize: bool) -> Tensor:
    """The directions of each layer, float32 (layers + 1, k, hidden): of length one, and at right angles to each other.

    With `orthogonalize`, the component along the good mean is removed and the rest normalised again, so that the edit
    leaves alone what harmless prompts have in common (projected ablation).

    Raises:
        HereticError: where the method finds none, gives something else than unit vectors, or nothing is left after
            orthogonalising; for a method whose directions are oblique.
    """
    found, readers = found_directions(method, given)
    if readers is not None:
        raise HereticError(f"the direction method {type(method).__name__} finds two vectors for a layer, not one")
    return of_layers(orthogonalized(found, given.good.mean) if orthogonalize else found.float())


def found_directions(method: DirectionMethod, given: Given) -> tuple[Tensor, Tensor | None]:
    """What the method finds, checked, float64: directions, (layers + 1, hidden) or (layers + 1, k, hidden); and the
    vectors that they are read along where those are others, (layers + 1, hidden).

    Raises:
        HereticError: where it finds none, or gives something else.
    """
    mean = given.good.mean
    if not (mean.isfinite().all() and given.bad.mean.isfinite().all()):
        raise HereticError("the residuals are not finite numbers: try another dtype (--dtypes float32)")
    name = type(method).__name__
    with calling(DIRECTION_METHODS, name):
        gave = method.directions(given)
    found, read = (gave.write, gave.read) if isinstance(gave, Oblique) else (gave, None)
    depth, hidden = mean.shape
    shapes = {(depth, hidden)} | ({(depth, given.count, hidden)} if given.count > 1 else set())
    if not isinstance(found, Tensor) or found.shape not in shapes:
        what = f"a tensor of {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        several = f", or {(depth, given.count, hidden)}" if given.count > 1 else ""
        raise HereticError(
            f"the direction method {name} gave {what} in place of {(depth, hidden)} (layers + 1, hidden){several}: "
            "mend it"
        )
    directions = found.to(mean)
    lengths = directions.norm(dim=-1)
    # The embedding of the last position may be the same for all prompts, and is not edited with.
    wrong = ~((lengths - 1).abs() <= _NOT_ONE)
    if wrong[1:].any():
        layer = int(wrong[1:].nonzero()[0][0])
        length = float(lengths[layer + 1][wrong[layer + 1]].flatten()[0])
        raise HereticError(
            f"the direction method {name} gave a vector of length {length:.3g} for layer {layer}, "
            "in place of 1: mend it"
        )
    if directions.ndim == 3:
        _check_right_angles(directions, name)
    if not directions[0].isfinite().all():
        raise HereticError(
            f"the direction method {name} gave what are no finite numbers for the embedding output (index 0): "
            "give zeros there"
        )
    if read is None:
        return directions, None
    if directions.ndim != 2 or not isinstance(read, Tensor) or read.shape != directions.shape:
        raise HereticError(f"the direction method {name} reads along no vectors of {(depth, hidden)}: mend it")
    readers = read.to(mean)
    parts = (readers * directions).sum(dim=-1)
    if (wrong := ~((parts - 1).abs() <= _NOT_ONE))[1:].any() or not readers[0].isfinite().all():
        layer = int(wrong[1:].nonzero()[0]) if wrong[1:].any() else -1
        raise HereticError(
            f"the direction method {name} reads {float(parts[layer + 1]):.3g} of what it writes at index {layer + 1}, "
            "in place of 1: mend it"
        )
    return directions, readers


def _check_right_angles(directions: Tensor, name: str) -> None:
    products = directions @ directions.mT
    apart = (products - torch.diag_embed(products.diagonal(dim1=-2, dim2=-1))).abs().amax(dim=(-2, -1))
    if (apart[1:] > _NOT_ONE).any():
        layer = int((apart[1:] > _NOT_ONE).nonzero()[0])
        raise HereticError(
            f"the direction method {name} gave vectors for layer {layer} that are not at right angles to each other "
            f"(one has {float(apart[layer + 1]):.3g} of another): mend it"
        )


def readers_off(readers: Tensor, directions: Tensor, good_mean: Tensor) -> Tensor:
    """The vectors that oblique directions are read along without what they have of the good mean, and again with
    reader·direction = 1, float64: an edit then takes nothing from what harmless prompts have in common, and as much as
    before from what both sets differ in.

    Args:
        readers, directions, good_mean: (layers + 1, hidden) float64.

    Raises:
        HereticError: where the direction lies along the good mean.
    """
    mean = torch.nn.functional.normalize(good_mean, dim=-1)
    left = readers - (readers * mean).sum(dim=-1, keepdim=True) * mean
    parts = (left * directions).sum(dim=-1, keepdim=True)
    if (parts[1:].abs() <= _TOO_SMALL * left[1:].norm(dim=-1, keepdim=True)).any():
        raise HereticError("a direction lies along the good mean: run with --no-orthogonalize-direction")
    return left / torch.where(parts.abs() > 0, parts, torch.ones_like(parts))


def orthogonalized(directions: Tensor, good_mean: Tensor) -> Tensor:
    """The directions without what they have along the good mean, of length one again, float32. Of several the first
    keeps its direction, and each has right angles to those before.

    Args:
        directions: (layers + 1, hidden) or (layers + 1, k, hidden).
        good_mean: (layers + 1, hidden) float64.

    Raises:
        HereticError: where nothing is left of one.
    """
    several = directions if directions.ndim == 3 else directions[:, None]
    mean = torch.nn.functional.normalize(good_mean, dim=-1)[:, None]
    left: list[Tensor] = []
    for each in several.unbind(dim=1):
        rest = each
        for before in (mean[:, 0], *left):
            rest = rest - (rest * before).sum(dim=-1, keepdim=True) * before
        if (rest[1:].norm(dim=-1) <= _TOO_SMALL).any():
            raise HereticError("a direction lies along the good mean: run with --no-orthogonalize-direction")
        left.append(torch.nn.functional.normalize(rest, dim=-1))
    return torch.stack(left, dim=1).reshape(directions.shape).float()
