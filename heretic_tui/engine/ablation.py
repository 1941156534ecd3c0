"""The closed-form edit of one matrix, and a set of edits attached to a live model.

An edit never touches the weights during a run: a forward hook turns the module's output W x + bias into
c ∘ (W x) + bias − (a·x) b, in float32, which is what the edited matrix W' = diag(c) W − b aᵀ would have given. The
model is one `detach` away from the base, quantised weights stay as they are, and switching trials costs next to
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from heretic_tui.engine.anatomy import Writer
from heretic_tui.engine.directions import direction_for
from heretic_tui.engine.parameters import Parameters
from heretic_tui.errors import UsageError

Normalization = Literal["none", "pre", "full"]


@dataclass(frozen=True)
class Edit:
    """W' = diag(c) W − b aᵀ. Shapes: a (d_in,), b (d_out,), c (d_out,) or None for ones; all float32."""

    a: Tensor
    b: Tensor
    c: Tensor | None

    def of(self, weight: Tensor) -> Tensor:
        """The edited matrix, float32 (d_out, d_in)."""
        scaled = weight if self.c is None else self.c[:, None] * weight
        return scaled - torch.outer(self.b, self.a)


def row_norms(weight: Tensor) -> Tensor:
    """‖W_i‖ for every row; rows of zeros count as length one, so that they stay what they are."""
    norms = weight.norm(dim=1)
    return torch.where(norms > 0, norms, torch.ones_like(norms))


def make_edit(weight: Tensor, direction: Tensor, strength: float, normalization: Normalization) -> Edit:
    """The edit that removes a direction from what a matrix writes.

    `none` subtracts λ v vᵀW; `pre` does so to the row-normalised matrix and restores the row norms; `full` also
    renormalises each edited row first, so that every row keeps its length. The closed form of `full` is exact: with
    u = Ŵᵀv, ‖Ŵ_i − λ v_i u‖² = 1 − 2 λ v_i (Ŵu)_i + λ² v_i² ‖u‖².

    Args:
        weight: W, float32 (d_out, d_in).
        direction: unit vector v in output space, (d_out,).
        strength: λ.
    """
    v = direction.to(weight)
    if normalization == "none":
        return Edit(weight.T @ v, strength * v, None)
    norms = row_norms(weight)
    u = weight.T @ (v / norms)
    b = strength * norms * v
    if normalization == "pre":
        return Edit(u, b, None)
    squared = 1 - 2 * strength * v * (weight @ u / norms) + strength**2 * v**2 * (u @ u)
    # A row that the edit empties entirely has no direction left to restore.
    c = torch.where(squared > 1e-12, squared, torch.ones_like(squared)).rsqrt()
    return Edit(u, b * c, c)


def edits_for(
    writers: tuple[Writer, ...], parameters: Parameters, directions: Tensor, normalization: Normalization
) -> dict[str, Edit]:
    """The edits of one trial by the writer's name; layers out of the kernel's reach are absent.

    Raises:
        UsageError: when the parameters name a component that the model does not have, or a layer that is not there.
    """
    known = {writer.component for writer in writers}
    if unknown := sorted(set(parameters.components) - known):
        raise UsageError(f"the model has no component {unknown[0]!r} (it has {', '.join(sorted(known))})")
    edits: dict[str, Edit] = {}
    for writer in writers:
        kernel = parameters.components.get(writer.component)
        strength = kernel.strength(writer.layer) if kernel else 0.0
        if strength != 0.0:
            direction = direction_for(directions, parameters.direction_index, writer.layer)
            edits[writer.name] = make_edit(writer.weight(), direction, strength, normalization)
    return edits


@contextmanager
def attached(writers: tuple[Writer, ...], edits: Mapping[str, Edit]) -> Iterator[None]:
    """Within the block the live model computes as if its matrices were the edited ones; after it, nothing is left."""
    hooks = [
        writer.module.register_forward_hook(_output_hook(writer, edits[writer.name]))
        for writer in writers
        if writer.name in edits
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _output_hook(writer: Writer, edit: Edit) -> Any:
    bias = writer.bias
    # c ∘ (y − bias) + bias = c ∘ y + (1 − c) ∘ bias: the bias is no part of the matrix and stays as it is.
    offset = None if bias is None or edit.c is None else (1 - edit.c) * bias.float()

    def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        # float32 until the end: c is about 0.999 and vanishes in bfloat16.
        y = output.float()
        if edit.c is not None:
            y = y * edit.c
        if offset is not None:
            y = y + offset
        along = args[0].float() @ edit.a
        return torch.addcmul(y, along[..., None], edit.b, value=-1).to(output.dtype)

    return hook
