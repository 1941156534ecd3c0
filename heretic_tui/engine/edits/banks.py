"""Edits of trials in a run with one direction method or several: each has a bank of its own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.directions.by_method import MethodDirections
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.edits.methods.base import EditMethod
from heretic_tui.errors import UsageError
from heretic_tui.parameters import Parameters
from heretic_tui.words import quoted


class EditBanks:
    """
    Args:
        found: what each direction method found, by its name; the first is meant where parameters name none.
        method: how directions are taken out of a matrix.
        limit: bytes that all banks together may keep.
        before: edits that the matrices have already (bank.py).
    """

    def __init__(
        self,
        writers: tuple[Writer, ...],
        found: Mapping[str, MethodDirections],
        method: EditMethod,
        limit: int,
        before: Mapping[str, Edit] = MappingProxyType({}),
    ) -> None:
        self._found = found
        self._banks = {
            name: EditBank(writers, each.vectors, method, limit // len(found), each.readers, before)
            for name, each in found.items()
        }

    def edits(self, parameters: Parameters, masked: bool = True) -> dict[str, Edit]:
        """The edits of one trial by the writer's name; layers that are out of the kernel's reach, or left alone with
        this method's directions, are absent.

        Args:
            masked: false: no layer is left alone.

        Raises:
            UsageError: when the parameters name a direction method that the run does not have, or as `EditBank.edits`.
        """
        name = method_of(parameters, self._found)
        return self._banks[name].edits(parameters, self._found[name].edited if masked else None)


def method_of(parameters: Parameters, found: Mapping[str, MethodDirections]) -> str:
    """The direction method that parameters mean.

    Raises:
        UsageError: when they name one that is not there.
    """
    name = parameters.direction_method
    if name is None:
        return next(iter(found))
    if name not in found:
        raise UsageError(f"the run has no directions of the method {quoted(name)} (it has {', '.join(found)})")
    return name
