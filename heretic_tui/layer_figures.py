"""What is known of each layer: the rows that events carry, and geometry.json holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from heretic_tui.records import Misfit, as_json, read

# The residual geometry in the field's notation, in the order of its tables (engine/analysis/geometry.py).
GEOMETRY_COLUMNS = (
    "S(g,b)", "S(g*,b*)", "S(g,r)", "S(g*,r*)", "S(b,r)", "S(b*,r*)",
    "|g|", "|g*|", "|b|", "|b*|", "|r|", "|r*|", "Silh",
)  # fmt: skip
EFFECTS = ("edit", "stream", "add")
# What is measured of the direction itself.
DIRECTION_COLUMNS = ("auc", "auc_low", "auc_high", *(f"{name}{end}" for name in EFFECTS for end in ("", "_error")))

ScoredTokens = tuple[tuple[str, float], ...]


def layer_name(index: int) -> str:
    """A residual index as tables have it: emb for the embedding output, then the layers from 0."""
    return "emb" if index == 0 else str(index - 1)


def several_directions(rank: int) -> str:
    """What the figures of a method are about that gives several directions of each layer."""
    return (
        f"each layer has {rank} directions: ablate and edit alone take out all of them; all else is of the mean "
        "difference within their space"
    )


@dataclass(frozen=True)
class DirectionFigures:
    """Diagnostics of one residual index (0 is the embedding output).

    Attributes:
        good_norm, bad_norm: lengths of the means.
        difference_norm: |r| before normalising.
        cosine: of the two means.
        surviving: share of the direction's length that is left after removing the good mean's part.
        separation: distance of the two clouds' means along the direction, in units of their pooled standard deviation
            (Cohen's d).
    """

    good_norm: float
    bad_norm: float
    difference_norm: float
    cosine: float
    surviving: float
    separation: float


@dataclass(frozen=True)
class Histogram:
    """How both prompt sets spread along a layer's direction: counts in equal bins between `low` and `high`."""

    low: float
    high: float
    good: list[int]
    bad: list[int]


@dataclass(frozen=True)
class MethodFigures:
    """What is told of the directions of one more direction method, by residual index.

    Attributes:
        separations: as DirectionFigures.separation.
        histograms: how both prompt sets spread along each.
        cosines: between them, (layers + 1, layers + 1).
        left_alone: layers that the mask of layers leaves alone with them.
    """

    separations: list[float]
    histograms: list[Histogram]
    cosines: list[list[float]]
    left_alone: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Separation:
    """How well a direction tells evaluation prompts apart: the area under the ROC curve with its 95 % interval; None
    where it is not a finite number."""

    auc: float | None
    auc_low: float | None
    auc_high: float | None


@dataclass(frozen=True)
class DirectionTokens:
    """What one of a layer's several directions raises and lowers, with scores, strongest first."""

    raises: ScoredTokens
    lowers: ScoredTokens


@dataclass(frozen=True)
class Effect:
    """The mean change of the log-odds of refusal by an intervention in one layer, and its standard error; None where
    it is no number."""

    change: float | None
    error: float | None = None


@dataclass(frozen=True, kw_only=True)
class LayerFigures:
    """What is known of one residual index.

    Attributes:
        geometry: by the names of GEOMETRY_COLUMNS; None where it is not a finite number.
        separation: None before it is measured.
        raises, lowers: tokens with scores, strongest first (engine/analysis/logit_lens.py); None before they are read.
        directions: the same of each direction, where a layer has several; `raises` and `lowers` are then those of the
            leading one (engine/directions/subspaces.py).
        effects: by the names of EFFECTS (engine/analysis/layer_effects.py), as far as they were measured.
    """

    index: int
    geometry: Mapping[str, float | None] = field(default_factory=dict)
    separation: Separation | None = None
    raises: ScoredTokens | None = None
    lowers: ScoredTokens | None = None
    directions: tuple[DirectionTokens, ...] = ()
    effects: Mapping[str, Effect] = field(default_factory=dict)

    @property
    def layer(self) -> int | None:
        """The layer that puts it out; None for the embedding output."""
        return self.index - 1 if self.index else None

    @property
    def figures(self) -> dict[str, float | None]:
        """All that are known, by the names of GEOMETRY_COLUMNS and DIRECTION_COLUMNS."""
        found = dict(self.geometry)
        if self.separation:
            found |= vars(self.separation)
        for name, effect in self.effects.items():
            found |= {name: effect.change, f"{name}_error": effect.error}
        return found

    @property
    def auc(self) -> float | None:
        return self.separation.auc if self.separation else None

    def change(self, effect: str) -> float | None:
        """The change by one of EFFECTS; None where it is not known."""
        return self.effects[effect].change if effect in self.effects else None

    def to_json(self) -> dict[str, object]:
        """A flat row, as geometry.json has always had it."""
        row: dict[str, object] = {"index": self.index, "layer": self.layer, **self.geometry}
        if self.separation:
            row |= vars(self.separation)
        for name, tokens in (("raises", self.raises), ("lowers", self.lowers)):
            if tokens is not None:
                row[name] = [list(token) for token in tokens]
        if self.directions:
            row["directions"] = as_json(self.directions)
        for name, effect in self.effects.items():
            row |= {name: effect.change, f"{name}_error": effect.error}
        return row

    @classmethod
    def from_json(cls, row: object) -> LayerFigures:
        """Read back what `to_json` wrote.

        Raises:
            Misfit: naming the key.
        """
        if not isinstance(row, dict):
            raise Misfit(row)
        known = (*GEOMETRY_COLUMNS, *DIRECTION_COLUMNS)
        figures = read(dict[str, float | None], {name: row[name] for name in known if name in row})
        place = read(_Place, row)
        if place.layer != (place.index - 1 if place.index else None):
            raise Misfit(place.layer, "layer")
        tokens = read(_Tokens, row)
        if (tokens.raises is None) != (tokens.lowers is None):
            raise Misfit(place="raises" if tokens.raises is None else "lowers", missing=True)
        return cls(
            index=place.index,
            geometry={name: figures[name] for name in GEOMETRY_COLUMNS if name in figures},
            separation=read(Separation, figures) if any(name.startswith("auc") for name in figures) else None,
            raises=tokens.raises,
            lowers=tokens.lowers,
            directions=tokens.directions,
            effects={name: Effect(figures[name], figures.get(f"{name}_error")) for name in EFFECTS if name in figures},
        )


@dataclass(frozen=True)
class _Place:
    index: int
    layer: int | None


@dataclass(frozen=True)
class _Tokens:
    raises: ScoredTokens | None = None
    lowers: ScoredTokens | None = None
    directions: tuple[DirectionTokens, ...] = ()


@dataclass(frozen=True)
class FirstTokens:
    """What is known of the first token of refusals.

    Attributes:
        tokens: those that refusals begin with, each with its mean probability after bad and after good prompts.
        prompts: how many `bad` and `good` ones were looked at.
        bad, good: mean log-odds of refusal of the unedited model; None where the layers were not tried.
        ids: of the tokens; empty where an older version wrote this.
    """

    tokens: tuple[tuple[str, float, float], ...]
    prompts: dict[str, int] = field(default_factory=dict)
    bad: float | None = None
    good: float | None = None
    ids: tuple[int, ...] = ()


# A layer counts as a peak from this share of the best layer's height on.
_PEAK = 0.25


def best_layer(rows: Sequence[LayerFigures]) -> LayerFigures | None:
    """The layer that every view and sentence calls the best, marked by a star, from the rows of all residual indices
    (the embedding output first): where ablating the direction lowers the log-odds of refusal most. Where that was not
    measured, where the direction separates held-out prompts best; None where neither is known.

    Ablation is what the search does, and what it lowers is what the run is for. The AUC cannot decide alone: in most
    models it is 1.000 in a dozen layers. What adding the direction does, and what editing one layer alone does, ask
    other questions: whether the direction suffices, and which layer writes it.
    """
    heights = _heights(rows)
    return rows[max(heights, key=heights.__getitem__)] if heights else None


def peaks(rows: Sequence[LayerFigures]) -> list[int]:
    """Residual indices of the best layer, and of those that are better, by the same criterion, than the layers beside
    them and not far below the best one; in order."""
    best, heights = best_layer(rows), {index: height[0] for index, height in _heights(rows).items()}
    if best is None:
        return []
    lowest, highest = min(heights.values()), max(heights.values())
    found = {best.index}
    for index, height in heights.items():
        before, after = heights.get(index - 1, lowest - 1), heights.get(index + 1, lowest - 1)
        if before < height >= after and height >= lowest + _PEAK * (highest - lowest):
            found.add(index)
    return sorted(found)


def _heights(rows: Sequence[LayerFigures]) -> dict[int, tuple[float, float]]:
    """By residual index, how good a layer is; the second number decides where the first are alike."""

    def certain(row: LayerFigures) -> float:
        return (row.separation.auc_low if row.separation else None) or 0.0

    tried = {row.index: (-change, certain(row)) for row in rows[1:] if (change := row.change("stream")) is not None}
    return tried or {row.index: (area, certain(row)) for row in rows[1:] if (area := row.auc) is not None}
