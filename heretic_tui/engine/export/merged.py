"""The whole model with the edit in its weights."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heretic_tui.control import Aborted, Control
from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.progress_bars import bars_as_progress
from heretic_tui.work import Work

# Seconds between two looks at how much is written.
_LOOK = 0.2


def edit_weights(model: ChatModel, edits: Mapping[str, Edit]) -> None:
    """Put the edited matrices into the model in memory, for good."""
    for writer in model.anatomy.writers:
        if (edit := edits.get(writer.name)) is not None:
            edit_matrix(writer, edit)


def edit_matrix(writer: Writer, edit: Edit) -> None:
    """Put an edit into a matrix, or fused experts, for good: computed in float32, and rounded to the dtype that the
    parameter has."""
    if writer.stack is None:
        writer.store(edit.of(writer.weight()))
        return
    # One by one: all experts of a layer in float32, and a copy of them, may not fit beside the model.
    for index, stored in enumerate(writer.stack.matrices()):
        stored.copy_(edit.of_expert(index).of(stored.float()))


def save_whole(model: ChatModel, folder: Path, max_shard_size: str, work: Work) -> None:
    """Save all of the model, as it is in memory, with its tokenizer.

    Raises:
        Aborted: from the control, between two files.
    """
    make_savable(model.network)
    total = model.describe("none").weight_bytes
    report = work.progress("written, MB")

    def look() -> None:
        report(min(total, _bytes_in(folder)) // 10**6, max(1, total // 10**6))

    def save(apart: Work) -> None:
        with torch.no_grad(), bars_as_progress(apart):
            model.network.save_pretrained(folder, max_shard_size=max_shard_size)

    on_a_thread(save, look, work)
    model.tokenizer.save_pretrained(folder)


def on_a_thread(save: Callable[[Work], None], look: Callable[[], None], work: Work) -> None:
    """Let a library write while this thread looks how far it is: it says nothing while it writes a file of gigabytes.

    Args:
        save: is handed work that tells nothing, and ends at its next checkpoint when this work is aborted.
        look: called a few times a second.

    Raises:
        Aborted: from the control, when `save` has ended.
    """
    apart, ended, errors = Control(), threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            save(Work(control=apart))
        except BaseException as error:  # noqa: BLE001 - raised again on the thread that waits
            errors.append(error)
        ended.set()

    look()
    threading.Thread(target=run, name="save", daemon=True).start()
    aborted = None
    while not ended.wait(_LOOK):
        look()
        try:
            work.checkpoint()
        except Aborted as error:
            aborted = error
            apart.abort()
    if aborted or errors:
        raise aborted or errors[0]
    work.checkpoint()
    look()


def _bytes_in(folder: Path) -> int:
    """Bytes of the weight files that are there, whole or not."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with suppress(OSError):
            total += path.stat().st_size
    return total


def fill(parameter: Tensor, value: Tensor) -> None:
    with torch.no_grad():
        parameter.copy_(value)


def make_savable(network: nn.Module) -> None:
    """Some published generation settings (a temperature without sampling) are refused on saving."""
    generation: Any = getattr(network, "generation_config", None)
    if generation is None:
        return
    try:
        generation.validate(strict=True)
    except ValueError:
        generation.do_sample = True
