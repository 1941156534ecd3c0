"""Every family of transformers that answers in text: all writers edited, nothing of a direction is added any more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import PeftModel
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import logging

from heretic_tui.engine.anatomy.probe import examine
from heretic_tui.engine.anatomy.writers import Anatomy
from heretic_tui.engine.checkpoint.misfit import try_on
from heretic_tui.engine.checkpoint.stored import stored_tensors
from heretic_tui.engine.checkpoint.suitability import OUT_OF_SCOPE, refuse_unsuitable
from heretic_tui.engine.edits.attach import attached
from heretic_tui.engine.edits.bank import EditBank
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.edits.methods import subtract
from heretic_tui.engine.export.adapter import make_adapter, save_adapter
from heretic_tui.engine.export.streamed import NotStreamable
from heretic_tui.engine.model.chat_model import ChatModel
from heretic_tui.errors import UsageError
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.work import Work
from tests.support import families, tiny_models
from tests.support.merges import planned, stream, tensors_in, unlike

logging.set_verbosity_error()
LIST = Path(__file__).parents[3] / "docs" / "architectures.md"
FOUND: dict[str, str] = {}
ADAPTERS: dict[str, str] = {}
STREAMED: dict[str, str] = {}
# Why families have no adapter, and by what the refusal is known.
REFUSED = {
    "PEFT refuses their matrices": "PEFT takes no adapter",
    "PEFT takes names that it wrote for those of older files when it reads them": "would not read back",
    "their experts are used outside the module that holds them": "are used outside their own module",
}
KINDS = [kind for kind in sorted(families.families()) if kind not in OUT_OF_SCOPE]
TOKENS = torch.randint(0, families.VOCABULARY // 2, (2, 7), generator=torch.Generator().manual_seed(3))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost these models more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def logits(network: nn.Module) -> Tensor:
    with torch.inference_mode():
        found: Tensor = network(input_ids=TOKENS, use_cache=False).logits
        return found


def unit(width: int) -> Tensor:
    return nn.functional.normalize(torch.randn(width, generator=torch.Generator().manual_seed(5)), dim=0)


def without(direction: Tensor, tensor: Tensor) -> Tensor:
    """The tensor with its component along a unit direction, over the last dimension, taken out."""
    rows = tensor.reshape(*tensor.shape[:-1], -1, len(direction))
    return (rows - (rows @ direction)[..., None] * direction).reshape(tensor.shape)


def prepare(network: nn.Module, anatomy: Anatomy, direction: Tensor) -> None:
    """Embeddings, and biases, which edits leave alone, bring nothing of the direction."""
    width = len(direction)
    aims: dict[int, Tensor] = {}
    for writer in anatomy.writers:
        if writer.bias is not None:
            aims[id(writer.bias)] = nn.functional.normalize(writer.through_post_norm(direction[:, None])[:, 0], dim=0)
    for name, parameter in network.named_parameters():
        if id(parameter) in aims:
            parameter.copy_(without(aims[id(parameter)], parameter))
        elif (
            parameter.ndim
            and parameter.shape[-1] == width
            and (name.endswith("bias") or (("embed" in name or "wte" in name or "wpe" in name) and parameter.ndim == 2))
        ):
            parameter.copy_(without(direction, parameter))


def components(network: nn.Module, anatomy: Anatomy, direction: Tensor) -> list[float]:
    """After every layer, the largest component of the stream along the direction, relative to the stream's length."""
    found: list[float] = []

    def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        if args:
            return (without(direction, args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": without(direction, kwargs["hidden_states"])}

    def leave(module: nn.Module, args: tuple[object, ...], output: object) -> None:
        stream = output[0] if isinstance(output, tuple | list) else output
        assert isinstance(stream, Tensor)
        rows = stream.reshape(-1, len(direction))
        found.append(float((rows @ direction).abs().max() / rows.norm(dim=-1).max()))

    hooks = [anatomy.layers[0].register_forward_pre_hook(enter, with_kwargs=True)]
    hooks += [layer.register_forward_hook(leave) for layer in anatomy.layers]
    try:
        logits(network)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def whole_edit(anatomy: Anatomy) -> Parameters:
    """Of weight 1, in all layers."""
    return Parameters(None, {name: Kernel(1.0, 0, 1.0, len(anatomy.layers)) for name in anatomy.components})


def streamed(source: Path, network: PreTrainedModel, anatomy: Anatomy, directions: Tensor, folder: Path) -> str:
    """yes, or why the edit cannot be written file by file. Where it can be, it is what the model in memory gives."""
    try:
        plan = planned(source, network, anatomy, folder / "run", whole_edit(anatomy), "subtract", directions)
    except NotStreamable as error:
        return str(error)
    stream(plan, folder / "streamed")
    one, other = tensors_in(folder / "streamed"), tensors_in(folder)
    assert one.keys() == other.keys()
    assert unlike(one, other) == []
    return "yes"


def outcome(kind: str, folder: Path) -> str:
    """works, or what is missing. Whatever must hold for every family is asserted."""
    refuse_unsuitable(families.small_config(kind))
    network = families.build(kind)
    anatomy = examine(network)
    direction = unit(anatomy.writers[0].shape[-2])
    prepare(network, anatomy, direction)
    base = logits(network)
    assert torch.isfinite(base).all()
    directions = direction.expand(len(anatomy.layers) + 1, -1)
    edits = EditBank(anatomy.writers, directions, subtract.METHOD(), 1 << 30).edits(whole_edit(anatomy))
    assert len(edits) == len(anatomy.writers)
    network.save_pretrained(folder / "source", max_shard_size="40KB")
    before = components(network, anatomy, direction)
    with attached(anatomy.writers, edits):
        edited = logits(network)
        after = components(network, anatomy, direction)
    assert torch.equal(logits(network), base), "detached, the outputs are the base model's"
    assert max(before) > 1e-3, "unedited, the layers write to the direction"
    told = [*map(str, anatomy.missing), *anatomy.partly, *anatomy.notes]
    if not told:
        assert max(after) < 1e-4, f"a component of {max(after):.1e} is left, and nothing is told of it"
    for writer in anatomy.writers:
        writer.store(edits[writer.name].of(writer.weight()))
    torch.testing.assert_close(logits(network), edited, rtol=2e-3, atol=2e-3 * float(edited.abs().max()))
    network.save_pretrained(folder)
    STREAMED[kind] = streamed(folder / "source", network, anatomy, directions, folder)
    again = type(network).from_pretrained(folder).eval()
    assert try_on(type(again), again.config, stored_tensors(folder)) == [], "nothing of it is left out"
    torch.testing.assert_close(logits(again), edited, rtol=2e-3, atol=2e-3 * float(edited.abs().max()))
    ADAPTERS[kind] = adapter(kind, again, edits, edited, folder / "adapter")
    return "; ".join(told) or "works"


def adapter(kind: str, network: PreTrainedModel, edits: dict[str, Edit], edited: Tensor, folder: Path) -> str:
    """works, or why there is none. The adapter of the edits, on another copy of the base model, gives their outputs."""
    model = ChatModel(network, tiny_models.tokenizer(), Work())
    try:
        save_adapter(make_adapter(model, edits, subtract.METHOD(), dora=False, rank=1), model, folder)
    except UsageError as error:
        reason = next((reason for reason, said in REFUSED.items() if said in str(error)), None)
        if reason is None:
            raise
        return reason
    base = families.build(kind)
    anatomy = examine(base)
    prepare(base, anatomy, unit(anatomy.writers[0].shape[-2]))
    adapted = PeftModel.from_pretrained(base, folder).eval()
    torch.testing.assert_close(logits(adapted), edited, rtol=2e-3, atol=2e-3 * float(edited.abs().max()))
    return "works"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in families.NOT_BUILT])
