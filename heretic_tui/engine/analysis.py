"""The analysis of the layers: geometry, separation, what the directions say and which layer matters, put together in
one record, and the files of the run folder that hold it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from heretic_tui.engine.control import Control
from heretic_tui.engine.events import Emit, LayersAnalysed, from_json
from heretic_tui.engine.geometry import residual_geometry
from heretic_tui.engine.kept import kept_tensors
from heretic_tui.engine.layer_effects import LayerEffects, RefusalTokens
from heretic_tui.engine.lens import Reading
from heretic_tui.engine.progress import reporter
from heretic_tui.engine.projection import principal_components, turned
from heretic_tui.engine.residual_store import ResidualStore, open_residuals
from heretic_tui.engine.separation import area_under_curve
from heretic_tui.runtime.files import write_json
from heretic_tui.runtime.layers import best_layer, read_geometry, read_views
from heretic_tui.runtime.rundir import RunFolder

Layer = dict[str, Any]
Progress = Callable[[int, int], None]

_FORMAT = 1
# An AUC that a sentence calls telling apart.
_HIGH = 0.95
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
    write_json(folder.geometry, analysis_record(found))
    folder.seal(folder.geometry)


def analysis_record(found: LayersAnalysed) -> dict[str, Any]:
    """The content of geometry.json: what was found, whenever that was."""
    record = found.to_json()
    del record["time"]
    return {"format": _FORMAT, **record}


def saved_analysis(folder: RunFolder) -> LayersAnalysed | None:
    """What `save_analysis` wrote; None where it is not there, or of another version.

    Raises:
        UsageError: when it is damaged.
    """
    record = read_geometry(folder)
    if record is None or record.get("format") != _FORMAT:
        return None
    event = from_json({**record, "time": round(time.time(), 3)})
    return event if isinstance(event, LayersAnalysed) else None


def analysis_without_model(folder: RunFolder, emit: Emit, control: Control) -> LayersAnalysed:
    """Geometry and separation from the residuals that a run kept. They are not saved: the run's own analysis, which
    knows more, is still to come.

    Raises:
        UsageError: where the run kept no residuals.
        Aborted: from the control, between layers.
    """
    store = open_residuals(folder)
    rows, _ = geometry_of(store, reporter(emit, "geometry of the residuals"), control.checkpoint)
    found = kept_tensors(folder, folder.directions, "directions")
    if found and set(store.names) >= {"good_evaluation_prompts", "bad_evaluation_prompts"}:
        add_separation(rows, store, found["directions"])
    prompts = {name: store.count(name) for name in store.names}
    return LayersAnalysed(layers=rows, prompts=prompts, sentence=where_refusal_lives(rows, None))


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
    best = best_layer(rows)
    if best and best.get("auc") is not None:
        most = max(row["auc"] or 0.0 for row in layers)
        onset = len(layers)
        while onset and (layers[onset - 1]["auc"] or 0.0) >= _HIGH:
            onset -= 1
        at = f"at layer {best['layer']} the AUC is {best['auc']:.3f} [{best['auc_low']:.2f}, {best['auc_high']:.2f}]"
        if most < _HIGH:
            sentences.append(f"No layer's direction tells held-out prompts apart with an AUC of {_HIGH}; {at}.")
        elif onset == len(layers):
            sentences.append(f"The direction tells held-out prompts apart in some layers (AUC {_HIGH} or more); {at}.")
        else:
            where = f"from layer {onset} on"
            sentences.append(f"The direction tells held-out prompts apart {where} (AUC {_HIGH} or more); {at}.")
    return " ".join(sentences)


def _lives(layers: list[Layer], refusal: Mapping[str, Any]) -> str:
    best = best_layer([{}, *layers])
    assert best is not None, "refusal was measured"
    writer = min(layers, key=lambda row: row["edit"])
    added = (
        f"the difference of the means added to good prompts after layer {best['layer']} changes theirs, "
        f"{refusal['good']:.1f}, by {best['add']:+.1f}"
    )
    if -best["stream"] < max(0.5, 0.1 * (refusal["bad"] - refusal["good"])):
        return (
            "No single layer carries refusal: the direction taken out of the stream after one of them lowers the "
            f"log-odds of refusal, {refusal['bad']:.1f}, by {max(0.0, -best['stream']):.1f} at most; {added}."
        )
    # The layers around the best one that have at least half of its effect.
    low = high = best["layer"]
    while low > 0 and layers[low - 1]["stream"] <= best["stream"] / 2:
        low -= 1
    while high + 1 < len(layers) and layers[high + 1]["stream"] <= best["stream"] / 2:
        high += 1
    least = min(-row["stream"] for row in layers[low : high + 1])
    place, which = (f"layer {low}", "it") if low == high else (f"layers {low} to {high}", f"layer {best['layer']}")
    others = "" if low == high else f" (after any of these layers by {least:.1f} or more)"
    text = (
        f"Refusal lives in {place}: the direction taken out of the stream after {which} lowers the log-odds of "
        f"refusal, {refusal['bad']:.1f}, by {-best['stream']:.1f}{others}; {added}."
    )
    if writer["edit"] <= best["stream"] / 2:
        text += f" Layer {writer['layer']} writes most of it (edited alone, it lowers them by {-writer['edit']:.1f})."
    elif writer["edit"] < 0:
        text += f" No layer writes most of it (edited alone, each lowers them by {-writer['edit']:.1f} at most)."
    return text


def _round(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
