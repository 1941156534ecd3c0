"""Edits put on a live model, and taken off again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

import torch
from torch import Tensor, nn

from heretic_tui.engine.anatomy.fused_experts import Stack, Transform, transformed_products
from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.hooks import Replacement, replace_outputs

# By the writer's name; none for the base model.
Edits = Mapping[str, Edit]
# A block within which edits are attached.
Attached = AbstractContextManager[None]


def stacked(writers: tuple[Writer, ...], trials: Sequence[Edits]) -> dict[str, Edit]:
    """The edits of several trials side by side, of the rank that the highest of them has: a (trials, d_in, k), b
    (trials, d_out, k), c (trials, d_out); a trial that leaves a matrix alone has an edit of nothing there."""
    result: dict[str, Edit] = {}
    for writer in writers:
        edits = [edits.get(writer.name) for edits in trials]
        some = max((edit for edit in edits if edit), key=lambda edit: edit.rank, default=None)
        if some is None:
            continue
        nothing = Edit(torch.zeros_like(some.a), torch.zeros_like(some.b), None)
        each = [edit.of_rank(some.rank) if edit else nothing for edit in edits]
        scaled = any(edit.c is not None for edit in each)
        ones = torch.ones_like(some.b[..., 0])
        result[writer.name] = Edit(
            # In memory the d_in numbers of each direction lie side by side, as a product with all of them wants it.
            torch.stack([edit.a.mT for edit in each]).mT,
            torch.stack([edit.b for edit in each]),
            torch.stack([ones if edit.c is None else edit.c for edit in each]) if scaled else None,
        )
    return result


# Edits attached outside of so many `edits_aside` blocks are in force.
_depth = 0


@contextmanager
def edits_aside() -> Iterator[None]:
    """Within the block the edits that are attached outside of it change nothing: for a chat with another trial between
    two steps of those in hand."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def _in_force() -> Callable[[], bool]:
    depth = _depth
    return lambda: depth == _depth


def attached(writers: tuple[Writer, ...], edits: Edits, trial_of_row: Tensor | None = None) -> Attached:
    """Within the block the live model computes as if its matrices were the edited ones; after it, nothing is left.

    Args:
        trial_of_row: for edits that are `stacked`, which of them each row of a batch is to have, (rows,) int64.

    Raises:
        RowsLost: where a matrix holds experts, and rows are to have edits of their own.
    """
    return blocks(writers, edits, trial_of_row)()


def blocks(writers: tuple[Writer, ...], edits: Edits, trial_of_row: Tensor | None = None) -> Callable[[], Attached]:
    """Makes blocks as those of `attached`; what they need of the edits is made once for all of them."""
    matrices: list[tuple[nn.Module, Replacement]] = []
    stacks: dict[nn.Module, list[tuple[Stack, Transform]]] = {}
    for writer in writers:
        if (edit := edits.get(writer.name)) is None:
            continue
        if writer.stack is None:
            matrices.append((writer.module, _output_edit(writer, edit, trial_of_row)))
        elif trial_of_row is None:
            stacks.setdefault(writer.stack.caller, []).append((writer.stack, _product_edit(edit)))
        else:
            raise RowsLost(f"{writer.name} holds experts, whose rows are not those of the batch")

    @contextmanager
    def block() -> Iterator[None]:
        in_force = _in_force()
        with ExitStack() as stack:
            stack.enter_context(replace_outputs((module, _while(in_force, edit)) for module, edit in matrices))
            for group in stacks.values():
                stack.enter_context(transformed_products(group, in_force))
            yield

    return block


def _while(in_force: Callable[[], bool], edit: Replacement) -> Replacement:
    return lambda x, output: edit(x, output) if in_force() else output


