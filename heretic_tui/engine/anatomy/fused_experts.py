"""Experts fused into one parameter: their writer, and the products with that parameter turned into others.

Transformers computes the experts of a layer in several ways (a loop over the experts that were hit, one grouped
product, one batched product), and an architecture may bring a way of its own. All of them end in a product of
activations with the parameter, a view of it, or a gathered copy. A function mode around the experts' forward pass finds
that product and hands it, with its input and the experts of its rows, to a transform. So nothing in the model is
changed, biases and routing weights that come after the product are left alone, and a transform needs to know nothing of
the ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from heretic_tui.engine.hooks import replace_forward

# x (…, d_in), y = W_e x (…, d_out), e: the expert of every row, broadcastable to the shape of the rows.
Transform = Callable[[Tensor, Tensor, Tensor], Tensor]

_MATMULS = frozenset(
    (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.mm, Tensor.mm, torch.bmm, Tensor.bmm, Tensor.__rmatmul__)
)
_GROUPED = frozenset(
    f for f in (getattr(functional, "grouped_mm", None), getattr(torch, "_grouped_mm", None)) if f is not None
)


@dataclass(frozen=True)
class Stack:
    """A fused parameter: E matrices, each (d_out, d_in), or (d_in, d_out) where it is `transposed`.

    Attributes:
        owner: module that holds the parameter.
        key: its name there.
        caller: module in whose forward pass the product is computed.
        experts: E; a parameter of two dimensions holds the experts one below the other.
    """

    owner: nn.Module
    key: str
    caller: nn.Module
    experts: int
    transposed: bool

    @property
    def parameter(self) -> Tensor:
        return self.owner.get_parameter(self.key)

    @property
    def says_transposed(self) -> bool:
        """Whether the module itself says that its parameters are transposed, as libraries ask it."""
        return bool(getattr(self.owner, "is_transposed", False))

    def matrices(self) -> Tensor:
        """A view (E, d_out, d_in) of the parameter."""
        stored = self.parameter.detach()
        stored = stored.reshape(self.experts, -1, stored.shape[-1])
        return stored.mT if self.transposed else stored


@contextmanager
def transformed_products(
    stacks: Sequence[tuple[Stack, Transform]], in_force: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Within the block every product with a stack goes through its transform.

    Args:
        stacks: those whose products are computed by one and the same module.
        in_force: asked at every call; false leaves the products as they are.
    """
    caller = stacks[0][0].caller
    plain = caller.forward

    def forward(*args: object, **kwargs: object) -> object:
        if not in_force():
            return plain(*args, **kwargs)
        with _ProductMode(stacks):
            return plain(*args, **kwargs)

    with replace_forward(caller, forward):
        yield


class _ProductMode(TorchFunctionMode):
    """Finds the products with some stacks among all functions that are called."""

    def __init__(self, stacks: Sequence[tuple[Stack, Transform]]) -> None:
        super().__init__()
        self._known = [_Known(stack, transform) for stack, transform in stacks]

    def __torch_function__(
        self,
        func: Callable[..., Tensor],
        types: Sequence[type],
        # Of the functions that are looked for; others have arguments of other types.
        args: tuple[Tensor, ...] = (),
        kwargs: dict[str, Tensor] | None = None,
    ) -> Tensor:
        kwargs = kwargs or {}
        if func is functional.linear:
            x, weight, bias = args[0], args[1], (args[2] if len(args) > 2 else kwargs.get("bias"))
            if found := self._find(weight):
                y = found.apply(x, func(x, weight), found.rows_of(weight))
                return y if bias is None else y + bias
        elif func in _MATMULS:
            x, weight = args[0], args[1]
            if func is Tensor.__rmatmul__:
                x, weight = weight, x
            if found := self._find(weight):
                return found.apply(x, func(*args, **kwargs), found.rows_of(weight))
            # One product for every row, W_e x with x as a column.
            if found := self._find(x):
                y = func(*args, **kwargs)
                return found.apply(weight.mT, y.mT, found.rows_of(x)).mT
        elif func in _GROUPED or getattr(func, "__name__", "") == "grouped_mm_fallback":
            x, weight = args[0], args[1]
            offsets = kwargs["offs"] if "offs" in kwargs else args[2]
            if found := self._find(weight):
                rows = torch.arange(len(x), device=x.device, dtype=offsets.dtype)
                experts = torch.searchsorted(offsets, rows, right=True).clamp(max=len(offsets) - 1)
                return found.apply(x, func(*args, **kwargs), experts)
        elif func is Tensor.__getitem__ and isinstance(args[1], Tensor) and (found := self._find(args[0])):
            gathered = func(*args, **kwargs)
            found.remember(gathered, args[1])
            return gathered
        return func(*args, **kwargs)

    def _find(self, weight: object) -> _Known | None:
        if not isinstance(weight, Tensor):
            return None
        return next((known for known in self._known if known.holds(weight)), None)


class _Known:
    """One stack, and the copies that were gathered from it during the call."""

    def __init__(self, stack: Stack, transform: Transform) -> None:
        self.parameter = stack.parameter
        self.transform = transform
        self._begin = self.parameter.data_ptr()
        self._size = self.parameter.numel() * self.parameter.element_size()
        self._one = self._size // stack.experts
        self._gathered: dict[int, tuple[Tensor, Tensor]] = {}

    def holds(self, weight: Tensor) -> bool:
        # Views are known by their address: `_base` is not kept in inference mode.
        at = weight.data_ptr()
        return self._begin <= at < self._begin + self._size or at in self._gathered

    def remember(self, gathered: Tensor, experts: Tensor) -> None:
        if not self._begin <= gathered.data_ptr() < self._begin + self._size:
            # The tensor is held, so that its address is not given to another.
            self._gathered[gathered.data_ptr()] = gathered, experts

    def rows_of(self, weight: Tensor) -> Tensor:
        """Expert of the rows of a product with a view or a copy: one for all, or one for each matrix of a batch."""
        at = weight.data_ptr()
        if at in self._gathered:
            experts = self._gathered[at][1]
            return experts[..., None] if weight.ndim == 3 else experts
        if weight.ndim == 3:
            first = (at - self._begin) // self._one
            return torch.arange(first, first + len(weight), device=weight.device)[:, None]
        return torch.tensor((at - self._begin) // self._one, device=weight.device)

    def apply(self, x: Tensor, y: Tensor, experts: Tensor) -> Tensor:
        return self.transform(x, y, experts)
