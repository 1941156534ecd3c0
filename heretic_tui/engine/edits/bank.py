"""Edits of trials, from products that are computed once."""

from __future__ import annotations

import torch
from torch import Tensor

from heretic_tui.engine.anatomy.writers import Writer
from heretic_tui.engine.directions.interpolation import direction_parts
from heretic_tui.engine.edits.edit import Edit, Normalization, Products, edit_from, products_of, row_norms
from heretic_tui.errors import UsageError
from heretic_tui.parameters import Parameters
from heretic_tui.words import quoted


class EditBank:
    """Makes the edits of trials from products that are computed once.

    A trial's direction v is a mix of two stored directions, v = Σ w_j r_j, so Ŵᵀv and Ŵ(Ŵᵀv) are the same mix of
    stored vectors, and an edit needs no pass over the weights once its directions have occurred. A direction that
    occurs for the first time costs one pass over each matrix that it edits.

    Args:
        directions: (layers + 1, hidden) float32.
        limit: bytes that may be kept; beyond it products are computed anew each time.
    """

    def __init__(
        self, writers: tuple[Writer, ...], directions: Tensor, normalization: Normalization, limit: int
    ) -> None:
        self._writers = writers
        self._directions = directions
        self._normalization = normalization
        self._limit = limit
        self._kept = 0
        self._norms: dict[str, Tensor] = {}
        self._products: dict[tuple[str, int], Products] = {}

    def edits(self, parameters: Parameters) -> dict[str, Edit]:
        """The edits of one trial by the writer's name; layers out of the kernel's reach are absent.

        Raises:
            UsageError: when the parameters name a component that the model does not have, or a layer that is not
                there.
        """
        known = {writer.component for writer in self._writers}
        if unknown := sorted(set(parameters.components) - known):
            raise UsageError(f"the model has no component {quoted(unknown[0])} (it has {', '.join(sorted(known))})")
        edits: dict[str, Edit] = {}
        for writer in self._writers:
            kernel = parameters.components.get(writer.component)
            strength = kernel.strength(writer.layer) if kernel else 0.0
            if strength != 0.0:
                edits[writer.name] = self._edit(writer, parameters.direction_index, strength)
        return edits

    def _edit(self, writer: Writer, index: float | None, strength: float) -> Edit:
        parts = direction_parts(self._directions, index, writer.layer)
        found = self._mixtures(writer, parts)
        return edit_from(found, self._norms.get(writer.name), strength)

    def _mixtures(self, writer: Writer, parts: list[tuple[int, float]]) -> Products:
        """v, Ŵᵀv and Ŵ(Ŵᵀv) for v = Σ w_j r_j."""
        kept = {j: found for j, _ in parts if (found := self._products.get((writer.name, j))) is not None}
        kept |= self._compute(writer, [j for j, _ in parts if j not in kept])
        terms = [[share * part for part in kept[j] if part is not None] for j, share in parts]
        # Either all products have the third part or none does.
        mixed = [sum(parts[1:], parts[0]) for parts in zip(*terms, strict=True)]
        if writer.post_norm_gain is not None:
            # Directions bent by a gain are no unit vectors.
            length = mixed[0].norm().clamp(min=1e-12)
            mixed = [part / length for part in mixed]
        v, u, *w = mixed
        return v, u, w[0] if w else None

    def _compute(self, writer: Writer, directions: list[int]) -> dict[int, Products]:
        """Products with some directions, in one pass over the matrix or the experts."""
        if not directions:
            return {}
        pieces: dict[int, list[Products]] = {j: [] for j in directions}
        norms: list[Tensor] = []
        for weight in writer.pieces():
            norm = None if self._normalization == "none" else row_norms(weight)
            norms += [] if norm is None else [norm]
            for j in directions:
                v = writer.through_post_norm(self._directions[j].to(weight))
                pieces[j].append(products_of(weight, v, norm, self._normalization))
        if norms:
            self._norms[writer.name] = torch.cat(norms)
        found = {j: _joined(each) for j, each in pieces.items()}
        for j, products in found.items():
            size = sum(4 * t.numel() for t in products if t is not None)
            if self._kept + size <= self._limit:
                self._kept += size
                self._products[writer.name, j] = products
        return found


def _joined(pieces: list[Products]) -> Products:
    """Products of some experts after those of others; v is the same for all."""
    thirds = [w for _, _, w in pieces if w is not None]
    return pieces[0][0], torch.cat([u for _, u, _ in pieces]), torch.cat(thirds) if thirds else None
