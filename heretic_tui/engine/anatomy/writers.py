"""The decoder layers of any model, and in them every matrix whose output is added to the residual stream."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig
from transformers.pytorch_utils import Conv1D

from heretic_tui.engine.anatomy.few_bits import whole_matrix
from heretic_tui.engine.anatomy.fused_experts import Stack
from heretic_tui.engine.anatomy.matrix_names import component_of, in_order, kind_of
from heretic_tui.errors import UsageError
from heretic_tui.events import Coverage

# Stacks of layers that do not carry the text's residual stream.
_OTHER_TOWERS = re.compile(
    r"vision|visual|audio|image|speech|vit|sam_|protein|qformer|resampler|connector|cross_attn_layers|mtp|nextn"
    r"|depth_decoder|vqmodel|dit\."
)
_ENCODER = re.compile(r"encoder")
# Entries of fused experts that are worked on at once: a quarter of a GiB in float32.
ENTRIES_AT_ONCE = 1 << 26


@dataclass(frozen=True)
class Writer:
    """A matrix whose output is added to the residual stream, y = W x (+ bias); or the matrices of fused experts.

    Attributes:
        layer: index of the decoder layer.
        component: what kernel edits it.
        name: dotted path in the whole model, of the module, or of the parameter of fused experts.
        module: the live module (Linear, Conv1D, a quantised one of bitsandbytes, or what holds the fused parameter).
        kind: what it is for; see anatomy/matrix_names.py.
        stack: the fused parameter, None for a matrix of its own.
        post_norm_gain: what the architecture multiplies the output with, channel by channel, before the sum: the gain
            of a norm behind the writer, (hidden,) float32; None where there is none, or it is left out of account.
        centred: whether that norm subtracts the mean.
    """

    layer: int
    component: str
    name: str
    module: nn.Module
    kind: str = "dense"
    stack: Stack | None = None
    post_norm_gain: Tensor | None = None
    centred: bool = False

    @property
    def bias(self) -> Tensor | None:
        if self.stack is not None:
            return getattr(self.stack.owner, f"{self.stack.key}_bias", None)
        return getattr(self.module, "bias", None)

    @property
    def shape(self) -> tuple[int, ...]:
        """(d_out, d_in), or (experts, d_out, d_in)."""
        if self.stack is not None:
            return tuple(self.stack.matrices().shape)
        if isinstance(self.module, Conv1D):
            return int(self.module.nf), int(self.module.nx)
        return int(self.module.out_features), int(self.module.in_features)  # type: ignore[arg-type]

    @property
    def parameter(self) -> str:
        """Dotted path of its parameter in the whole model."""
        return self.name if self.stack is not None else f"{self.name}.weight"

    def put(self, stored: Tensor) -> None:
        """Give it another parameter of the same shape, which need not be on the same device, in place of its own."""
        owner, key = (self.stack.owner, self.stack.key) if self.stack else (self.module, "weight")
        setattr(owner, key, nn.Parameter(stored, requires_grad=False))

    def through_post_norm(self, directions: Tensor) -> Tensor:
        """The vectors, not of unit length, whose part the matrix must lose for directions, columns (hidden, k), to be
        gone from what it adds; linear in the directions.

        Behind a norm of gain γ the stream gets γ ∘ y / rms(y), whose component along v is y's along γ ∘ v.
        """
        if self.post_norm_gain is None:
            return directions
        scaled = self.post_norm_gain.to(directions)[:, None] * directions
        return scaled - scaled.mean(dim=0) if self.centred else scaled

    def pieces(self) -> Iterator[Tensor]:
        """W as it comes from `weight`, or of fused experts, which may take gigabytes in float32, some at a time."""
        if self.stack is None:
            yield self.weight()
            return
        stored = self.stack.matrices()
        at_once = max(1, ENTRIES_AT_ONCE // stored[0].numel())
        for first in range(0, len(stored), at_once):
            yield stored[first : first + at_once].to(torch.float32, copy=True).contiguous()

    def weight(self) -> Tensor:
        """W as a new float32 tensor of shape (d_out, d_in), or (experts, d_out, d_in), on the module's device."""
        if self.stack is not None:
            return self.stack.matrices().to(torch.float32, copy=True).contiguous()
        if (found := whole_matrix(self.module)) is not None:
            return found
        stored = self.module.weight
        assert isinstance(stored, Tensor)
        weight = stored.detach().to(torch.float32, copy=True)
        return weight.T.contiguous() if isinstance(self.module, Conv1D) else weight

    def store(self, weight: Tensor) -> None:
        """Put a float32 W of the shape that `weight` gives in the module, rounded to the module's dtype."""
        with torch.no_grad():
            if self.stack is not None:
                self.stack.matrices().copy_(weight)
                return
            stored = self.module.weight
            assert isinstance(stored, Tensor)
            stored.copy_(weight.T if isinstance(self.module, Conv1D) else weight)


