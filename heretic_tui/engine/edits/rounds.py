"""Edits of several rounds, each found on the model that the ones before leave, as one edit of each stored matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.directions.by_method import MethodDirections
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.edits.methods.base import EditMethod
from heretic_tui.parameters import Parameters


@dataclass(frozen=True)
class RoundEdit:
    """The edit of one round.

    Attributes:
        directions: what the direction method of these parameters found, on the model that earlier rounds left.
        method: how they are taken out of a matrix.
    """

    parameters: Parameters
    directions: MethodDirections
    method: EditMethod

    def reaches(self, writer: Writer) -> bool:
        """Whether it changes a matrix."""
        kernel, edited = self.parameters.components.get(writer.component), self.directions.edited
        inside = edited is None or writer.layer in edited
        return inside and kernel is not None and kernel.strength(writer.layer) != 0.0


def edit_of_rounds(writer: Writer, rounds: Sequence[RoundEdit]) -> Edit | None:
    """What all rounds together do to a matrix as it is stored; None where none of them changes it.

    Raises:
        UsageError: as `EditBank.edit_of`.
    """
    found: Edit | None = None
    for each in rounds:
        if each.reaches(writer):
            before = {} if found is None else {writer.name: found}
            # One for each matrix: a bank keeps something of every one.
            bank = EditBank((writer,), each.directions.vectors, each.method, 0, each.directions.readers, before)
            found = bank.edit_of(writer, each.parameters)
    return found


def edits_of_rounds(writers: Iterable[Writer], rounds: Sequence[RoundEdit]) -> dict[str, Edit]:
    """The same for many matrices, by the writer's name. Raises as that."""
    found = {writer.name: edit_of_rounds(writer, rounds) for writer in writers}
    return {name: edit for name, edit in found.items() if edit is not None}
