"""What the modules of a live network compute, caught, changed, replaced or left out: the only place that registers
hooks or puts another forward method in a module's place.

Each is a context manager. After its block the network is what it was before, also where the block raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Args = tuple[object, ...]
Kwargs = Mapping[str, object]
# From a module's input and output, both (…, width), to what replaces the output.
Replacement = Callable[[Tensor, Tensor], Tensor]


# Where the residual stream is in arguments and outputs


def stream_in(args: Args, kwargs: Kwargs) -> Tensor:
    """The residual stream among the arguments of a decoder layer, or the one tensor that a smaller module is given."""
    stream = args[0] if args else kwargs["hidden_states"]
    assert isinstance(stream, Tensor)
    return stream


def stream_out(output: object) -> Tensor:
    """The residual stream in what a decoder layer returns: alone, or in the first place of several."""
    stream = output[0] if isinstance(output, tuple | list) else output
    assert isinstance(stream, Tensor)
    return stream


@dataclass(frozen=True)
class LayerCall:
    """One call of a decoder layer."""

    layer: nn.Module
    args: Args
    kwargs: Kwargs

    @property
    def stream(self) -> Tensor:
        return stream_in(self.args, self.kwargs)

    def again(self, stream: Tensor) -> Tensor:
        """The layer's output for another stream, with the other arguments unchanged."""
        if self.args:
            return stream_out(self.layer(stream, *self.args[1:], **self.kwargs))
        return stream_out(self.layer(**{**self.kwargs, "hidden_states": stream}))


@dataclass(frozen=True)
class OutputForm:
    """How a decoder layer returns the stream: alone, or in the first of so many places, the others being empty."""

    places: int | None

    @classmethod
    def of(cls, output: object) -> OutputForm:
        """
        Raises:
            MoreThanStream: where there is something in another place.
        """
        if not isinstance(output, tuple | list):
            return cls(None)
        if any(extra is not None for extra in output[1:]):
            raise MoreThanStream("a decoder layer returns more than hidden states")
        return cls(len(output))

    def holding(self, stream: Tensor) -> object:
        return stream if self.places is None else (stream, *[None] * (self.places - 1))


class MoreThanStream(Exception):
    """A decoder layer returns more than hidden states, so that they alone do not say what it computed."""


# Catching


@contextmanager
def catch_inputs(layers: Iterable[nn.Module], keep: Callable[[int, LayerCall], None]) -> Iterator[None]:
    """Within the block `keep` is handed the position of each layer that is called, and the call."""

    def hook(index: int) -> Callable[[nn.Module, Args, dict[str, object]], None]:
        return lambda module, args, kwargs: keep(index, LayerCall(module, args, dict(kwargs)))

    with _registered(
        layer.register_forward_pre_hook(hook(index), with_kwargs=True) for index, layer in enumerate(layers)
    ):
        yield


@contextmanager
def catch_outputs(layers: Iterable[nn.Module], keep: Callable[[int, object], None]) -> Iterator[None]:
    """Within the block `keep` is handed the position of each layer that was called, and what it returned."""

    def hook(index: int) -> Callable[[nn.Module, Args, object], None]:
        return lambda module, args, output: keep(index, output)

    with _registered(layer.register_forward_hook(hook(index)) for index, layer in enumerate(layers)):
        yield


@contextmanager
def catch_pairs(modules: Iterable[nn.Module], keep: Callable[[nn.Module, Tensor, Tensor], None]) -> Iterator[None]:
    """Within the block `keep` is handed each of the modules that makes one tensor of another, with what it was given
    and what it made of it."""

    def hook(module: nn.Module, args: Args, output: object) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            keep(module, args[0], output)

    with _registered(module.register_forward_hook(hook) for module in modules):
        yield


# Changing


@contextmanager
def change_input(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the block the module is given the change of its first argument."""

    def hook(module: nn.Module, args: Args) -> Args:
        return change(stream_in(args, {})), *args[1:]

    with _registered([module.register_forward_pre_hook(hook)]):
        yield


@contextmanager
def change_output(layer: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the block `change` is applied to the stream (rows, tokens, hidden) that a decoder layer returns."""

    def hook(module: nn.Module, args: Args, output: object) -> object:
        changed = change(stream_out(output))
        return (changed, *output[1:]) if isinstance(output, tuple | list) else changed

    with _registered([layer.register_forward_hook(hook)]):
        yield


@contextmanager
def replace_outputs(replacements: Iterable[tuple[nn.Module, Replacement]]) -> Iterator[None]:
    """Within the block each module returns its replacement's result for its input and its own output."""

    def hook(replace: Replacement) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        return lambda module, args, output: replace(args[0], output)

    with _registered(module.register_forward_hook(hook(replace)) for module, replace in replacements):
        yield


@contextmanager
def replace_forward(module: nn.Module, forward: Callable[..., object]) -> Iterator[None]:
    """Within the block the module is computed by another function of the same arguments."""
    # Some libraries put a forward method in the place of the class's; where none did, the class's is back when the
    # attribute is gone.
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before


@contextmanager
def begin_at(layers: Iterable[nn.Module], start: int, output: object) -> Iterator[None]:
    """Within the block a forward pass computes nothing in layers below `start`, which is at least 1.

    Args:
        output: what layer `start - 1` returned, or would return: all layers below `start` return it.
    """

    def known(*args: object, **kwargs: object) -> object:
        return output

    with ExitStack() as stack:
        for layer in islice(layers, start):
            stack.enter_context(replace_forward(layer, known))
        yield


@contextmanager
def _registered(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Within the block hooks are registered. The handles come from a generator, so that those which are registered
    already are removed where registering the next one fails."""
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield
