"""Model folders changed in one place, and how the command line refuses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.support.commands import Ended

Tensors = dict[str, Tensor]
Change = Callable[[Tensors], Tensors]

# A matrix of the tiny model.
DOWN = "model.layers.1.mlp.down_proj.weight"


def rewrite(folder: Path, change: Change) -> None:
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(done: Ended, *said: str) -> None:
    lines = done.err.strip().splitlines()
    assert done.status == 2, done.err
    assert len(lines) == 1, done.err
    assert all(part in lines[0] for part in said), lines[0]
    assert len(lines[0]) < 600


def sharded(folder: Path) -> dict[str, str]:
    """The one weight file in two, with an index."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    halves = {f"model-0000{i}-of-00002.safetensors": names[i - 1 :: 2] for i in (1, 2)}
    for file, half in halves.items():
        save_file({name: tensors[name] for name in half}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors").unlink()
    where = {name: file for file, half in halves.items() for name in half}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return where
