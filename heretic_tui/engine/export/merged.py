"""The whole model with the edit in its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.engine.model.progress_bars import bars_as_progress
from heretic_tui.work import Work


def write_merged(model: ChatModel, edits: Mapping[str, Edit], folder: Path, max_shard_size: str, work: Work) -> None:
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
    make_savable(model.network)
    with bars_as_progress(work):
        model.network.save_pretrained(folder, max_shard_size=max_shard_size)
    model.tokenizer.save_pretrained(folder)


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
