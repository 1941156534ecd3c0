"""From a file: directions that were found before, by another run or by somebody else.

A safetensors file (the setting `direction_file`): the `directions.safetensors` of a run, of which the first method's
are taken; or a file with one tensor, or one called `directions`, of the shape (layers + 1, hidden) (index 0 is the
embedding output, index l + 1 the output of layer l), (layers + 1, k, hidden), or (hidden,), which is taken for every
layer. Vectors are brought to length one; of several of a layer the first ones are taken, as many as
`directions_per_layer` says. Costs nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heretic_tui.engine.directions.methods.base import Given
from heretic_tui.engine.directions.subspace import orthonormal_rows
from heretic_tui.engine.directions.subspaces import of_layers
from heretic_tui.engine.inputs.direction_files import read_direction_file
from heretic_tui.errors import HereticError
from heretic_tui.words import counted


class FromFile:
    """r_l = normalise(what the file holds)."""

    uses: tuple[str, ...] = ("direction_file", "directions_per_layer")

    def directions(self, given: Given) -> Tensor:
        assert given.file is not None
        found = of_layers(read_direction_file(given.file, *given.good.mean.shape).double())
        if found.shape[1] < given.count:
            held = counted(found.shape[1], "direction")
            raise HereticError(f"direction_file: {given.file} holds {held} of a layer, not {given.count}")
        if given.count > 1:
            return orthonormal_rows(found[:, : given.count])
        return torch.nn.functional.normalize(found[:, 0], dim=-1)


METHOD = FromFile