def under(writers: tuple[Writer, ...], edits_of_row: Sequence[Edits]) -> Callable[[], Attached]:
    """Makes blocks within which each row of a batch is computed under its own edits. Rows of one model have the same
    object."""
    models = {id(edits): edits for edits in edits_of_row}
    if len(models) == 1:
        return blocks(writers, edits_of_row[0])
    number = {each: at for at, each in enumerate(models)}
    of_row = torch.tensor([number[id(edits)] for edits in edits_of_row])
    return blocks(writers, stacked(writers, list(models.values())), of_row)


def _output_edit(writer: Writer, edit: Edit, trial_of_row: Tensor | None) -> Replacement:
    bias = writer.bias
    # c ∘ (y − bias) + bias = c ∘ y + (1 − c) ∘ bias: the bias is no part of the matrix and stays as it is.
    c = edit.c
    offset = None if bias is None or c is None else (1 - c) * bias.float()
    rows: Tensor | None = None
    if trial_of_row is not None:
        # Vectors of each row, of shapes that broadcast with (rows, tokens, d).
        rows = trial_of_row.to(edit.a.device)
        c = None if c is None else c[rows, None]
        offset = None if offset is None else offset[rows, None]
    taken_out = _of_all_rows(edit) if rows is None else _row_by_row(edit, rows, writer.name)

    def edited(x: Tensor, output: Tensor) -> Tensor:
        # float32 until the end: c is about 0.999 and vanishes in bfloat16.
        y, x = output.float(), x.float()
        if c is not None:
            y = y * c
        if offset is not None:
            y = y + offset
        return taken_out(x, y).to(output.dtype)

    return edited


def _of_all_rows(edit: Edit) -> Replacement:
    """y − B Aᵀx from x (…, d_in) and y (…, d_out)."""
    if edit.rank == 1:
        # With vectors: on a CPU a product with a matrix of one column takes longer.
        a, b = edit.a[..., 0], edit.b[..., 0]
        return lambda x, y: torch.addcmul(y, (x @ a)[..., None], b, value=-1)
    a, b = edit.a, edit.b.mT
    rank, size = b.shape
    return lambda x, y: torch.addmm(y.reshape(-1, size), (x @ a).reshape(-1, rank), b, alpha=-1).view_as(y)


def _row_by_row(edit: Edit, rows: Tensor, name: str) -> Replacement:
    """The same where each row has the edit of its trial, from x (rows, tokens, d_in) and y (rows, tokens, d_out)."""
    rank = edit.rank
    # Of all trials side by side, (d_in, trials · k): a product with all of them costs less than a copy for each row.
    a = edit.a.mT.flatten(0, 1).T
    b = edit.b[rows]
    places = (rows[:, None] * rank + torch.arange(rank, device=rows.device))[:, None]

    def taken_out(x: Tensor, y: Tensor) -> Tensor:
        if x.ndim != 3 or len(x) != len(rows):
            raise RowsLost(f"{name} sees {tuple(x.shape)} where the batch has {len(rows)} rows")
        along = (x @ a).gather(-1, places.expand(-1, x.shape[1], -1))
        if rank == 1:
            return torch.addcmul(y, along, b.mT, value=-1)
        return torch.baddbmm(y, along, b.mT, alpha=-1)

    return taken_out


def _product_edit(edit: Edit) -> Transform:
    """The edit of fused experts as a transform of their products, which biases and routing weights come after."""

    # Side by side in memory: rows are gathered of them.
    pairs = [(a.contiguous(), b.contiguous()) for a, b in zip(edit.a.unbind(-1), edit.b.unbind(-1), strict=True)]

    def transform(x: Tensor, y: Tensor, experts: Tensor) -> Tensor:
        edited, wide = y.float(), x.float()
        if edit.c is not None:
            edited = edited * edit.c[experts]
        for a, b in pairs:
            along = (wide * a[experts]).sum(dim=-1, keepdim=True)
            edited = edited - along * b[experts]
        return edited.to(y.dtype)

    return transform


class RowsLost(Exception):
    """A matrix gets its inputs in another order than that of the batch's rows, as routed experts do."""
