"""What an edit method is, and the one that has a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from torch import Tensor

from heretic_tui.engine.edits.adapter_form import AdapterForm
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.plugins import EDIT_METHODS, made, method


class EditMethod(Protocol):
    """How the directions V of a layer are taken out of what a matrix W writes.

    Matrices are float32, (d_out, d_in); of fused experts (experts, d_out, d_in), each a matrix of its own: what is said
    below of W then has one dimension more in front. V is (d_out, k), with k orthonormal columns, for all experts the
    same; in most runs k is 1.

    Attributes:
        dora: whether its edit is exactly an adapter of rank k only as DoRA; where not, it is exactly one as LoRA.
    """

    dora: bool

    def row_norms(self, weight: Tensor) -> Tensor:
        """The lengths that the rows of W are taken to have, (d_out,), all above 0."""
        ...

    def products(self, weight: Tensor, v: Tensor, norms: Tensor) -> tuple[Tensor, ...]:
        """All that an edit needs of W, as tensors that are linear in V, with the directions along their last dimension:
        for any M (k, k), the product with V M is that with V, times M. They are computed once for the directions of
        each layer, and mixed for a trial whose directions are a mix of two layers'. Of fused experts the first
        dimension of each is that of the experts."""
        ...

    def edit(self, v: Tensor, products: tuple[Tensor, ...], norms: Tensor, strengths: Sequence[float]) -> Edit:
        """The edit of W that removes each column of V with its strength; without another look at W.

        Args:
            strengths: λ, one for each column.
        """
        ...

    def adapter(self, edit: Edit, weight: Tensor, rank: int | None) -> AdapterForm:
        """An edit that it made, as an adapter of W (d_out, d_in).

        Args:
            rank: of the LoRA that comes nearest to it; None for the exact form, of the edit's own rank.
        """
        ...


def edit_method(name: str) -> EditMethod:
    """The edit method with a name, made.

    Raises:
        UsageError: where there is none, or it is no edit method, or cannot be made.
    """
    return made(cast(type[EditMethod], method(EDIT_METHODS, name, EditMethod)), EDIT_METHODS, name)


def make_edit(weight: Tensor, directions: Tensor, strength: float | Sequence[float], method: EditMethod) -> Edit:
    """The edit of one matrix W, float32 (d_out, d_in), or of fused experts (experts, d_out, d_in).

    Args:
        directions: orthonormal columns in output space, (d_out, k), or one direction (d_out,).
        strength: of all of them, or of each.
    """
    v, norms = directions.to(weight), method.row_norms(weight)
    if v.ndim == 1:
        v = v[:, None]
    strengths = [strength] * v.shape[1] if isinstance(strength, float | int) else strength
    return method.edit(v, method.products(weight, v, norms), norms, strengths)
