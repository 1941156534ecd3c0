"""What a model's files tell without loading it: architecture, layers, bytes; and whether they fit in memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from heretic_tui.errors import UsageError
from heretic_tui.files import read_json, user_path
from heretic_tui.settings.model_names import cached_models, folder_of

# Four bits a weight, scales, and what stays in 16 bits (embeddings, norms).
_QUANTIZED = 0.32
# Caches and activations beside the weights.
_ROOM = 1.2


@dataclass(frozen=True)
class ModelFacts:
    """Read from config.json and the sizes of the weight files; what is not said there is None."""

    folder: Path
    architecture: str
    layers: int | None
    hidden_size: int | None
    dtype: str | None
    weight_bytes: int


@dataclass(frozen=True)
class Device:
    """A place for weights, with its free and total bytes."""

    name: str
    free: int
    total: int


def completions(typed: str) -> list[str]:
    """Models that begin with what was typed: folders on the disk, and ids in the local cache."""
    found = [name for name in cached_models() if name.lower().startswith(typed.lower())]
    return found + path_completions(typed, ())


def path_completions(typed: str, kinds: Sequence[str]) -> list[str]:
    """Folders, with a slash at their end, and files with these endings (lower case, with their dots) that begin with
    what was typed. Hidden ones are there for those who type their dot."""
    beginning = os.path.basename(typed)
    try:
        folder = user_path(typed[: len(typed) - len(beginning)] or ".")
        # One look a file, and in no order: a folder may hold very many.
        with os.scandir(folder) as entries:
            names = [
                entry.name + "/" * entry.is_dir()
                for entry in entries
                if entry.name.startswith(beginning) and (entry.is_dir() or entry.name.lower().endswith(tuple(kinds)))
            ]
    except (OSError, UsageError):
        return []
    shown = typed[: len(typed) - len(beginning)]
    return sorted(shown + name for name in names if beginning or not name.startswith("."))


def model_facts(model: str) -> ModelFacts | None:
    """What is known of a model before it is loaded; None for one that is not on this disk."""
    folder = folder_of(model)
    if folder is None:
        return None
    try:
        config = read_json(folder / "config.json")
        weights = list(folder.glob("*.safetensors")) or list(folder.glob("*.bin"))
        size = sum(path.stat().st_size for path in weights)
    except (OSError, UsageError):
        return None
    if not isinstance(config, dict):
        return None
    text: dict[str, Any] = config["text_config"] if isinstance(config.get("text_config"), dict) else config
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not architectures:
        architectures = [config.get("model_type") or "unknown"]
    return ModelFacts(
        folder=folder,
        architecture=str(architectures[0]),
        layers=_count(text.get("num_hidden_layers") or text.get("n_layer")),
        hidden_size=_count(text.get("hidden_size") or text.get("n_embd")),
        dtype=str(config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or "") or None,
        weight_bytes=size,
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value < 10**9 else None


def devices() -> list[Device]:
    """GPUs as nvidia-smi tells them, and the machine's memory. May take seconds: to be called on a thread."""
    found = []
    query = ["nvidia-smi", "--query-gpu=name,memory.free,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True)
        for line in done.stdout.splitlines():
            name, free, total = (part.strip() for part in line.rsplit(",", 2))
            found.append(Device(name, int(free) << 20, int(total) << 20))
    except (OSError, subprocess.SubprocessError, ValueError):
        pass
    memory = psutil.virtual_memory()
    return [*found, Device("memory", memory.available, memory.total)]


def fits(facts: ModelFacts, device: Device) -> tuple[bool, bool]:
    """Whether the weights, with room for caches, fit: as they are, and in 4 bits. (16-bit weights on the disk.)"""
    needed = facts.weight_bytes * _ROOM
    return needed <= device.free, needed * _QUANTIZED <= device.free
