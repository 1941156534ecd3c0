"""The analysis of the layers: geometry, separation, what the directions say and which layer matters, put together in
one record, and the files of the run folder that hold it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from heretic_tui.control import Control
from heretic_tui.engine.analysis.geometry import residual_geometry
from heretic_tui.engine.analysis.layer_effects import LayerEffects, RefusalTokens
from heretic_tui.engine.analysis.logit_lens import Reading
from heretic_tui.engine.analysis.projections import principal_components, turned
from heretic_tui.engine.analysis.separation import area_under_curve
from heretic_tui.engine.analysis.where_refusal_lives import where_refusal_lives
from heretic_tui.engine.directions.residual_store import ResidualStore, open_residuals
from heretic_tui.engine.tensor_files import kept_tensors
from heretic_tui.events import Emit, LayersAnalysed, from_json
from heretic_tui.files import write_json
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import Layer, read_geometry, read_views
from heretic_tui.work import reporter

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


def _round(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
