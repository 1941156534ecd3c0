"""Rows of one batch decoded on request, each under the edits of its own model: what samples, full answers and an edit
that is tried are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch

from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.edits.attach import attached, stacked
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.model.chat_model import Batch, ChatModel
from heretic_tui.engine.model.decoding import Choose, Heard, decode_batch

# By the writer's name; none for the base model.
Edits = Mapping[str, Edit]


@dataclass(frozen=True, eq=False)
class Row:
    """A prompt to be answered.

    Attributes:
        edits: the same object for all rows of one model.
        most: tokens of the answer at most.
    """

    tokens: Tokens
    edits: Edits
    most: int


def decode_rows(
    model: ChatModel,
    rows: Sequence[Row],
    heard: Heard,
    choose: Callable[[], Choose] | None = None,
    together: bool = True,
) -> None:
    """Answer prompts under edits, as many at once as the model's batch size lets.

    Args:
        heard: as for `decode_batch`; where memory runs out, some rows begin anew.
        choose: makes what picks tokens, for a batch that begins; None: the most likely token each time.
        together: whether rows of one batch can be under edits of their own.

    Raises:
        NotFiniteError: when logits are not finite.
        torch.OutOfMemoryError: when a single row is too much.
        Aborted: from the control, between tokens.
    """
    most, size = [row.most for row in rows], model.batch_size

    def decode(group: Sequence[int], batch: Batch) -> None:
        named = Batch([group[row] for row in batch.rows], batch.ids, batch.mask, batch.positions)
        edited = partial(_edited, model.anatomy.writers, rows)
        decode_batch(model, named, most, heard, choose() if choose else None, edited)

    try:
        for group in [list(range(len(rows)))] if together else _by_edits(rows):
            model.in_batches([rows[place].tokens for place in group], partial(decode, group))
    finally:
        # Where these took too much memory, the trials of a search need not.
        model.batch_size = size


def room(model: ChatModel, tokens: Tokens, most: int) -> int:
    """Tokens of an answer at most, where the model has positions for so many."""
    # The last token is not read by the model.
    return most if model.positions is None else max(1, min(most, model.positions - len(tokens) + 1))


def _by_edits(rows: Sequence[Row]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(id(row.edits), []).append(place)
    return list(groups.values())


@contextmanager
def _edited(writers: tuple[Writer, ...], rows: Sequence[Row], places: Sequence[int]) -> Iterator[None]:
    """Within the block lines are computed under the edits of these rows."""
    models = {id(rows[place].edits): rows[place].edits for place in places}
    if len(models) == 1:
        with attached(writers, next(iter(models.values()))):
            yield
        return
    number = {each: at for at, each in enumerate(models)}
    of_line = torch.tensor([number[id(rows[place].edits)] for place in places])
    with attached(writers, stacked(writers, list(models.values())), of_line):
        yield
