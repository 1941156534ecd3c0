"""Names of models and files as they are typed: how they may go on, what was meant, what lies there; and the memory that
there is for a model."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heretic_tui.errors import UsageError
from heretic_tui.files import read_json, user_path
from heretic_tui.machine import MachineSample
from heretic_tui.settings.model_names import cached_models, folder_of


@dataclass(frozen=True)
class ModelFacts:
    """Read from config.json and the sizes of the weight files; what is not said there is None."""

    architecture: str
    layers: int | None
    hidden_size: int | None
    dtype: str | None
    weight_bytes: int


@dataclass(frozen=True)
class Device:
    """A place for weights, with its free and total bytes; `each`: those of one GPU, 0 where there is none; `gpus`: how
    many there are."""

    name: str
    free: int
    total: int
    each: int = 0
    gpus: int = 0


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
        architecture=str(architectures[0]),
        layers=_count(text.get("num_hidden_layers") or text.get("n_layer")),
        hidden_size=_count(text.get("hidden_size") or text.get("n_embd")),
        dtype=str(config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or "") or None,
        weight_bytes=size,
    )


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value < 10**9 else None


def place_of_weights(machine: MachineSample) -> Device:
    """Where a model goes on this machine: its GPUs together, or its memory where there are none."""
    gpus = [gpu for gpu in machine.gpus if gpu.total is not None and gpu.used is not None]
    if not gpus:
        return Device("memory", machine.total - machine.used, machine.total)
    total = sum(gpu.total or 0 for gpu in gpus)
    name = f"GPU {gpus[0].index}" if len(gpus) == 1 else f"{len(gpus)} GPUs"
    free, each = total - sum(gpu.used or 0 for gpu in gpus), min(gpu.total or 0 for gpu in gpus)
    return Device(name, free, total, each, len(gpus))


def missing_model(model: str) -> str | None:
    """Why there can be no model of a name that is not on this disk, with the nearest name that is; None for what may be
    an id on the Hub."""
    try:
        there = user_path(model)
    except UsageError as error:
        return str(error)
    if os.path.exists(there):
        return None if os.path.isdir(there) else "That is a file: a model is a folder, or a Hub id."
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        return f"no such model folder: {there}"
    return None


def meant(typed: str, kinds: Sequence[str]) -> str | None:
    """What was probably meant by a path that leads nowhere: the name in its folder that is nearest. None where none is
    near.

    Args:
        kinds: endings of files that are wanted; none: only folders.
    """
    beginning = os.path.basename(typed.rstrip("/"))
    start = typed.rstrip("/")[: -len(beginning)] if beginning else typed
    names = {os.path.basename(path.rstrip("/")): path for path in path_completions(start or "./", kinds)}
    close = difflib.get_close_matches(beginning, names, n=1, cutoff=0.6) if len(beginning) < 200 else []
    found = names[close[0]] if close else None
    return found.removeprefix("./") if found and not start else found
