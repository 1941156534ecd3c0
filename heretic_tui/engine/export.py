"""From a trial to files: merged weights or an adapter, written beside and renamed, so that they are whole or absent."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from heretic_tui.engine.ablation import Edit, row_norms
from heretic_tui.engine.bars import bars_as_progress
from heretic_tui.engine.events import Emit
from heretic_tui.engine.model import ChatModel
from heretic_tui.errors import UsageError, one_line
from heretic_tui.runtime.files import write_failure
from heretic_tui.runtime.text import quoted

# Extra columns and rounds of the randomised SVD: with them the leading values are exact to float32.
_OVERSAMPLING, _ROUNDS = 8, 8
# Seconds between the making of a folder and its lock, with much to spare.
_JUST_NOW = 60.0


@contextmanager
def whole_or_absent(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its name when the block ends well and is removed when it does not.

    Raises:
        UsageError: when `out` is there already, cannot be made, or the disk is full.
    """
    check_place(out)
    beside: Path | None = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(out)
        beside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
        with _held(beside):
            # Made for its owner alone; an export is as readable as any folder of this person's.
            beside.chmod(0o777 & ~_umask())
            yield beside
            if os.path.lexists(out):
                raise FileExistsError(errno.EEXIST, "something else was written there meanwhile")
            beside.rename(out)
    except Exception as error:
        if reason := write_failure(error):
            raise UsageError(f"cannot write {out}: {reason}; nothing was left behind") from error
        raise
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)


def check_place(out: Path) -> None:
    """See that a folder can be made, before the hour that it takes to have something to put into it.

    Raises:
        UsageError: when `out` is there already, or cannot be made.
    """
    if os.path.lexists(out):
        raise UsageError(f"{out} exists already: choose another folder, or move it away")
    there = _nearest(out)
    try:
        # What is written carries its name, and libraries take names in UTF-8 only.
        str(out).encode()
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".part", dir=there):
            pass
    except UnicodeEncodeError as error:
        raise UsageError(f"cannot write {quoted(str(out), 200)}: its name is not UTF-8; choose another") from error
    except OSError as error:
        raise UsageError(f"cannot write {out}: {there}: {error.strerror or error}; choose another folder") from error


def _nearest(out: Path) -> Path:
    """The folder that `out` will lie in, or the first above it that is there."""
    return next(parent for parent in out.absolute().parents if parent.exists())


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder, which ends with this process whatever ends it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        # Not to be had on some network file systems: then leftovers there stay.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _clear_leftovers(out: Path) -> None:
    """Remove what earlier processes were killed over. A folder that another export is writing is locked; one that was
    made a moment ago may be about to be."""
    for path in out.parent.glob(f".{glob.escape(out.name)}.*.part"):
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if time.time() - os.fstat(handle).st_mtime > _JUST_NOW:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path)
            finally:
                os.close(handle)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def check_space(out: Path, needed: int) -> None:
    """Look before writing for minutes.

    Raises:
        UsageError: when the disk that `out` is to lie on has less than `needed` bytes free.
    """
    free = shutil.disk_usage(_nearest(out)).free
    if free < needed:
        raise UsageError(f"cannot write {out}: {_size(needed)} are needed and {_size(free)} are free on that disk")


def _size(number: int) -> str:
    return f"{number / 1e9:,.2f} GB" if number >= 1e8 else f"{number / 1e6:,.2f} MB"


def write_merged(model: ChatModel, edits: Mapping[str, Edit], folder: Path, max_shard_size: str, emit: Emit) -> None:
    """Put the edited matrices into the model in memory, for good, and save all of it with its tokenizer.

    Raises:
        Aborted: from the control, between two files.
    """
    for writer in model.anatomy.writers:
        edit = edits.get(writer.name)
        if edit is None:
            continue
        if writer.stack is None:
            writer.store(edit.of(writer.weight()))
            continue
        # One by one: all experts of a layer in float32, and a copy of them, may not fit beside the model.
        for index, stored in enumerate(writer.stack.matrices()):
            stored.copy_(edit.of_expert(index).of(stored.float()))
    _make_savable(model.network)
    with bars_as_progress(emit, model.control):
        model.network.save_pretrained(folder, max_shard_size=max_shard_size)  # type: ignore[operator]
    model.tokenizer.save_pretrained(folder)