@dataclass(frozen=True)
class Missing:
    """A matrix that is found and cannot be edited, or (no shape) a layer in which none is found; `name` is its path."""

    layer: int
    name: str
    kind: str
    shape: tuple[int, ...]
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


@dataclass(frozen=True)
class Anatomy:
    """The decoder layers and their writers.

    Attributes:
        layers: the stack that carries the text's residual stream.
        writers: what can be edited.
        missing: what cannot be edited, with the reason.
        partly: a line for each thing that keeps an edit from taking all of a direction out.
        notes: what the probe could not see.
    """

    layers: nn.ModuleList
    writers: tuple[Writer, ...]
    missing: tuple[Missing, ...]
    partly: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def components(self) -> tuple[str, ...]:
        return in_order({writer.component for writer in self.writers})

    def first_edited(self, edits: Container[str]) -> int:
        """The lowest layer that edits, known by the names of writers, change; the number of layers where none does."""
        return min((writer.layer for writer in self.writers if writer.name in edits), default=len(self.layers))

    def coverage(self, exact_as: str = "") -> Coverage:
        """What can be edited.

        Args:
            exact_as: the adapter that holds edits of one matrix exactly, LoRA or DoRA.
        """
        fused, reason = any(writer.stack is not None for writer in self.writers), no_adapter(self.writers)
        # Of experts, each is a matrix of its own. PEFT has a LoRA of them, and no DoRA.
        numbers = sum(writer.shape[0] * sum(writer.shape[1:]) for writer in self.writers if writer.stack is not None)
        numbers += sum(sum(writer.shape) for writer in self.writers if writer.stack is None)
        return Coverage(
            editable=len(self.writers),
            found=len(self.writers) + len(self.missing),
            components=dict(Counter(w.component for w in self.writers)),
            missing=[str(missing) for missing in self.missing],
            partly=list(self.partly),
            rank_one=0 if reason else numbers,
            exact_as="" if reason or (fused and exact_as == "DoRA") else exact_as,
            no_adapter=reason,
            fused=fused,
        )


def no_adapter(writers: Iterable[Writer]) -> str:
    """Why no adapter of PEFT can hold edits of these matrices, as a sentence that begins with one of them; empty where
    one can."""
    for writer in writers:
        stack = writer.stack
        if stack is None:
            continue
        if stack.caller is not stack.owner or stack.parameter.ndim != 3:
            return f"{writer.name} holds experts that are used outside their own module, where no adapter reaches them"
        if stack.experts == 1 and stack.transposed:
            return f"{writer.name} holds one transposed expert, which PEFT takes for the other way round"
    return ""


def embedding_matrix(network: nn.Module) -> Tensor:
    """The embedding of tokens, (vocabulary, hidden)."""
    weight = network.get_input_embeddings().weight  # type: ignore[operator]
    assert isinstance(weight, Tensor)
    return weight


def text_config(network: nn.Module) -> PretrainedConfig:
    """The configuration of the part that answers in text."""
    config = network.config
    assert isinstance(config, PretrainedConfig)
    return config.get_text_config(decoder=True)


def stream_width(network: nn.Module) -> int:
    """Width of the residual stream.

    Raises:
        UsageError: for an architecture that has several.
    """
    width = getattr(text_config(network), "hidden_size", None)
    if not isinstance(width, int):
        raise UsageError(f"{type(network).__name__} has no single residual stream: this architecture cannot be edited")
    return width


def find_layers(network: nn.Module) -> tuple[str, nn.ModuleList]:
    """Path and stack of the decoder layers that carry the text's residual stream.

    Raises:
        UsageError: when there is no such stack.
    """
    depth = getattr(text_config(network), "num_hidden_layers", None)
    stacks = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) and not _OTHER_TOWERS.search(name.lower())
    ]
    fitting = [(name, stack) for name, stack in stacks if len(stack) == depth and _is_layer(stack[0])]
    # The layers of some decoders lie in a module named encoder; where both are there, the decoder is meant.
    fitting = [item for item in fitting if not _ENCODER.search(item[0].lower())] or fitting
    if not fitting:
        # Some configurations count layers otherwise than the model holds them.
        fitting = [(name, stack) for name, stack in stacks if len(stack) > 1 and _is_layer(stack[0])]
        fitting = [item for item in fitting if not re.search(r"\.\d+\.", item[0]) and "expert" not in item[0]]
    if not fitting:
        raise UsageError(
            f"no stack of {depth} decoder layers found in {type(network).__name__}: this architecture cannot be edited"
        )
    return min(fitting, key=lambda item: item[0].count("."))


