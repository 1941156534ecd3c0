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
    a, b, c = edit.a, edit.b, edit.c
    # c ∘ (y − bias) + bias = c ∘ y + (1 − c) ∘ bias: the bias is no part of the matrix and stays as it is.
    offset = None if bias is None or c is None else (1 - c) * bias.float()
    rows: Tensor | None = None
    if trial_of_row is not None:
        # Vectors of each row, of shapes that broadcast with (rows, tokens, d).
        rows = trial_of_row.to(a.device)
        b = b[rows, None]
        c = None if c is None else c[rows, None]
        offset = None if offset is None else offset[rows, None]

    def edited(x: Tensor, output: Tensor) -> Tensor:
        # float32 until the end: c is about 0.999 and vanishes in bfloat16.
        y, x = output.float(), x.float()
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

    return edited


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