def write_adapter(model: ChatModel, edits: Mapping[str, Edit], folder: Path, dora: bool, rank: int) -> None:
    """Save the edits as a PEFT adapter.

    Without renormalised rows an edit is a LoRA of rank 1 exactly: A = aᵀ, B = −b. With them it is a DoRA of rank 1
    exactly (`dora`), with the original row norms as magnitude; or, for tools that lack DoRA, the best LoRA of `rank`.

    Raises:
        UsageError: for DoRA of an edit that is a plain LoRA already, an edit of fused experts, and a model whose
            matrices PEFT refuses.
    """
    scaled = any(edit.c is not None for edit in edits.values())
    if dora and not scaled:
        raise UsageError("--dora is for row_normalization = full: this trial's edit is exactly a plain LoRA already")
    writers = {writer.name: writer for writer in model.anatomy.writers if writer.name in edits}
    if not writers:
        raise UsageError("this trial edits nothing: there is no adapter to write")
    if stack := next((writer for writer in writers.values() if writer.stack is not None), None):
        raise UsageError(
            f"{stack.name} holds experts fused into one parameter, and its edit is no adapter that PEFT can write: "
            "export merged weights"
        )
    config = LoraConfig(
        r=rank if scaled and not dora else 1,
        lora_alpha=rank if scaled and not dora else 1,
        target_modules=list(writers),
        use_dora=dora,
        fan_in_fan_out=any(isinstance(writer.module, Conv1D) for writer in writers.values()),
        bias="none",
        task_type="CAUSAL_LM",
        inference_mode=True,
    )
    try:
        adapted = get_peft_model(model.network, config)  # type: ignore[arg-type]
    except ValueError as error:
        # It refuses the matrices of some architectures, such as Mamba's.
        raise UsageError(f"PEFT takes no adapter for this model: {one_line(error)}; export merged weights") from error
    layers: dict[str, Any] = dict(adapted.base_model.model.named_modules())
    for name, writer in writers.items():
        edit, weight, layer = edits[name], writer.weight(), layers[name]
        if dora or edit.c is None:
            a, b = edit.a[None], -_before_scaling(edit)[:, None]
        else:
            a, b = _low_rank(edit.of(weight) - weight, rank)
        _fill(layer.lora_A["default"].weight, a)
        _fill(layer.lora_B["default"].weight, b)
        if dora:
            _fill(layer.lora_magnitude_vector["default"].weight, row_norms(weight))
    # Embeddings are not edited; asking whether they were would ask the Hub.
    adapted.save_pretrained(folder, save_embedding_layers=False)
    model.tokenizer.save_pretrained(folder)


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every weight file of a folder, by name."""
    hashes = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            hashes[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def _before_scaling(edit: Edit) -> Tensor:
    """λ n∘v: DoRA scales the rows itself, so its B is b without c."""
    return edit.b if edit.c is None else edit.b / edit.c


def _low_rank(change: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """A (rank, d_in) and B (d_out, rank) whose product is the best approximation of the change of that rank."""
    size = min(rank + _OVERSAMPLING, *change.shape)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        u, s, v = torch.svd_lowrank(change, q=size, niter=_ROUNDS)
    root = s[:rank].sqrt()
    return (v[:, :rank] * root).T, u[:, :rank] * root


def _fill(parameter: Tensor, value: Tensor) -> None:
    with torch.no_grad():
        parameter.copy_(value)


def _make_savable(network: nn.Module) -> None:
    """Some published generation settings (a temperature without sampling) are refused on saving."""
    generation: Any = getattr(network, "generation_config", None)
    if generation is None:
        return
    try:
        generation.validate(strict=True)
    except ValueError:
        generation.do_sample = True