def test_family(kind: str, tmp_path: Path) -> None:
    FOUND[kind] = outcome(kind, tmp_path)


def test_the_list_of_architectures_is_true() -> None:
    """docs/architectures.md is what the tests above found; `HERETIC_WRITE_DOCS=1` writes it."""
    if set(FOUND) != set(KINDS) - set(families.NOT_BUILT):
        pytest.skip("not every family was tried")
    text = listing()
    if os.environ.get("HERETIC_WRITE_DOCS"):
        LIST.write_text(text, encoding="utf-8")
    assert LIST.read_text(encoding="utf-8") == text


# Checked by tests/engine/checkpoint/test_quantised.py and tests/engine/export/test_quantised.py.
QUANTISED = (
    "| files | in memory | an export | with `--requantize` |",
    "|---|---|---|---|",
    "| FP8 (scales `weight_scale_inv`, in blocks or one a matrix) | in 16 bits | edited matrices in 16 "
    "bits, named in `modules_to_not_convert`; all experts of a layer together | edited matrices as FP8 |",
    "| MXFP4 (gpt-oss: `_blocks`, `_scales`) | in 16 bits | all of it in 16 bits, where an expert is edited | "
    "edited experts as MXFP4, nearest numbers |",
    "| others (GPTQ, AWQ, compressed-tensors, bitsandbytes, FP4 experts) | refused | | |",
    "",
    "What is not edited keeps its bytes. (transformers itself takes FP8 blocks at the edges of a matrix for as large",
    "as the others, where it dequantises: it refuses such files without a GPU, or reads them wrongly.)",
)


