"""What an edit method is, and the one that has a name."""

from __future__ import annotations

from typing import Protocol, cast

from torch import Tensor

from heretic_tui.engine.edits.adapter_form import AdapterForm
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.plugins import EDIT_METHODS, made, method


class EditMethod(Protocol):
    """How a direction v is taken out of what a matrix W writes.

    Matrices are float32, (d_out, d_in); of fused experts (experts, d_out, d_in), each a matrix of its own: what is said
    below of W then has one dimension more in front. v is (d_out,), for all experts the same.

    Attributes:
        dora: whether its edit is exactly an adapter of rank 1 only as DoRA; where not, it is exactly one as LoRA.
    """

    dora: bool

    def row_norms(self, weight: Tensor) -> Tensor:
        """The lengths that the rows of W are taken to have, (d_out,), all above 0."""
        ...

    def products(self, weight: Tensor, v: Tensor, norms: Tensor) -> tuple[Tensor, ...]:
        """All that an edit needs of W, as tensors that are linear in v: they are computed once for each stored
        direction, and mixed for a trial whose direction is a mix of two. Of fused experts the first dimension of each
        is that of the experts."""
        ...

    def edit(self, v: Tensor, products: tuple[Tensor, ...], norms: Tensor, strength: float) -> Edit:
        """The edit of W that removes v with a strength λ; without another look at W."""
        ...

    def adapter(self, edit: Edit, weight: Tensor, rank: int | None) -> AdapterForm:
        """An edit that it made, as an adapter of W (d_out, d_in).

        Args:
            rank: of the LoRA that comes nearest to it; None for the exact form, of rank 1.
        """
        ...


def edit_method(name: str) -> EditMethod:
    """The edit method with a name, made.

    Raises:
        UsageError: where there is none, or it is no edit method, or cannot be made.
    """
    return made(cast(type[EditMethod], method(EDIT_METHODS, name, EditMethod)), EDIT_METHODS, name)


def make_edit(weight: Tensor, direction: Tensor, strength: float, method: EditMethod) -> Edit:
    """The edit of one matrix W, float32 (d_out, d_in), or of fused experts (experts, d_out, d_in), by a unit vector in
    output space, (d_out,)."""
    v, norms = direction.to(weight), method.row_norms(weight)
    return method.edit(v, method.products(weight, v, norms), norms, strength)
