"""From a file: directions that were found before, by another run or by somebody else.

A safetensors file (the setting `direction_file`): the `directions.safetensors` of a run, of which the first method's
are taken; or a file with one tensor, or one called `directions`, of the shape (layers + 1, hidden) (index 0 is the
embedding output, index l + 1 the output of layer l), (layers + 1, k, hidden), or (hidden,), which is taken for every
layer. Vectors are brought to length one; of several of a layer the first ones are taken, as many as
`directions_per_layer` says. What a run with `leace` wrote beside them (`readers`, what they are read along) is taken
too. Costs nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heretic_tui.engine.directions.methods.base import Given, Oblique
from heretic_tui.engine.directions.subspaces import orthonormal_rows
from heretic_tui.engine.inputs.direction_files import read_direction_file


class FromFile:
    """r_l = normalise(what the file holds)."""

    uses: tuple[str, ...] = ("direction_file", "directions_per_layer")

    def directions(self, given: Given) -> Tensor | Oblique:
        assert given.file is not None
        depth, hidden = given.good.mean.shape
        found, readers = read_direction_file(given.file, depth, hidden, given.count)
        if given.count > 1:
            return orthonormal_rows(found)
        one = torch.nn.functional.normalize(found[:, 0], dim=-1)
        return one if readers is None else Oblique(one, readers)


METHOD = FromFile
