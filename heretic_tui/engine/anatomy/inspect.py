"""The anatomy of a model without its weights: built on the meta device from its configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import torch

from heretic_tui.engine.anatomy.few_bits import parameters_taken
from heretic_tui.engine.anatomy.writers import Anatomy, find_anatomy, stream_width
from heretic_tui.engine.checkpoint.misfit import build_empty
from heretic_tui.engine.checkpoint.packing import packing_of
from heretic_tui.engine.checkpoint.source import check_weights, load_config, locate
from heretic_tui.engine.checkpoint.stored import weight_files
from heretic_tui.errors import HereticError
from heretic_tui.settings.model_names import folder_of
from heretic_tui.settings.schema import Settings
from heretic_tui.words import quantity, ranges, size_words


@dataclass(frozen=True)
class MatrixRow:
    """One matrix that is added to the residual stream, or a layer (no shape) in which none is found.

    Attributes:
        component: what kernel edits it; None where none can.
        shape: (d_out, d_in), or (experts, d_out, d_in).
        reason: why it cannot be edited; None where it can.
    """

    layer: int
    name: str
    component: str | None
    kind: str
    shape: tuple[int, ...]
    editable: bool
    reason: str | None


@dataclass(frozen=True)
class Inspection:
    """What a model is made of.

    Attributes:
        bytes: of its weight files, or of its parameters in the dtype it names.
        quantised: parameters in the matrices that bitsandbytes takes.
        stored_as: the format of weights that are quantised; None where they are not.
        loaded: bytes of the weights in memory, where they are others than those of the files.
    """

    architecture: str
    hidden_size: int
    parameters: int
    bytes: int
    anatomy: Anatomy
    quantised: int = 0
    stored_as: str | None = None
    loaded: int | None = None

    def to_json(self) -> dict[str, object]:
        """architecture, layers, writers (each as in `MatrixRow`), edited, found, and parameters, edited_parameters,
        bytes."""
        rows = [
            MatrixRow(w.layer, w.name, w.component, w.kind, w.shape, editable=True, reason=None)
            for w in self.anatomy.writers
        ]
        rows += [
            MatrixRow(m.layer, m.name, None, m.kind, m.shape, editable=False, reason=m.reason)
            for m in self.anatomy.missing
        ]
        return {
            "architecture": self.architecture,
            "layers": len(self.anatomy.layers),
            "hidden_size": self.hidden_size,
            "parameters": self.parameters,
            "edited_parameters": self.edited_parameters,
            "bytes": self.bytes,
            "writers": [asdict(row) for row in sorted(rows, key=lambda row: (row.layer, row.name))],
            "edited": len(self.anatomy.writers),
            "found": len(self.anatomy.writers) + len(self.anatomy.missing),
        }

    def format_words(self) -> str:
        """How quantised weights are stored, and what they take in memory."""
        return (
            f"stored as {self.stored_as} ({size_words(self.bytes)}), loaded in 16 bits ({size_words(self.loaded or 0)})"
        )

    @property
    def edited_parameters(self) -> int:
        """Parameters in all the matrices that are edited."""
        return sum(_product(writer.shape) for writer in self.anatomy.writers)

    def lines(self) -> list[str]:
        """The same for people: a line for each kind and shape, with the layers that have it."""
        found = [
            f"{self.architecture}: {len(self.anatomy.layers)} layers of {self.hidden_size}, "
            f"{quantity(self.parameters)} parameters, {self.bytes / 1e9:.2f} GB"
        ]
        if self.stored_as:
            found.append(f"{self.format_words()}: edits are measured beside dequantised weights")
        layers: dict[tuple[str, str, tuple[int, ...]], list[int]] = {}
        for writer in self.anatomy.writers:
            layers.setdefault((writer.kind, writer.component, writer.shape), []).append(writer.layer)
        for (kind, component, shape), at in layers.items():
            each = len(at) // len(set(at))
            size = "×".join(map(str, shape)) + (f", {each} in each" if each > 1 else "")
            found.append(f"  {kind:18} {component:26} {size:24} layers {ranges(at)}")
        share = self.edited_parameters / self.parameters
        found.append(
            f"editing {len(self.anatomy.writers)} of {len(self.anatomy.writers) + len(self.anatomy.missing)} matrices, "
            f"{quantity(self.edited_parameters)} parameters ({share:.0%})"
        )
        reasons: dict[str, list[str]] = {}
        for missing in self.anatomy.missing:
            reasons.setdefault(missing.reason, []).append(missing.name)
        for reason, names in reasons.items():
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            found.append(f"not edited: {names[0]}{others} ({reason})")
        return found


def inspect_model(settings: Settings, weights: bool = True) -> Inspection:
    """Look at a model's configuration and the headers of its weight files, where they are there, and build it without
    weights.

    Args:
        weights: false leaves out the headers, for a folder that is not whole yet.

    Raises:
        UsageError: no such model, one that cannot be edited or built, or weights that are not what it says.
    """
    config = load_config(settings)
    folder = folder_of(settings.model)
    files = list(folder.glob("*.safetensors")) if weights and folder else []
    if weights and folder and Path(locate(settings.model)).is_dir() and (files := weight_files(folder)):
        # A model in the cache of the Hub may have been downloaded only in part.
        check_weights(settings, config)
    network = build_empty(config, settings.trust_remote_code)
    anatomy = find_anatomy(network, settings.component_kinds == "fine")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    stored = sum(path.stat().st_size for path in files)
    packing = packing_of(config)
    dtype = config.dtype if isinstance(config.dtype, torch.dtype) else torch.bfloat16
    return Inspection(
        architecture=type(network).__name__,
        hidden_size=stream_width(network),
        parameters=parameters,
        bytes=stored or parameters * dtype.itemsize,
        anatomy=anatomy,
        quantised=parameters_taken(network),
        stored_as=packing.title if packing else None,
        loaded=parameters * packing.dtype.itemsize if packing else None,
    )


# What can be known of a model before its weights are there, found when it is asked for first.
Look: TypeAlias = Callable[[], Inspection | None]


def inspected(settings: Settings) -> Inspection | None:
    """What can be known of a model before its weights are there, for checks that would rather fail early; None where it
    cannot be built so: that is told, where it matters, when it is loaded."""
    try:
        return inspect_model(settings, weights=False)
    except HereticError:
        return None


def _product(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