def _is_layer(module: nn.Module) -> bool:
    """A layer holds more than one matrix; lists of norms, of single blocks or of adapters are no stack of layers."""
    return sum(p.ndim >= 2 for p in module.parameters()) > 1


def find_anatomy(network: nn.Module, fine: bool = False) -> Anatomy:
    """Walk the decoder layers and collect every writer. Weights are not looked at: they may be on the meta device.

    Args:
        fine: a component for each kind of writer, instead of two.

    Raises:
        UsageError: when no decoder layers, or nothing that can be edited, are found.
    """
    path, layers = find_layers(network)
    hidden = stream_width(network)
    writers: list[Writer] = []
    missing: list[Missing] = []
    for index, layer in enumerate(layers):
        before = len(writers) + len(missing)
        for name, module, owners in _walk(layer):
            full = f"{path}.{index}.{name}"
            for key, stack in _stacks_of(name, module, layer, hidden):
                kind = kind_of(f"{name}.{key}", owners)
                if kind is None:
                    continue
                if kind == "dense":
                    kind = "routed experts"
                if isinstance(stack, str):
                    missing.append(Missing(index, f"{full}.{key}", kind, tuple(module.get_parameter(key).shape), stack))
                else:
                    component = component_of(kind, fine)
                    writers.append(Writer(index, component, f"{full}.{key}", module, kind, stack))
            if _output_size(module) != hidden or (kind := kind_of(name, owners)) is None:
                continue
            if isinstance(module, nn.Linear | Conv1D):
                writers.append(Writer(index, component_of(kind, fine), full, module, kind))
            else:
                reason = f"{type(module).__name__} is not a kind of module that can be edited"
                missing.append(Missing(index, full, kind, (hidden, int(getattr(module, "in_features", 0))), reason))
        if len(writers) + len(missing) == before:
            reason = "no matrix that writes to the residual stream is recognised"
            missing.append(Missing(index, f"{path}.{index}", "dense", (), reason))
    if not writers:
        raise UsageError(
            f"{type(network).__name__}: none of the matrices that write to the residual stream can be edited "
            f"({missing[0]})"
        )
    return Anatomy(layers, tuple(writers), tuple(missing))


def _walk(layer: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Name, module, and the class names of the modules around it, for every module of a layer."""
    classes: dict[str, str] = {"": ""}
    for name, module in layer.named_modules():
        if not name:
            continue
        parent = name.rpartition(".")[0]
        around = classes[parent]
        classes[name] = f"{around} {type(module).__name__}"
        yield name, module, around


def _output_size(module: nn.Module) -> int | None:
    if isinstance(module, Conv1D):
        return int(module.nf)
    size = getattr(module, "out_features", None)
    return int(size) if isinstance(size, int) else None


def _stacks_of(name: str, module: nn.Module, layer: nn.Module, hidden: int) -> list[tuple[str, Stack | str]]:
    """The module's own parameters that hold several matrices, or the reason why one cannot be edited."""
    found: list[tuple[str, Stack | str]] = []
    for key, parameter in module.named_parameters(recurse=False):
        shape = tuple(parameter.shape)
        if parameter.ndim == 3 and hidden in shape[1:]:
            transposed = _is_transposed(module, shape, hidden)
            if transposed is None:
                found.append((key, "experts fused into one parameter of an unknown orientation"))
            elif shape[2 if transposed else 1] == hidden:
                found.append((key, Stack(module, key, module, shape[0], transposed)))
        elif parameter.ndim == 2 and key == "w2" and shape[1] == hidden and hasattr(module, "moe_num_experts"):
            # DBRX: experts one below the other; the products are computed by the module around.
            caller = layer.get_submodule(name.rpartition(".")[0])
            found.append((key, Stack(module, key, caller, int(module.moe_num_experts), True)))  # type: ignore[arg-type]
    return found


def _is_transposed(module: nn.Module, shape: tuple[int, ...], hidden: int) -> bool | None:
    """Whether a fused parameter is (E, d_in, d_out). A shape decides only where it is not square."""
    said = getattr(module, "is_transposed", None)
    if isinstance(said, bool):
        return said
    name = type(module).__name__
    if "Llama4" in name:
        return True
    if "ParallelExperts" in name or "InklingShared" in name or "LongcatFlash" in name:
        return False
    return None if shape[1] == shape[2] else shape[2] == hidden
