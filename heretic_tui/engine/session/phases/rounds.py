"""The edits of the earlier rounds of a run, from its folder: every trial is on top of them."""

from __future__ import annotations

from heretic_tui.engine.directions.by_method import from_tensors
from heretic_tui.engine.edits.banks import method_of
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.edits.rounds import RoundEdit
from heretic_tui.engine.session.phases.saved_directions import saved_directions
from heretic_tui.errors import UsageError
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.record import methods_named
from heretic_tui.run.rounds import parameters_before


def edits_before(folder: RunFolder, layers: int, hidden: int) -> list[RoundEdit]:
    """The edits of the earlier rounds, the first one first; none for a run on top of the model itself.

    Args:
        layers, hidden: of the model.

    Raises:
        UsageError: where what the folder keeps of one is damaged.
    """
    found = []
    rounds = zip(folder.read_record().rounds, parameters_before(folder), strict=True)
    for number, (each, parameters) in enumerate(rounds, start=1):
        path = folder.round_directions(number)
        methods = methods_named(each.settings)
        tensors = saved_directions(folder, path, layers, hidden, methods)
        if tensors is None:
            raise UsageError(f"{path} is gone: put back a copy, or begin another run")
        by_method = from_tensors(tensors, methods)
        directions = by_method[method_of(parameters, by_method)]
        found.append(RoundEdit(parameters, directions, edit_method(str(each.settings.get("edit_method")))))
    return found
