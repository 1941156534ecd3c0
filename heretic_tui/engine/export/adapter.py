"""An edit as a PEFT adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from transformers.pytorch_utils import Conv1D

from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.edits.methods.base import EditMethod
from heretic_tui.engine.export.merged import fill
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.errors import UsageError, one_line

if TYPE_CHECKING:
    from peft import PeftMixedModel, PeftModel

# A model with an adapter on it, as PEFT has it. (PEFT takes more than a second to import, and no trial needs it.)
Adapted: TypeAlias = "PeftModel | PeftMixedModel"


def make_adapter(model: ChatModel, edits: Mapping[str, Edit], method: EditMethod, dora: bool, rank: int) -> Adapted:
    """Edits that the method made as a PEFT adapter on the model: in their exact form, of as many ranks as a layer has
    directions; or, where that is a DoRA and none is asked for (some tools lack it), as the LoRA of `rank`, or of that
    many ranks at least, that comes nearest.

    Raises:
        UsageError: for DoRA of an edit that is a plain LoRA already, an edit of fused experts, and a model whose
            matrices PEFT refuses.
    """
    if dora and not method.dora:
        raise UsageError(
            "--dora is for edits that rescale rows (edit_method = norm_preserving): this one is exactly a "
            "plain LoRA already"
        )
    writers = {writer.name: writer for writer in model.anatomy.writers if writer.name in edits}
    if not writers:
        raise UsageError("this trial edits nothing: there is no adapter to write")
    if stack := next((writer for writer in writers.values() if writer.stack is not None), None):
        raise UsageError(
            f"{stack.name} holds experts fused into one parameter, and its edit is no adapter that PEFT can write: "
            "export merged weights"
        )
    own = next(iter(edits.values())).rank
    nearest = max(rank, own) if method.dora and not dora else None
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=nearest or own,
        lora_alpha=nearest or own,
        target_modules=list(writers),
        use_dora=dora,
        fan_in_fan_out=any(isinstance(writer.module, Conv1D) for writer in writers.values()),
        bias="none",
        task_type="CAUSAL_LM",
        inference_mode=True,
    )
    try:
        adapted = get_peft_model(model.network, config)
    except ValueError as error:
        # It refuses the matrices of some architectures, such as Mamba's.
        raise UsageError(f"PEFT takes no adapter for this model: {one_line(error)}; export merged weights") from error
    layers: dict[str, Any] = dict(adapted.get_base_model().named_modules())
    for name, writer in writers.items():
        layer = layers[name]
        form = method.adapter(edits[name], writer.weight(), nearest)
        fill(layer.lora_A["default"].weight, form.a)
        fill(layer.lora_B["default"].weight, form.b)
        if form.magnitude is not None:
            fill(layer.lora_magnitude_vector["default"].weight, form.magnitude)
    return adapted


def save_adapter(adapted: Adapted, model: ChatModel, folder: Path) -> None:
    """Save an adapter alone, with the tokenizer."""
    # Embeddings are not edited; asking whether they were would ask the Hub.
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    model.tokenizer.save_pretrained(folder)
