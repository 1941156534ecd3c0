"""An edit put into the files of a model in both ways, and the tensors that come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel

from heretic_tui.engine.anatomy.kept import keep_writers, kept_writers
from heretic_tui.engine.anatomy.writers import Anatomy
from heretic_tui.engine.checkpoint.packing import packing_of
from heretic_tui.engine.checkpoint.stored import stored_tensors
from heretic_tui.engine.directions.by_method import MethodDirections
from heretic_tui.engine.directions.subspaces import of_layers
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.methods.base import edit_method
from heretic_tui.engine.edits.rounds import RoundEdit
from heretic_tui.engine.export.merged import edit_matrix
from heretic_tui.engine.export.streamed import StreamedMerge, plan_merge
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.run.folder import RunFolder
from heretic_tui.work import Work
from tests.support.definitions import bases


def directions_for(anatomy: Anatomy, rank: int = 1) -> Tensor:
    """Of each residual index, (layers + 1, hidden), or (layers + 1, rank, hidden) for several."""
    layers, hidden = len(anatomy.layers), anatomy.writers[0].shape[-2]
    if rank > 1:
        return bases(layers, rank, hidden)
    return nn.functional.normalize(torch.randn(layers + 1, hidden, generator=torch.Generator().manual_seed(1)), dim=-1)


def all_layers(anatomy: Anatomy) -> Parameters:
    """An edit of every component in every layer, each with another strength."""
    depth = len(anatomy.layers)
    return Parameters(None, {name: Kernel(1.1, 0, 0.7, depth + 7) for name in anatomy.components})


def planned(
    source: Path,
    network: PreTrainedModel,
    anatomy: Anatomy,
    folder: Path,
    parameters: Parameters,
    method: str,
    directions: Tensor | None = None,
    requantize: bool = False,
) -> StreamedMerge:
    """The edit as it would be written to the files of a source, which `network` was loaded from; the anatomy goes
    through a run folder."""
    vectors = directions_for(anatomy) if directions is None else directions
    run = RunFolder(folder)
    run.create()
    keep_writers(run, anatomy)
    # As its files say it: saving has changed the configuration of the one in memory.
    config = type(network.config).from_pretrained(source)
    with torch.device("meta"):
        empty = type(network)(config)
    kept = kept_writers(run, empty, fine=False)
    assert kept is not None
    packing = packing_of(config)
    edit = RoundEdit(parameters, MethodDirections(of_layers(vectors)), edit_method(method))
    return plan_merge(source, empty, kept.writers, [edit], packing, requantize)


def stream(plan: StreamedMerge, out: Path, work: Work | None = None) -> None:
    out.mkdir()
    plan.write(out, work or Work())


def edit_in_memory(anatomy: Anatomy, parameters: Parameters, method: str, rank: int = 1) -> None:
    edits = EditBank(anatomy.writers, directions_for(anatomy, rank), edit_method(method), 1 << 30).edits(parameters)
    with torch.no_grad():
        for writer in anatomy.writers:
            if writer.name in edits:
                edit_matrix(writer, edits[writer.name])


def tensors_in(folder: Path) -> dict[str, Tensor]:
    """All that the weights of a folder hold, by name."""
    found: dict[str, Any] = {}
    for name, stored in stored_tensors(folder).items():
        with safe_open(stored.file, "pt") as file:
            found[name] = file.get_tensor(name)
    return found


def unlike(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Names that both have, of tensors that are not the same bit for bit."""
    return [
        name
        for name in sorted(one.keys() & other.keys())
        if one[name].dtype != other[name].dtype or not torch.equal(one[name], other[name])
    ]
