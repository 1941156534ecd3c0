"""The anatomy of a model without its weights: built on the meta device from its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig

from heretic_tui.engine.anatomy import Anatomy, find_anatomy, stream_width
from heretic_tui.engine.loading import load_config
from heretic_tui.engine.suitability import model_class
from heretic_tui.errors import UsageError, one_line
from heretic_tui.runtime.model_files import folder_of
from heretic_tui.runtime.text import quantity, ranges
from heretic_tui.settings import Settings


@dataclass(frozen=True)
class Inspection:
    """What a model is made of. `bytes` are those of its weight files, or of its parameters in the dtype it names."""

    architecture: str
    hidden_size: int
    parameters: int
    bytes: int
    anatomy: Anatomy

    def to_json(self) -> dict[str, Any]:
        """architecture, layers, writers (layer, name, component, kind, shape, editable, reason), edited, found, and
        parameters, edited_parameters, bytes."""
        writers = [
            {
                "layer": writer.layer,
                "name": writer.name,
                "component": writer.component,
                "kind": writer.kind,
                "shape": list(writer.shape),
                "editable": True,
                "reason": None,
            }
            for writer in self.anatomy.writers
        ]
        writers += [
            {
                "layer": missing.layer,
                "name": missing.name,
                "component": None,
                "kind": missing.kind,
                "shape": list(missing.shape),
                "editable": False,
                "reason": missing.reason,
            }
            for missing in self.anatomy.missing
        ]
        return {
            "architecture": self.architecture,
            "layers": len(self.anatomy.layers),
            "hidden_size": self.hidden_size,
            "parameters": self.parameters,
            "edited_parameters": self.edited_parameters,
            "bytes": self.bytes,
            "writers": sorted(writers, key=lambda writer: (writer["layer"], writer["name"])),
            "edited": len(self.anatomy.writers),
            "found": len(self.anatomy.writers) + len(self.anatomy.missing),
        }

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


def inspect_model(settings: Settings) -> Inspection:
    """Look at a model's configuration, and build it without weights.

    Raises:
        UsageError: no such model, or one that cannot be edited or built.
    """
    config = load_config(settings)
    network = without_weights(settings, config)
    anatomy = find_anatomy(network, settings.component_kinds == "fine")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    folder = folder_of(settings.model)
    stored = sum(path.stat().st_size for path in Path(folder).glob("*.safetensors")) if folder else 0
    dtype = config.dtype if isinstance(config.dtype, torch.dtype) else torch.bfloat16
    return Inspection(
        architecture=type(network).__name__,
        hidden_size=stream_width(network),
        parameters=parameters,
        bytes=stored or parameters * dtype.itemsize,
        anatomy=anatomy,
    )


def without_weights(settings: Settings, config: PretrainedConfig) -> Any:
    """The network that a configuration describes, on the meta device.

    Raises:
        UsageError: when it cannot be built.
    """
    try:
        with torch.device("meta"):
            return model_class(config).from_config(config, trust_remote_code=settings.trust_remote_code)
    except Exception as error:
        # Configurations hold whatever their authors wrote, and some classes want packages that are not there.
        raise UsageError(f"{settings.model} cannot be built from its configuration: {one_line(error)}") from error


def _product(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())