def listing() -> str:
    names = families.families()
    works = [kind for kind in KINDS if FOUND.get(kind) == "works"]
    partly = {kind: text for kind, text in FOUND.items() if text != "works"}
    lines = [
        "# Architectures",
        "",
        "Written by `tests/engine/anatomy/test_architectures.py`, from small random models of every causal and",
        f"image-text-to-text family of transformers {transformers.__version__}. In those that work, an edit of",
        "weight 1 of all writers",
        "leaves no layer that adds anything of the direction to the residual stream (float32, to 1e-4 of its length),",
        "the base model comes back bit for bit, and the exported weights load to the edited outputs.",
        "",
        f"## Works ({len(works)})",
        "",
        ", ".join(f"{names[kind]} (`{kind}`)" for kind in works) + ".",
        "",
        f"## Partly ({len(partly)})",
        "",
        "All that was found is edited; what keeps the direction from going entirely is said when the model is loaded.",
        "",
        "| family | what is missing |",
        "|---|---|",
        *(f"| {names[kind]} (`{kind}`) | {text} |" for kind, text in sorted(partly.items())),
        "",
        "## Adapters",
        "",
        "An adapter of the edits, loaded by PEFT onto the base model, gives the edited outputs too, in "
        f"{sum(found == 'works' for found in ADAPTERS.values())}",
        "families, those with fused experts included. The others are exported as merged weights:",
        "",
        *(
            f"- {reason}: " + ", ".join(f"`{kind}`" for kind in sorted(ADAPTERS) if ADAPTERS[kind] == reason)
            for reason in REFUSED
        ),
        "",
        "## Exports file by file",
        "",
        "Merged weights are made from the source's files one matrix at a time, and are bit for bit those that the",
        f"model in memory gives, in {sum(found == 'yes' for found in STREAMED.values())} families.",
        *(f"- `{kind}` is loaded whole: {reason}" for kind, reason in sorted(STREAMED.items()) if reason != "yes"),
        "",
        "## Checkpoints that are quantised",
        "",
        *QUANTISED,
        "",
        f"## Not tried ({len(families.NOT_BUILT)})",
        "",
        *(f"- {names[kind]} (`{kind}`): {reason}" for kind, reason in families.NOT_BUILT.items()),
        "",
        "## Out of scope",
        "",
    ]
    for reason in dict.fromkeys(OUT_OF_SCOPE.values()):
        own = [kind for kind, why in OUT_OF_SCOPE.items() if why == reason]
        lines.append(f"- {reason}: " + ", ".join(f"`{kind}`" for kind in own))
    return "\n".join(lines) + "\n"
