"""Edits of trials, from products that are computed once."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.directions.interpolation import direction_parts
from heretic_tui.engine.directions.subspaces import of_layers, orthonormalising
from heretic_tui.engine.edits.edit import Edit
from heretic_tui.engine.edits.methods.base import EditMethod
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.parameters import Parameters
from heretic_tui.plugins import EDIT_METHODS, calling
from heretic_tui.words import quoted

# Of the lengths of both vectors: less than this of what is written is not read.
_LEAST_READ = 1e-4


@dataclass(frozen=True)
class _Products:
    """Directions in a matrix's output space, (d_out, k), and the method's products of the matrix with them, or with
    `u`, of the same shape, where they are read along other vectors."""

    v: Tensor
    of_weight: tuple[Tensor, ...]
    u: Tensor | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(4 * t.numel() for t in self.each)

    @property
    def each(self) -> tuple[Tensor, ...]:
        """All that is linear in the directions."""
        return (self.v, *self.of_weight) if self.u is None else (self.v, self.u, *self.of_weight)


class EditBank:
    """Makes the edits of trials from products that are computed once.

    A trial's directions V are a mix of those of two layers, V = Σ R_jᵀ M_j with small matrices M_j (k, k), so what a
    method needs of a matrix, linear in V, is the same mix of stored products, and an edit needs no pass over the
    weights once its directions have occurred. Directions that occur for the first time cost one pass over each matrix
    that they edit.

    Args:
        directions: (layers + 1, k, hidden) float32, or (layers + 1, hidden) where k is 1.
        method: how directions are taken out of a matrix.
        limit: bytes that may be kept; beyond it products are computed each time.
        readers: vectors that the directions are read along, (layers + 1, hidden) float32, where those are others and k
            is 1 (directions/methods/base.py: Oblique). V Λ VᵀW becomes v λ uᵀW with u·v = 1.
        before: edits that the matrices have already, by the writer's name: directions are taken out of what they leave,
            and an edit that is made here is both, as one edit of the matrix as it is stored.
    """

    def __init__(
        self,
        writers: tuple[Writer, ...],
        directions: Tensor,
        method: EditMethod,
        limit: int,
        readers: Tensor | None = None,
        before: Mapping[str, Edit] = MappingProxyType({}),
    ) -> None:
        self._writers = writers
        self._before = before
        self._directions = of_layers(directions)
        self._readers = None if readers is None else of_layers(readers)
        self._method = method
        self._method_name = type(method).__name__
        self._limit = limit
        self._kept = 0
        self._norms: dict[str, Tensor] = {}
        self._products: dict[tuple[str, int], _Products] = {}
        # The index that was asked for last, and the parts of its directions.
        self._latest: tuple[float, list[tuple[int, Tensor]]] | None = None

    @property
    def kept(self) -> int:
        """Bytes of the products that are kept."""
        return self._kept

    def edits(self, parameters: Parameters, layers: Container[int] | None = None) -> dict[str, Edit]:
        """The edits of one trial by the writer's name; layers out of the kernel's reach are absent, or have the edit
        alone that they had before.

        Args:
            layers: those that may be edited; None: all.

        Raises:
            UsageError: when the parameters name a component that the model does not have, a layer that is not there,
                or weights of another number of directions.
        """
        edited = edited_writers(self._writers, parameters, layers)
        return {**self._before, **{writer.name: self.edit_of(writer, parameters) for writer in edited}}

    def edit_of(self, writer: Writer, parameters: Parameters) -> Edit:
        """The edit of one matrix, which is one of those that the parameters reach.

        Raises:
            UsageError: for a layer that is not there, and weights of another number of directions.
        """
        strengths = parameters.components[writer.component].strengths(writer.layer, self._directions.shape[1])
        found = self._mixture(writer, self._parts(parameters.direction_index, writer.layer))
        with calling(EDIT_METHODS, self._method_name):
            edit = self._method.edit(found.v, found.of_weight, self._norms[writer.name], strengths)
        self._check(writer, edit)
        before = self._before.get(writer.name)
        return edit if before is None else before.then(edit)

    def _pieces(self, writer: Writer) -> Iterator[Tensor]:
        """The matrix, or some experts at a time, with the edit that it had before."""
        before, first = self._before.get(writer.name), 0
        for weight in writer.pieces():
            if before is None:
                yield weight
            elif writer.stack is None:
                yield before.of(weight)
            else:
                yield before.of_expert(slice(first, first + len(weight))).of(weight)
                first += len(weight)

    def _parts(self, index: float | None, layer: int) -> list[tuple[int, Tensor]]:
        """Of directions (directions/interpolation.py). With an index all matrices of a trial have the same."""
        if index is None:
            return direction_parts(self._directions, None, layer)
        if self._latest is None or self._latest[0] != index:
            self._latest = index, direction_parts(self._directions, index, layer)
        return self._latest[1]

    def _check(self, writer: Writer, edit: Edit) -> None:
        """
        Raises:
            HereticError: for what is no edit of the matrix. Another shape could be computed with, and mean something
                else.
        """
        what = f"the edit method {quoted(self._method_name)} gave, for {writer.name},"
        if not isinstance(edit, Edit):
            raise HereticError(f"{what} a {type(edit).__name__} in place of an Edit: mend it")
        *experts, d_out, d_in = writer.shape
        rank = self._directions.shape[1]
        for name, given, shape in (("a", edit.a, (d_in, rank)), ("b", edit.b, (d_out, rank)), ("c", edit.c, (d_out,))):
            if given is None and name == "c":
                continue
            if not isinstance(given, Tensor) or given.shape != (*experts, *shape):
                found = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
                raise HereticError(f"{what} {name} of {found} in place of {(*experts, *shape)}: mend it")
            if given.dtype != torch.float32:
                raise HereticError(f"{what} {name} as {given.dtype} in place of float32: mend it")

    def _check_products(self, writer: Writer, products: object) -> None:
        """
        Raises:
            HereticError: for what cannot be mixed.
        """
        what = f"the edit method {quoted(self._method_name)} gave, for {writer.name}, products"
        if not isinstance(products, tuple) or not all(isinstance(each, Tensor) for each in products):
            raise HereticError(f"{what} that are no tuple of tensors: mend it")
        rank = self._directions.shape[1]
        for shape in (tuple(each.shape) for each in products):
            if len(shape) < 2 or shape[-1] != rank:
                raise HereticError(
                    f"{what} of {shape}, whose last dimension is not that of the directions ({rank}): mend it"
                )

    def _mixture(self, writer: Writer, parts: list[tuple[int, Tensor]]) -> _Products:
        """The products with V = Σ R_jᵀ M_j."""
        kept = {j: found for j, _ in parts if (found := self._products.get((writer.name, j))) is not None}
        kept |= self._compute(writer, [j for j, _ in parts if j not in kept])
        terms = [[_times(part, share) for part in kept[j].each] for j, share in parts]
        mixed = [sum(parts[1:], parts[0]) for parts in zip(*terms, strict=True)]
        if writer.post_norm_gain is not None:
            # Directions that were multiplied by a gain are no unit vectors, and not orthogonal to each other.
            if self._directions.shape[1] == 1:
                length = mixed[0].norm().clamp(min=1e-12)
                mixed = [part / length for part in mixed]
            else:
                wide = mixed[0].double()
                straight = orthonormalising((wide.mT @ wide).cpu())
                mixed = [_times(part, straight) for part in mixed]
        if self._readers is not None:
            v, u, *of_weight = mixed
            part = float((u * v).sum())
            # Those of two layers that hardly know each other would take out many times what is there.
            if abs(part) < _LEAST_READ * float(u.norm() * v.norm()):
                raise HereticError(f"what is read for {writer.name} has next to nothing of what is written")
            return _Products(v, tuple(each / part for each in of_weight))
        return _Products(mixed[0], tuple(mixed[1:]))

    def _compute(self, writer: Writer, directions: list[int]) -> dict[int, _Products]:
        """Products with some directions, in one pass over the matrix or the experts."""
        if not directions:
            return {}
        pieces: dict[int, list[_Products]] = {j: [] for j in directions}
        norms: list[Tensor] = []
        for weight in self._pieces(writer):
            with calling(EDIT_METHODS, self._method_name):
                norms.append(self._method.row_norms(weight))
            for j in directions:
                v = writer.through_post_norm(self._directions[j].mT.to(weight))
                u = None if self._readers is None else writer.through_post_norm(self._readers[j].mT.to(weight))
                with calling(EDIT_METHODS, self._method_name):
                    of_weight = self._method.products(weight, v if u is None else u, norms[-1])
                self._check_products(writer, of_weight)
                pieces[j].append(_Products(v, of_weight, u))
        self._norms[writer.name] = torch.cat(norms)
        found = {j: _joined(each) for j, each in pieces.items()}
        for j, products in found.items():
            if self._kept + products.size <= self._limit:
                self._kept += products.size
                self._products[writer.name, j] = products
        return found


def edited_writers(
    writers: Iterable[Writer], parameters: Parameters, layers: Container[int] | None = None
) -> list[Writer]:
    """Those that the parameters reach, in order.

    Args:
        layers: those that may be edited; None: all.

    Raises:
        UsageError: when the parameters name a component that the model does not have.
    """
    each = list(writers)
    if problem := parameters.unknown_component({writer.component for writer in each}):
        raise UsageError(problem)
    kernels = parameters.components
    reached = [w for w in each if w.component in kernels and kernels[w.component].strength(w.layer) != 0.0]
    return [w for w in reached if layers is None or w.layer in layers]


def _times(part: Tensor, mix: Tensor) -> Tensor:
    """Columns (…, k) mixed by M (k, k)."""
    # Of one column it is a number.
    return float(mix) * part if mix.numel() == 1 else part @ mix.to(part)


def _joined(pieces: list[_Products]) -> _Products:
    """Products of some experts after those of others; v is the same for all."""
    of_weight = tuple(torch.cat(each) for each in zip(*(piece.of_weight for piece in pieces), strict=True))
    return _Products(pieces[0].v, of_weight, pieces[0].u)
