"""The analysis of the layers: geometry, separation, what the directions say and which layer matters, put together in
one record, and the files of the run folder that hold it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from heretic_tui.engine.events import LayersAnalysed, from_json
from heretic_tui.engine.geometry import residual_geometry
from heretic_tui.engine.layer_effects import LayerEffects, RefusalTokens
from heretic_tui.engine.lens import Reading
from heretic_tui.engine.projection import principal_components, turned
from heretic_tui.engine.residual_store import ResidualStore
from heretic_tui.engine.separation import area_under_curve
from heretic_tui.runtime.layers import read_geometry, read_views
from heretic_tui.runtime.rundir import RunFolder, write_json

Layer = dict[str, Any]
Progress = Callable[[int, int], None]

_FORMAT = 1
# Coordinates of the views in the run folder are whole numbers up to this.
_GRID = 1000


def geometry_of(store: ResidualStore, progress: Progress, checkpoint: Callable[[], None]) -> tuple[list[Layer], Tensor]:
    """The residual geometry by residual index, and the views by principal components, (layers + 1, prompts, 2) with the
    good prompts first. One layer at a time is held in memory.

    Raises:
        Aborted: from the checkpoint, between layers.
    """
    rows: list[Layer] = []
    views: list[Tensor] = []
    for index in range(store.depth + 1):
        checkpoint()
        good, bad = store.layer("good_prompts", index), store.layer("bad_prompts", index)
        rows.append({"index": index, "layer": index - 1 if index else None, **residual_geometry(good, bad)})
        plane = principal_components(torch.cat([good, bad]), 2)
        views.append(turned(plane, len(good), views[-1] if views else None))
        progress(index + 1, store.depth + 1)
    return rows, torch.stack(views)


def add_separation(rows: list[Layer], store: ResidualStore, directions: Tensor) -> None:
    """AUC of the direction on the evaluation prompts, which it was not made from, with a 95 % interval."""
    good = store.along("good_evaluation_prompts", directions)
    bad = store.along("bad_evaluation_prompts", directions)
    for row in rows:
        area = area_under_curve(good[:, row["index"]], bad[:, row["index"]])
        row |= {"auc": _round(area.value), "auc_low": _round(area.low), "auc_high": _round(area.high)}


def add_tokens(rows: list[Layer], readings: list[Reading]) -> None:
    for row, reading in zip(rows, readings, strict=True):
        row |= {"raises": reading.raises, "lowers": reading.lowers}


def add_effects(rows: list[Layer], effects: LayerEffects) -> None:
    for row in rows[1:]:
        layer = row["layer"]
        for name in ("edit", "stream", "add"):
            row[name] = _round(float(getattr(effects, name)[layer]))
            row[f"{name}_error"] = _round(float(getattr(effects, f"{name}_error")[layer]))


def refusal_record(
    tokens: RefusalTokens, names: list[str], effects: LayerEffects | None, bad: int, good: int
) -> dict[str, Any]:
    """What is known of the first token of refusals: `tokens` with their mean probabilities after bad and good prompts,
    and the mean log-odds of refusal of the unedited model."""
    return {
        "tokens": [[name, _round(b), _round(g)] for name, (b, g) in zip(names, tokens.each, strict=True)],
        "prompts": {"bad": bad, "good": good},
        "bad": _round(effects.bad) if effects else None,
        "good": _round(effects.good) if effects else None,
    }


def save_analysis(folder: RunFolder, found: LayersAnalysed) -> None:
    write_json(folder.geometry, {"format": _FORMAT, **found.to_json()})


def saved_analysis(folder: RunFolder) -> LayersAnalysed | None:
    """What `save_analysis` wrote; None where it is not there, damaged, or of another version."""
    record = read_geometry(folder)
    event = from_json(record) if record and record.get("format") == _FORMAT else None
    return event if isinstance(event, LayersAnalysed) else None


def save_views(folder: RunFolder, method: str, views: Tensor, good: int) -> None:
    """Keep the views of a method, (layers + 1, prompts, 2), beside those of others: for screens, which know no tensors.
    Both axes of a layer have one scale."""
    record: dict[str, Any] = {"good": good, "bad": views.shape[1] - good, "views": {}}
    before = read_views(folder)
    if before and (before["good"], before["bad"]) == (record["good"], record["bad"]):
        record["views"] = before["views"]
    largest = views.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    record["views"][method] = (views / largest * _GRID).round().int().tolist()
    write_json(folder.projections, record)


# Where refusal lives


def where_refusal_lives(rows: list[Layer], refusal: Mapping[str, Any] | None) -> str:
    """A sentence or two for people, from the record of the layers."""
    layers = rows[1:]
    sentences = []
    if refusal and refusal["bad"] is not None:
        sentences.append(_lives(layers, refusal))
    if "auc" in layers[0]:
        best = max(layers, key=lambda row: row["auc"])
        high = [row["layer"] for row in layers if row["auc"] >= 0.95]
        span = f"[{best['auc_low']:.2f}, {best['auc_high']:.2f}]"
        if high:
            sentences.append(
                f"The direction tells held-out prompts apart (AUC 0.95 or more) from layer {high[0]} on, best at layer "
                f"{best['layer']}: {best['auc']:.3f} {span}."
            )
        else:
            sentences.append(
                f"No layer's direction tells held-out prompts apart well: the best AUC is {best['auc']:.3f} {span}, at "
                f"layer {best['layer']}."
            )
    return " ".join(sentences)


def _lives(layers: list[Layer], refusal: Mapping[str, Any]) -> str:
    stream = min(layers, key=lambda row: row["stream"])
    edit = min(layers, key=lambda row: row["edit"])
    add = max(layers, key=lambda row: row["add"])
    gap = refusal["bad"] - refusal["good"]
    raised = (
        f"adding it at layer {add['layer']} raises those of good prompts by {add['add']:.1f} "
        f"(from {refusal['good']:.1f})"
    )
    if -stream["stream"] < max(0.5, 0.1 * gap):
        return (
            f"No single layer carries refusal: taking the direction out of the stream after one lowers the log-odds of "
            f"refusal by {max(0.0, -stream['stream']):.1f} at most, of {refusal['bad']:.1f}; {raised}."
        )
    low = high = stream["layer"]
    near = {row["layer"] for row in layers if row["stream"] <= stream["stream"] / 2}
    while low - 1 in near:
        low -= 1
    while high + 1 in near:
        high += 1
    place = f"layer {low}" if low == high else f"layers {low} to {high}"
    text = (
        f"Refusal lives in {place}: without the direction in the stream after layer {stream['layer']} the log-odds of "
        f"refusal fall by {-stream['stream']:.1f} (from {refusal['bad']:.1f}), and {raised}."
    )
    if edit["edit"] < -0.05 * gap:
        text += f" Layer {edit['layer']} writes most of it: edited alone, {edit['edit']:+.1f}."
    return text


def _round(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
