"""What the probe found of a model's writers, kept in the run folder: with it a trial's matrices are edited without the
model in memory, which the probe needs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from heretic_tui.engine.anatomy.writers import Anatomy, find_anatomy, stream_width
from heretic_tui.engine.tensor_files import keep_tensors, kept_tensors
from heretic_tui.errors import UsageError
from heretic_tui.run.folder import RunFolder

# What stands in the file before a writer's name: what lies behind it.
_PLAIN, _GAIN, _CENTRED = "plain", "gain", "centred"


def keep_writers(folder: RunFolder, anatomy: Anatomy) -> None:
    """Write the names of the writers of a loaded model, and the gains of the norms behind them.

    Raises:
        HereticError: when the disk is full or the folder cannot be written to.
    """
    found: dict[str, Tensor] = {}
    for writer in anatomy.writers:
        gain = writer.post_norm_gain
        kind = _PLAIN if gain is None else _CENTRED if writer.centred else _GAIN
        # A copy of each: the file takes no two tensors that share memory.
        found[f"{kind} {writer.name}"] = torch.zeros(0) if gain is None else gain.detach().float().cpu().clone()
    keep_tensors(folder, folder.writers, found)


def kept_writers(folder: RunFolder, network: nn.Module, fine: bool) -> Anatomy | None:
    """The anatomy of a network, whose weights may be on the meta device, with what was found of it when it was loaded;
    None where the folder does not hold that.

    Args:
        fine: a component for each kind of writer, instead of two.

    Raises:
        UsageError: when the file is damaged, or is of another network.
    """
    found = kept_tensors(folder, folder.writers)
    if found is None:
        return None
    anatomy, width = find_anatomy(network, fine), stream_width(network)
    gains: dict[str, tuple[str, Tensor]] = {}
    for key, gain in found.items():
        kind, _, name = key.partition(" ")
        shape = (0,) if kind == _PLAIN else (width,)
        if kind not in (_PLAIN, _GAIN, _CENTRED) or gain.shape != shape or not gain.isfinite().all():
            raise UsageError(f"{folder.writers} is damaged (at {key[:100]!r})")
        gains[name] = kind, gain
    if strange := sorted(gains.keys() - {writer.name for writer in anatomy.writers}):
        raise UsageError(f"{folder.writers} is of another network, which has a matrix {strange[0][:100]!r}")
    writers = []
    for writer in anatomy.writers:
        if writer.name in gains:
            kind, gain = gains[writer.name]
            behind = None if kind == _PLAIN else gain
            writers.append(replace(writer, post_norm_gain=behind, centred=kind == _CENTRED))
    return replace(anatomy, writers=tuple(writers))
