"""Whether an export holds every tensor of its source, and what is copied over where the loaded class drops some."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from heretic_tui.engine.checkpoint.opened import Held, Packed, opened
from heretic_tui.engine.checkpoint.packing import Packing
from heretic_tui.engine.checkpoint.stored import Stored, stored_tensors
from heretic_tui.errors import HereticError
from heretic_tui.work import Work

_INDEX = "model.safetensors.index.json"
_COPIED = "model-copied.safetensors"


def copy_missing_tensors(source: Path, folder: Path, packing: Packing | None, work: Work) -> None:
    """Compare an export with its source by names and shapes, and copy what is missing, such as the heads that predict
    several tokens, which transformers does not load. Files that lie beside the source's own weights are no part of it.

    Args:
        packing: how the source is quantised; what is copied of it is not.

    Raises:
        HereticError: for a tensor that has another shape than the source's.
    """
    stored, after = stored_tensors(source), stored_tensors(folder)
    before = opened(stored, packing)
    if not before or any(each.file.suffix != ".safetensors" for each in stored.values()):
        work.note("the source holds no safetensors files: the export was not compared with it")
        return
    for name in before.keys() & after.keys():
        if before[name].shape != after[name].shape:
            raise HereticError(f"{name} is {after[name].shape} in the export and {before[name].shape} in the source")
    missing, new = sorted(before.keys() - after.keys()), sorted(after.keys() - before.keys())
    if missing and new:
        # The class renames tensors. What is missing may be edited ones under their old names: copying would bring
        # the unedited ones back.
        work.note(
            f"{len(missing)} tensors of the source are under other names in the export, such as {missing[0]}, "
            f"or left out; {len(new)} names are new, such as {new[0]}",
            "warning",
        )
    elif missing:
        _copy(missing, before, after, folder)
        work.note(f"{len(missing)} tensors that are not loaded were copied as they are, such as {missing[0]}")


def _copy(names: list[str], before: dict[str, Held], after: dict[str, Stored], folder: Path) -> None:
    copied = {}
    for name in names:
        if isinstance(held := before[name], Packed):
            copied[name] = held.read()
            continue
        with safe_open(held.file, "pt") as file:
            copied[name] = file.get_tensor(name)
    save_file(copied, folder / _COPIED, metadata={"format": "pt"})
    index = folder / _INDEX
    if index.is_file():
        record = json.loads(index.read_text(encoding="utf-8"))
    else:
        # A single file by the usual name would be loaded without a look at the index.
        (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
        record = {"metadata": {}, "weight_map": dict.fromkeys(after, "model-00001-of-00001.safetensors")}
    record["weight_map"].update(dict.fromkeys(names, _COPIED))
    record["metadata"]["total_size"] = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    index.write_text(json.dumps(record, indent=2, sort_keys=True), encoding="utf-8")
