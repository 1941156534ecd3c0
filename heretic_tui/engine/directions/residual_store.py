"""Every prompt's residuals in half precision, in memory or in the run folder: what geometry, separation and plots are
made of, long after the run and without the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from heretic_tui.engine.tensor_files import keep_tensors
from heretic_tui.errors import UsageError, one_line
from heretic_tui.run.folder import RunFolder
from heretic_tui.settings.prompt_sets import RUN_SETS

# Largest magnitude that a layer is scaled to: half of what float16 holds, so that rounding cannot overflow.
_TOP = 2.0**15


def stored_bytes(prompts: int, depth: int, hidden: int) -> int:
    """Size of the file for so many prompts of a model with `depth` layers."""
    return 2 * prompts * (depth + 1) * hidden


class ResidualStore:
    """Residuals by the name of their prompt set and by layer.

    Each layer of each set is kept as float16 (layers + 1, prompts, hidden) times a power of two, since some models'
    streams outgrow float16 and others' embeddings are too small for it. Layers lie one after the other, so that one of
    them is read without the rest.
    """

    def __init__(self, values: Mapping[str, Tensor], scales: Mapping[str, Tensor]) -> None:
        self._values = dict(values)
        self._scales = dict(scales)

    @classmethod
    def of(cls, sets: Mapping[str, Tensor]) -> ResidualStore:
        """From residuals of shape (prompts, layers + 1, hidden), float32."""
        values, scales = {}, {}
        for name, residuals in sets.items():
            top = residuals.abs().amax(dim=(0, 2)).double()
            exponent = torch.where(top > 0, (_TOP / top.clamp(min=1e-30)).log2().floor(), torch.zeros_like(top))
            scale = torch.exp2(-exponent)
            halves = torch.empty(residuals.shape[1], len(residuals), residuals.shape[2], dtype=torch.float16)
            for index in range(len(halves)):
                halves[index] = (residuals[:, index] / float(scale[index])).half()
            values[name], scales[name] = halves, scale
        return cls(values, scales)

    def save(self, folder: RunFolder) -> None:
        """Keep them in the run folder.

        Raises:
            HereticError: when the disk is full.
        """
        tensors = {**self._values, **{f"{name}.scale": scale for name, scale in self._scales.items()}}
        keep_tensors(folder, folder.residuals, tensors)

    @property
    def names(self) -> list[str]:
        """The sets, in the order of RUN_SETS, wherever they come from."""
        return [name for name in RUN_SETS if name in self._scales]

    @property
    def depth(self) -> int:
        """Number of layers; there is one residual index more."""
        return len(next(iter(self._scales.values()))) - 1

    def count(self, name: str) -> int:
        """Number of prompts of a set."""
        return int(self._values[name].shape[1])

    def layer(self, name: str, index: int) -> Tensor:
        """Residuals of a set at an index, float32 (prompts, hidden)."""
        return self._values[name][index].float() * float(self._scales[name][index])

    def along(self, name: str, directions: Tensor) -> Tensor:
        """Component of every residual along its layer's direction, float32 (prompts, layers + 1)."""
        return torch.stack([self.layer(name, index) @ v for index, v in enumerate(directions)], dim=1)


class _File(ResidualStore):
    """The same, read layer by layer from disk."""

    def __init__(self, path: Path) -> None:
        self._file = safe_open(str(path), framework="pt")
        keys = list(self._file.keys())
        super().__init__({}, {k.removesuffix(".scale"): self._file.get_tensor(k) for k in keys if k.endswith(".scale")})
        lengths = {len(scale) for scale in self._scales.values()}
        shapes = [self._file.get_slice(name).get_shape() for name in self._scales]
        if len(lengths) != 1 or {"good_prompts", "bad_prompts"} - set(keys):
            raise ValueError("it holds no residuals of good and bad prompts")
        if any(len(shape) != 3 or shape[0] not in lengths or shape[2] != shapes[0][2] for shape in shapes):
            raise ValueError("its tensors do not belong together")

    def count(self, name: str) -> int:
        return int(self._file.get_slice(name).get_shape()[1])

    def layer(self, name: str, index: int) -> Tensor:
        values: Tensor = self._file.get_slice(name)[index]
        return values.float() * float(self._scales[name][index])


def open_residuals(folder: RunFolder) -> ResidualStore:
    """The residuals of a run folder.

    Raises:
        UsageError: when the run kept none, or the file is damaged.
    """
    path = folder.residuals
    # Damage of the record itself is told as such.
    folder.read_record()
    try:
        folder.check(path)
        return _File(path)
    except FileNotFoundError as error:
        raise UsageError(
            f"run {folder.name} has no {path.name}: the same `heretic-tui run` command, with keep_residuals on, "
            "gathers them"
        ) from error
    except Exception as error:
        said = str(error) if isinstance(error, UsageError) else f"{path} is damaged ({one_line(error)})"
        raise UsageError(f"{said}: delete it, and the same run command makes it again") from error
