"""Two runs' directions side by side: a model and its fine-tune, two prompt sets, before and after an edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from heretic_tui.errors import UsageError
from heretic_tui.run.directions import read_directions
from heretic_tui.run.folder import RunFolder

_Vectors: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class ComparedRun:
    """One of the two runs: its name, and its model."""

    run: str
    model: str | None


@dataclass(frozen=True, kw_only=True)
class ComparedLayer:
    """The directions of two runs at one residual index; None where one of them has length zero.

    Attributes:
        layer: None for the embedding output.
        cosine: of the directions.
        cosine_difference: of the differences of means that they are made of.
        length_ratio: |r| of the second run over that of the first.
        nearest: the layer of the second run whose direction is nearest, with its cosine.
    """

    index: int
    layer: int | None
    cosine: float | None = None
    cosine_difference: float | None = None
    length_ratio: float | None = None
    nearest: int | None = None
    nearest_cosine: float | None = None


@dataclass(frozen=True)
class Comparison:
    """The directions of two runs side by side.

    Attributes:
        same: whether model, prompts and settings are alike; and earlier rounds, where one of the runs has such.
        layers: by residual index.
        mean_cosine: over the layers, without the embedding output.
        sentence: the same in words.
    """

    runs: tuple[ComparedRun, ComparedRun]
    same: Mapping[str, bool]
    layers: Sequence[ComparedLayer]
    mean_cosine: float
    sentence: str


@dataclass(frozen=True)
class _Found:
    """A run's directions, of several of a layer the leading one, and what they are made of: (layers + 1, hidden)
    each."""

    directions: _Vectors
    difference: _Vectors


def compare_runs(one: RunFolder, other: RunFolder) -> Comparison:
    """Cosines between the directions of two runs, by residual index.

    Raises:
        UsageError: where a run has no directions yet, or the models' streams differ in width or number of layers.
    """
    a, b = _load(one), _load(other)
    if a.directions.shape != b.directions.shape:
        shapes = [f"{run.name}: {len(found.directions) - 1} layers of {found.directions.shape[1]}" for run, found in
                  ((one, a), (other, b))]  # fmt: skip
        raise UsageError(f"the runs' residual streams cannot be compared ({'; '.join(shapes)})")
    between = a.directions @ b.directions.T
    rows = [_row(index, between, a.difference[index], b.difference[index]) for index in range(len(between))]
    records = [run.read_record() for run in (one, other)]
    identities = [record.identity or {} for record in records]
    parts = ["model", "prompts", "settings", *(["rounds"] if any("rounds" in each for each in identities) else [])]
    known = [row.cosine for row in rows[1:] if row.cosine is not None]
    mean = round(float(np.mean(known)), 6)
    return Comparison(
        runs=(ComparedRun(one.name, records[0].model), ComparedRun(other.name, records[1].model)),
        same={part: identities[0].get(part) == identities[1].get(part) for part in parts},
        layers=rows,
        mean_cosine=mean,
        sentence=_sentence(rows[1:], mean),
    )


def _row(index: int, between: _Vectors, one: _Vectors, other: _Vectors) -> ComparedLayer:
    """One residual index, from the cosines between all directions and from both differences of means, (hidden,)."""
    length, length_other = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    layer = index - 1 if index else None
    if length == 0 or length_other == 0:
        return ComparedLayer(index=index, layer=layer)
    nearest = int(np.argmax(np.abs(between[index, 1:]))) + 1
    return ComparedLayer(
        index=index,
        layer=layer,
        cosine=round(float(between[index, index]), 6),
        cosine_difference=round(float(one @ other / (length * length_other)), 6),
        length_ratio=round(length_other / length, 6),
        nearest=nearest - 1,
        nearest_cosine=round(float(between[index, nearest]), 6),
    )


def _load(run: RunFolder) -> _Found:
    saved = read_directions(run)
    return _Found(saved.leading.astype(np.float64), saved.bad_mean - saved.good_mean)


def _sentence(layers: Sequence[ComparedLayer], mean: float) -> str:
    known = [(row.cosine, row.layer) for row in layers if row.cosine is not None]
    (highest, at), (lowest, low_at) = (choose(known, key=lambda pair: pair[0]) for choose in (max, min))
    return (
        f"Cosine of the directions: {mean:.3f} on average over the layers, highest at layer {at} ({highest:.3f}), "
        f"lowest at layer {low_at} ({lowest:.3f})."
    )
