"""Rows of one batch decoded on request, each under the edits of its own model, a step at a time: what samples, full
answers and an edit that is tried are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from heretic_tui.commands import Sampling
from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.edits.attach import Attached, Edits, under
from heretic_tui.engine.finite import NotFiniteError
from heretic_tui.engine.inputs.tokens import Tokens
from heretic_tui.engine.memory import is_out_of_memory, release_blocks
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.decoding import Choose, Heard, Steps, decode_batch, pick_rows


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
) -> Steps[None]:
    """Answer prompts under edits, as many at once as the model's batch size lets. Between two steps nothing is left on
    the model.

    Args:
        heard: as for `decode_batch`; where memory runs out, some rows begin anew.
        choose: makes what picks tokens, for a batch that begins; None: the most likely token each time.
        together: whether rows of one batch can be under edits of their own.

    Raises:
        NotFiniteError: when logits are not finite.
        torch.OutOfMemoryError: when a single row is too much.
        Aborted: from the control, between tokens.
    """
    tokens, most = [row.tokens for row in rows], [row.most for row in rows]
    edited = partial(_edited, model.anatomy.writers, rows)
    # Where these take too much memory, the trials of a search need not.
    size = model.batch_size
    for group in [list(range(len(rows)))] if together else _by_edits(rows):
        left = sorted(group, key=lambda place: -len(tokens[place]))
        while left:
            some = left[:size]
            if not model.padding_safe:
                some = [place for place in some if len(tokens[place]) == len(tokens[some[0]])]
            model.work.checkpoint()
            try:
                yield from decode_batch(
                    model, model.batch(some, tokens), most, heard, choose() if choose else None, edited
                )
                left = left[len(some) :]
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error) or len(some) == 1:
                    raise
            # Not above: there the error's traceback still holds the tensors that are in the way.
            size = len(some) // 2
            release_blocks()


def drawing(sampling: Sampling, seeds: Sequence[int]) -> Callable[[], Choose]:
    """What `decode_rows` is given to draw tokens with: each row by a seed of its own, from its first token on, so that
    its answer depends on neither the batch nor the rows beside it, as far as rounding goes.

    Args:
        seeds: one for each row.
    """

    def begin() -> Choose:
        generators: dict[int, torch.Generator] = {}

        def drawn(logits: Tensor, places: Sequence[int]) -> list[int]:
            for place in places:
                if place not in generators:
                    generators[place] = torch.Generator().manual_seed(seeds[place])
            try:
                return pick_rows(logits, sampling, [generators[place] for place in places])
            except NotFiniteError as error:
                raise error.among(places) from None

        return drawn

    return begin


def room(model: ChatModel, tokens: Tokens, most: int) -> int:
    """Tokens of an answer at most, where the model has positions for so many."""
    # The last token is not read by the model.
    return most if model.positions is None else max(1, min(most, model.positions - len(tokens) + 1))


def _by_edits(rows: Sequence[Row]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault(id(row.edits), []).append(place)
    return list(groups.values())


def _edited(writers: tuple[Writer, ...], rows: Sequence[Row], places: Sequence[int]) -> Callable[[], Attached]:
    """Makes blocks within which lines are computed under the edits of these rows."""
    return under(writers, [rows[place].edits for place in places])
