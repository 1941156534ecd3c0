"""An edit as a PEFT adapter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from heretic_tui.engine.anatomy.fused_experts import Stack
from heretic_tui.engine.anatomy.writers import Writer, find_anatomy, no_adapter
from heretic_tui.engine.checkpoint.misfit import build_empty
from heretic_tui.engine.checkpoint.source import load_config
from heretic_tui.engine.edits.bank import edited_writers
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.edits.methods.base import EditMethod
from heretic_tui.engine.export.merged import fill
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.parameters import Parameters
from heretic_tui.settings.schema import Settings
from heretic_tui.work import Work

if TYPE_CHECKING:
    from peft import PeftMixedModel, PeftModel

# A model with an adapter on it, as PEFT has it. (PEFT takes more than a second to import, and no trial needs it.)
Adapted: TypeAlias = "PeftModel | PeftMixedModel"


class _Lora(Protocol):
    """PEFT's layer around a fused parameter."""

    lora_A: Mapping[str, nn.Linear]
    lora_B: Mapping[str, nn.Linear]


def make_adapter(model: ChatModel, edits: Mapping[str, Edit], method: EditMethod, dora: bool, rank: int) -> Adapted:
    """Edits that the method made as a PEFT adapter on the model: in their exact form, of as many ranks as a layer has
    directions; or, where that is a DoRA and none is asked for (some tools lack it), as the LoRA of `rank`, or of that
    many ranks at least, that comes nearest.

    Experts fused into one parameter are held by PEFT's `target_parameters`, a LoRA for each.

    Raises:
        UsageError: for DoRA of an edit that is a plain LoRA already or of fused experts, experts that PEFT cannot
            hold, and a model that PEFT takes no adapter for.
        Aborted: from the control of the model's work, between matrices.
    """
    if dora and not method.dora:
        raise UsageError(
            "--dora is for edits that rescale rows (edit_method = norm_preserving): this one is exactly a "
            "plain LoRA already"
        )
    writers = {writer.name: writer for writer in model.anatomy.writers if writer.name in edits}
    if not writers:
        raise UsageError("this trial edits nothing: there is no adapter to write")
    if why := no_adapter(writers.values()):
        raise UsageError(f"{why}: export merged weights")
    stacks = [name for name, writer in writers.items() if writer.stack is not None]
    if stacks and dora:
        raise UsageError(
            f"PEFT has no DoRA of experts fused into one parameter ({stacks[0]}): export without --dora, or merged "
            "weights"
        )
    # After several rounds some matrices have the edits of fewer than others.
    own = max(edit.rank for edit in edits.values())
    nearest = max(rank, own) if method.dora and not dora else None
    adapted = _put_on(model.network, writers, nearest or own, dora)
    layers, work = _layers_of(adapted), model.work
    report = work.progress("matrices of the adapter")
    for at, (name, writer) in enumerate(writers.items()):
        work.checkpoint()
        report(at, len(writers))
        layer, edit = layers[_key_of(writer)], edits[name].of_rank(own)
        if writer.stack is not None:
            _fill_experts(layer, writer.stack, edit, method, nearest, work)
            continue
        form = method.adapter(edit, writer.weight(), nearest)
        fill(layer.lora_A["default"].weight, form.a)
        fill(layer.lora_B["default"].weight, form.b)
        if form.magnitude is not None:
            fill(layer.lora_magnitude_vector["default"].weight, form.magnitude)
    return adapted


def adapter_problem(settings: Settings, edits: Iterable[Parameters]) -> str:
    """Why no adapter can hold edits of a model, as `make_adapter` would say it of the model in memory; found without
    its weights. Empty where one can, and where only the model in memory tells.

    Args:
        edits: those of all rounds.
    """
    if settings.layer_mask:
        # What it leaves alone needs no adapter.
        return ""
    try:
        network = build_empty(load_config(settings), settings.trust_remote_code)
        anatomy = find_anatomy(network, settings.component_kinds == "fine")
        writers = {writer.name: writer for each in edits for writer in edited_writers(anatomy.writers, each)}
    except HereticError:
        # What that is, is told where the model is loaded.
        return ""
    if why := no_adapter(writers.values()):
        return f"{why}: export merged weights"
    try:
        with torch.device("meta"):
            _put_on(network, writers, 1, dora=False)
    except UsageError as error:
        return str(error)
    return ""


def _put_on(network: nn.Module, writers: Mapping[str, Writer], rank: int, dora: bool) -> Adapted:
    """An empty adapter for some matrices, on the network.

    Raises:
        UsageError: where PEFT takes none for one of them, or would not read it back.
    """
    try:
        adapted = _taken(network, writers, rank, dora)
    except ValueError as error:
        # It refuses the matrices of some architectures, such as Mamba's.
        raise UsageError(f"PEFT takes no adapter for this model: {one_line(error)}; export merged weights") from error
    _check_reading(adapted)
    return adapted


