"""The closed-form edit of one matrix, and a set of edits attached to a live model.

An edit never touches the weights during a run: a forward hook turns the module's output W x + bias into
c ∘ (W x) + bias − (a·x) b, in float32, which is what the edited matrix W' = diag(c) W − b aᵀ would have given. The
model is one `detach` away from the base, quantised weights stay as they are, and switching trials costs next to
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from heretic_tui.engine.anatomy import Writer
from heretic_tui.engine.directions import direction_parts
from heretic_tui.engine.experts import Intercepting, Stack, Transform
from heretic_tui.engine.parameters import Parameters
from heretic_tui.errors import UsageError
from heretic_tui.runtime.text import quoted

Normalization = Literal["none", "pre", "full"]


@dataclass(frozen=True)
class Edit:
    """W' = diag(c) W − b aᵀ. Shapes: a (d_in,), b (d_out,), c (d_out,) or None for ones; all float32. The edit of fused
    experts has one of each for every expert: (experts, d_in), (experts, d_out)."""

    a: Tensor
    b: Tensor
    c: Tensor | None

    def of(self, weight: Tensor) -> Tensor:
        """The edited matrix, float32, of the shape of `weight`: (d_out, d_in), or (experts, d_out, d_in)."""
        scaled = weight if self.c is None else self.c[..., :, None] * weight
        return scaled - self.b[..., :, None] * self.a[..., None, :]

    def of_expert(self, expert: int) -> Edit:
        """The edit of one of the fused experts."""
        return Edit(self.a[expert], self.b[expert], None if self.c is None else self.c[expert])


def row_norms(weight: Tensor) -> Tensor:
    """‖W_i‖ for every row; rows of zeros count as length one, so that they stay what they are."""
    norms = weight.norm(dim=-1)
    return torch.where(norms > 0, norms, torch.ones_like(norms))


# A direction v (d_out,), Ŵᵀv (d_in,) and Ŵ(Ŵᵀv) (d_out,), float32; without normalisation v, Wᵀv and nothing. Of fused
# experts the last two are one for each expert.
_Products = tuple[Tensor, Tensor, Tensor | None]


def products_of(weight: Tensor, v: Tensor, norms: Tensor | None, normalization: Normalization) -> _Products:
    """What an edit needs of W (d_out, d_in), with row norms (d_out,); linear in v. Of fused experts, W (experts, d_out,
    d_in), each is taken as a matrix of its own."""
    if normalization == "none":
        return v, weight.mT @ v, None
    assert norms is not None
    u = (weight.mT @ (v / norms)[..., None])[..., 0]
    return v, u, (weight @ u[..., None])[..., 0] / norms if normalization == "full" else None


def edit_from(products: _Products, norms: Tensor | None, strength: float) -> Edit:
    """The edit that removes a direction from what a matrix writes.

    `none` subtracts λ v vᵀW; `pre` does so to the row-normalised matrix and restores the row norms; `full` also
    renormalises each edited row first, so that every row keeps its length. The closed form of `full` is exact: with
    u = Ŵᵀv, ‖Ŵ_i − λ v_i u‖² = 1 − 2 λ v_i (Ŵu)_i + λ² v_i² ‖u‖².

    Args:
        strength: λ.
    """
    v, u, w = products
    if norms is None:
        return Edit(u, (strength * v).expand(*u.shape[:-1], -1), None)
    b = strength * norms * v
    if w is None:
        return Edit(u, b, None)
    squared = 1 - 2 * strength * v * w + strength**2 * v**2 * u.square().sum(dim=-1, keepdim=True)
    # A row that the edit empties entirely has no direction left to restore.
    c = torch.where(squared > 1e-12, squared, torch.ones_like(squared)).rsqrt()
    return Edit(u, b * c, c)


def make_edit(weight: Tensor, direction: Tensor, strength: float, normalization: Normalization) -> Edit:
    """The edit of one matrix W, float32 (d_out, d_in), or of fused experts (experts, d_out, d_in), by a unit vector in
    output space, (d_out,)."""
    norms = None if normalization == "none" else row_norms(weight)
    return edit_from(products_of(weight, direction.to(weight), norms, normalization), norms, strength)


class EditBank:
    """Makes the edits of trials from products that are computed once.

    A trial's direction v is a mix of two stored directions, v = Σ w_j r_j, so Ŵᵀv and Ŵ(Ŵᵀv) are the same mix of
    stored vectors, and an edit needs no pass over the weights once its directions have occurred. A direction that
    occurs for the first time costs one pass over each matrix that it edits.

    Args:
        directions: (layers + 1, hidden) float32.
        limit: bytes that may be kept; beyond it products are computed anew each time.
    """

    def __init__(
        self, writers: tuple[Writer, ...], directions: Tensor, normalization: Normalization, limit: int
    ) -> None:
        self._writers = writers
        self._directions = directions
        self._normalization = normalization
        self._limit = limit
        self._kept = 0
        self._norms: dict[str, Tensor] = {}
        self._products: dict[tuple[str, int], _Products] = {}

    def edits(self, parameters: Parameters) -> dict[str, Edit]:
        """The edits of one trial by the writer's name; layers out of the kernel's reach are absent.

        Raises:
            UsageError: when the parameters name a component that the model does not have, or a layer that is not
                there.
        """
        known = {writer.component for writer in self._writers}
        if unknown := sorted(set(parameters.components) - known):
            raise UsageError(f"the model has no component {quoted(unknown[0])} (it has {', '.join(sorted(known))})")
        edits: dict[str, Edit] = {}
        for writer in self._writers:
            kernel = parameters.components.get(writer.component)
            strength = kernel.strength(writer.layer) if kernel else 0.0
            if strength != 0.0:
                edits[writer.name] = self._edit(writer, parameters.direction_index, strength)
        return edits

    def _edit(self, writer: Writer, index: float | None, strength: float) -> Edit:
        parts = direction_parts(self._directions, index, writer.layer)
        found = self._mixtures(writer, parts)
        return edit_from(found, self._norms.get(writer.name), strength)

    def _mixtures(self, writer: Writer, parts: list[tuple[int, float]]) -> _Products:
        """v, Ŵᵀv and Ŵ(Ŵᵀv) for v = Σ w_j r_j."""
        kept = {j: found for j, _ in parts if (found := self._products.get((writer.name, j))) is not None}
        kept |= self._compute(writer, [j for j, _ in parts if j not in kept])
        terms = [[share * part for part in kept[j] if part is not None] for j, share in parts]
        # Either all products have the third part or none does.
        mixed = [sum(parts[1:], parts[0]) for parts in zip(*terms, strict=True)]
        if writer.post_norm_gain is not None:
            # Directions bent by a gain are no unit vectors.
            length = mixed[0].norm().clamp(min=1e-12)
            mixed = [part / length for part in mixed]
        v, u, *w = mixed
        return v, u, w[0] if w else None

    def _compute(self, writer: Writer, directions: list[int]) -> dict[int, _Products]:
        """Products with some directions, in one pass over the matrix or the experts."""
        if not directions:
            return {}
        pieces: dict[int, list[_Products]] = {j: [] for j in directions}
        norms: list[Tensor] = []
        for weight in writer.pieces():
            norm = None if self._normalization == "none" else row_norms(weight)
            norms += [] if norm is None else [norm]
            for j in directions:
                v = writer.bend(self._directions[j].to(weight))
                pieces[j].append(products_of(weight, v, norm, self._normalization))
        if norms:
            self._norms[writer.name] = torch.cat(norms)
        found = {j: _joined(each) for j, each in pieces.items()}
        for j, products in found.items():
            size = sum(4 * t.numel() for t in products if t is not None)
            if self._kept + size <= self._limit:
                self._kept += size
                self._products[writer.name, j] = products
        return found


def _joined(pieces: list[_Products]) -> _Products:
    """Products of some experts after those of others; v is the same for all."""
    thirds = [w for _, _, w in pieces if w is not None]
    return pieces[0][0], torch.cat([u for _, u, _ in pieces]), torch.cat(thirds) if thirds else None


def stacked(writers: tuple[Writer, ...], trials: Sequence[Mapping[str, Edit]]) -> dict[str, Edit]:
    """The edits of several trials side by side: a (trials, d_in), b and c (trials, d_out); a trial that leaves a
    matrix alone has an edit of nothing there."""
    result: dict[str, Edit] = {}
    for writer in writers:
        edits = [edits.get(writer.name) for edits in trials]
        some = next((edit for edit in edits if edit), None)
        if some is None:
            continue
        nothing = Edit(torch.zeros_like(some.a), torch.zeros_like(some.b), None)
        each = [edit or nothing for edit in edits]
        scaled = any(edit.c is not None for edit in each)
        ones = torch.ones_like(some.b)
        result[writer.name] = Edit(
            torch.stack([edit.a for edit in each]),
            torch.stack([edit.b for edit in each]),
            torch.stack([ones if edit.c is None else edit.c for edit in each]) if scaled else None,
        )
    return result


# Edits attached outside of so many `edits_aside` blocks are in force.
_depth = 0


@contextmanager
def edits_aside() -> Iterator[None]:
    """Within the block the edits that are attached outside of it change nothing: a trial is held in the middle, and
    another is to answer."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def _in_force() -> Callable[[], bool]:
    depth = _depth
    return lambda: depth == _depth


