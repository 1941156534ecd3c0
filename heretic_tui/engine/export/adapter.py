"""An edit as a PEFT adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from heretic_tui.engine.edits.edit import Edit, row_norms
from heretic_tui.engine.export.merged import fill
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.errors import UsageError, one_line

# Extra columns and rounds of the randomised SVD: with them the leading values are exact to float32.
_OVERSAMPLING, _ROUNDS = 8, 8


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
        fill(layer.lora_A["default"].weight, a)
        fill(layer.lora_B["default"].weight, b)
        if dora:
            fill(layer.lora_magnitude_vector["default"].weight, row_norms(weight))
    # Embeddings are not edited; asking whether they were would ask the Hub.
    adapted.save_pretrained(folder, save_embedding_layers=False)
    model.tokenizer.save_pretrained(folder)


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