def _taken(network: nn.Module, writers: Mapping[str, Writer], rank: int, dora: bool) -> Adapted:
    """What PEFT makes of them.

    Raises:
        ValueError: from PEFT.
        UsageError: where PEFT leaves one of them out.
    """
    from peft import LoraConfig, get_peft_model

    matrices = [name for name, writer in writers.items() if writer.stack is None]
    stacks = [name for name, writer in writers.items() if writer.stack is not None]

    def put(modules: Collection[str], parameters: Collection[str]) -> Adapted:
        config = LoraConfig(
            r=rank,
            lora_alpha=rank,
            target_modules=list(modules),
            target_parameters=list(parameters) or None,
            use_dora=dora,
            fan_in_fan_out=any(isinstance(writers[name].module, Conv1D) for name in modules),
            bias="none",
            task_type="CAUSAL_LM",
            inference_mode=True,
        )
        return get_peft_model(network, config)

    adapted = put(matrices, stacks)
    left_out = _left_out(adapted, writers)
    if left_out and stacks and all(_plain(writers[name]) for name in left_out):
        # In families with experts PEFT takes some names for those that experts had in older versions of transformers,
        # and leaves the matrices alone that have them now. As parameters it takes them under any name.
        adapted.unload()
        adapted = put(
            [name for name in matrices if name not in left_out],
            [*stacks, *(writers[name].parameter for name in left_out)],
        )
        left_out = _left_out(adapted, writers)
    if left_out:
        raise UsageError(f"PEFT takes no adapter for {left_out[0]}: export merged weights")
    return adapted


def _plain(writer: Writer) -> bool:
    """Whether a matrix is a parameter as it is: one of bitsandbytes is a row of codes."""
    return isinstance(writer.module, nn.Linear) and writer.module.weight.is_floating_point()


def _left_out(adapted: Adapted, writers: Mapping[str, Writer]) -> list[str]:
    layers = _layers_of(adapted)
    return [name for name, writer in writers.items() if _key_of(writer) not in layers]


def _layers_of(adapted: Adapted) -> dict[tuple[int, str], Any]:
    """PEFT's layers, by the module and the parameter that they are put around."""
    from peft.tuners.lora import LoraLayer

    layers = (each for each in adapted.get_base_model().modules() if isinstance(each, LoraLayer))
    return {(id(each.get_base_layer()), getattr(each, "parameter_name", "weight")): each for each in layers}


def _key_of(writer: Writer) -> tuple[int, str]:
    return (id(writer.module), "weight") if writer.stack is None else (id(writer.stack.owner), writer.stack.key)


def _fill_experts(layer: _Lora, stack: Stack, edit: Edit, method: EditMethod, rank: int | None, work: Work) -> None:
    """Fill the LoRA of a fused parameter: that of one expert after the other."""
    first: list[Tensor] = []
    second: list[Tensor] = []
    for at, matrix in enumerate(stack.matrices()):
        work.checkpoint()
        form = method.adapter(edit.of_expert(at), matrix.float(), rank)
        first.append(form.a)
        second.append(form.b)
    a, b = torch.stack(first), torch.stack(second)
    if stack.transposed and not stack.says_transposed:
        # PEFT takes the parameter for the other way round: what it calls the input is the output.
        a, b = b.mT, a.mT
    # A: experts one below the other, (experts · rank, d_in). B: experts side by side for each rank.
    fill(layer.lora_A["default"].weight, a.flatten(0, 1))
    fill(layer.lora_B["default"].weight, b.permute(1, 2, 0).flatten(1))


def _check_reading(adapted: Adapted) -> None:
    """PEFT renames what it reads by transformers' rules for the weights of older models. Where a name that it has
    written is taken for an older one, it loads an adapter without a part of it.

    Raises:
        UsageError: where it would.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    found: Any = set_peft_model_state_dict(adapted, get_peft_model_state_dict(adapted, save_embedding_layers=False))
    lost = [*found.unexpected_keys, *_of_adapter(found.missing_keys)]
    if lost:
        raise UsageError(
            f"PEFT would not read back all that it writes for this model (such as {lost[0]}): export merged weights"
        )


def _of_adapter(names: Iterable[str]) -> list[str]:
    return [name for name in names if ".lora_" in name]


def save_adapter(adapted: Adapted, model: ChatModel, folder: Path) -> None:
    """Save an adapter alone, with the tokenizer."""
    # Embeddings are not edited; asking whether they were would ask the Hub.
    adapted.save_pretrained(str(folder), save_embedding_layers=False)
    model.tokenizer.save_pretrained(folder)