@contextmanager
def attached(
    writers: tuple[Writer, ...], edits: Mapping[str, Edit], trial_of_row: Tensor | None = None
) -> Iterator[None]:
    """Within the block the live model computes as if its matrices were the edited ones; after it, nothing is left.

    Args:
        trial_of_row: for edits that are `stacked`, which of them each row of a batch is to have, (rows,) int64.
    """
    hooks: list[Any] = []
    stacks: dict[nn.Module, list[tuple[Stack, Transform]]] = {}
    try:
        for writer in writers:
            if (edit := edits.get(writer.name)) is None:
                continue
            if writer.stack is None:
                hooks.append(writer.module.register_forward_hook(_output_hook(writer, edit, trial_of_row)))
            elif trial_of_row is None:
                stacks.setdefault(writer.stack.caller, []).append((writer.stack, _product_edit(edit)))
            else:
                raise RowsLost(f"{writer.name} holds experts, whose rows are not those of the batch")
        hooks += [Intercepting(group, _in_force()) for group in stacks.values()]
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _output_hook(writer: Writer, edit: Edit, trial_of_row: Tensor | None) -> Any:
    bias = writer.bias
    a, b, c = edit.a, edit.b, edit.c
    # c ∘ (y − bias) + bias = c ∘ y + (1 − c) ∘ bias: the bias is no part of the matrix and stays as it is.
    offset = None if bias is None or c is None else (1 - c) * bias.float()
    rows: Tensor | None = None
    if trial_of_row is not None:
        # Vectors of each row, ready to meet (rows, tokens, d).
        rows = trial_of_row.to(a.device)
        b = b[rows, None]
        c = None if c is None else c[rows, None]
        offset = None if offset is None else offset[rows, None]

    in_force = _in_force()

    def hook(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        if not in_force():
            return output
        # float32 until the end: c is about 0.999 and vanishes in bfloat16.
        y, x = output.float(), args[0].float()
        if c is not None:
            y = y * c
        if offset is not None:
            y = y + offset
        if rows is None:
            along = (x @ a)[..., None]
        else:
            if x.ndim != 3 or len(x) != len(rows):
                raise RowsLost(f"{writer.name} sees {tuple(x.shape)} where the batch has {len(rows)} rows")
            along = (x @ a.T).gather(-1, rows[:, None, None].expand(-1, x.shape[1], 1))
        return torch.addcmul(y, along, b, value=-1).to(output.dtype)

    return hook


def _product_edit(edit: Edit) -> Transform:
    """The edit of fused experts as a transform of their products, which biases and routing weights come after."""

    def transform(x: Tensor, y: Tensor, experts: Tensor) -> Tensor:
        edited = y.float()
        if edit.c is not None:
            edited = edited * edit.c[experts]
        along = (x.float() * edit.a[experts]).sum(dim=-1, keepdim=True)
        return (edited - along * edit.b[experts]).to(y.dtype)

    return transform


class RowsLost(Exception):
    """A matrix gets its inputs in another order than that of the batch's rows, as routed experts do."""
