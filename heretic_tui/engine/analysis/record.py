"""The analysis of the layers: geometry, separation, what the directions say and which layer matters, put together in
one record, and the files of the run folder that hold it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from heretic_tui.engine.analysis.geometry import residual_geometry
from heretic_tui.engine.analysis.layer_effects import LayerEffects
from heretic_tui.engine.analysis.logit_lens import Lens
from heretic_tui.engine.analysis.projections import principal_components, turned
from heretic_tui.engine.analysis.separation import area_under_curve
from heretic_tui.engine.directions.by_method import from_tensors, leading_by_method
from heretic_tui.engine.directions.residual_store import ResidualStore, open_residuals
from heretic_tui.engine.measuring.refusal_tokens import RefusalTokens
from heretic_tui.engine.tensor_files import kept_tensors
from heretic_tui.errors import UsageError, one_line
from heretic_tui.events import LayersAnalysed
from heretic_tui.files import write_json
from heretic_tui.layer_figures import EFFECTS, DirectionTokens, Effect, FirstTokens, LayerFigures, Separation
from heretic_tui.records import as_json
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.results import Projections, geometry_record, read_geometry, read_projections
from heretic_tui.work import Work

# Coordinates of the views in the run folder are whole numbers up to this.
_GRID = 1000


def geometry_of(store: ResidualStore, work: Work) -> tuple[list[LayerFigures], Tensor]:
    """The residual geometry by residual index, and the views by principal components, (layers + 1, prompts, 2) with the
    good prompts first. One layer at a time is held in memory.

    Raises:
        Aborted: from the control, between layers.
    """
    rows: list[LayerFigures] = []
    views: list[Tensor] = []
    progress = work.progress("geometry of the residuals")
    for index in range(store.depth + 1):
        work.checkpoint()
        good, bad = store.layer("good_prompts", index), store.layer("bad_prompts", index)
        rows.append(LayerFigures(index=index, geometry=residual_geometry(good, bad)))
        plane = principal_components(torch.cat([good, bad]), 2)
        views.append(turned(plane, len(good), views[-1] if views else None))
        progress(index + 1, store.depth + 1)
    return rows, torch.stack(views)


def with_separation(rows: Sequence[LayerFigures], store: ResidualStore, directions: Tensor) -> list[LayerFigures]:
    """The rows with the AUC of their direction on the evaluation prompts, which it was not made from, and a 95 %
    interval; directions (layers + 1, hidden)."""
    good = store.along("good_evaluation_prompts", directions)
    bad = store.along("bad_evaluation_prompts", directions)
    areas = [area_under_curve(good[:, row.index], bad[:, row.index]) for row in rows]
    return [
        replace(row, separation=Separation(_round(area.value), _round(area.low), _round(area.high)))
        for row, area in zip(rows, areas, strict=True)
    ]


def with_tokens(rows: Sequence[LayerFigures], lens: Lens, leading: Tensor, vectors: Tensor) -> list[LayerFigures]:
    """The rows with what their leading direction says, (layers + 1, hidden), and each of several, (layers + 1, k,
    hidden)."""
    several = vectors.unbind(dim=1) if vectors.shape[1] > 1 else ()
    each = list(zip(*map(lens.read, several), strict=True)) if several else [()] * len(rows)
    return [
        replace(
            row,
            raises=read.raises,
            lowers=read.lowers,
            directions=tuple(DirectionTokens(one.raises, one.lowers) for one in of_each),
        )
        for row, read, of_each in zip(rows, lens.read(leading), each, strict=True)
    ]


def with_effects(rows: Sequence[LayerFigures], effects: LayerEffects) -> list[LayerFigures]:
    """The rows with what an intervention in their layer alone changes. (There is none at the embedding output.)"""

    def of(layer: int) -> dict[str, Effect]:
        return {
            name: Effect(
                _round(float(getattr(effects, name)[layer])), _round(float(getattr(effects, f"{name}_error")[layer]))
            )
            for name in EFFECTS
        }

    return [row if row.layer is None else replace(row, effects=of(row.layer)) for row in rows]


def first_tokens_of_refusals(
    tokens: RefusalTokens, names: Sequence[str], effects: LayerEffects | None, bad: int, good: int
) -> FirstTokens:
    return FirstTokens(
        tokens=tuple((name, round(b, 6), round(g, 6)) for name, (b, g) in zip(names, tokens.each, strict=True)),
        prompts={"bad": bad, "good": good},
        bad=_round(effects.bad) if effects else None,
        good=_round(effects.good) if effects else None,
        ids=tuple(tokens.ids),
    )


def save_analysis(folder: RunFolder, found: LayersAnalysed) -> None:
    write_json(folder.geometry, geometry_record(found))
    folder.seal(folder.geometry)


def saved_analysis(folder: RunFolder) -> LayersAnalysed | None:
    """What `save_analysis` wrote, as an event of now; None where it is not there, or of another version.

    Raises:
        UsageError: when it is damaged.
    """
    found = read_geometry(folder)
    return replace(found, time=round(time.time(), 3)) if found else None


def analysis_without_model(folder: RunFolder, work: Work) -> LayersAnalysed:
    """Geometry and separation from the residuals that a run kept. They are not saved: the run's own analysis, which
    knows more, is still to come.

    Raises:
        UsageError: where the run kept no residuals.
        Aborted: from the control, between layers.
    """
    store = open_residuals(folder)
    rows, _ = geometry_of(store, work)
    others: dict[str, list[LayerFigures]] = {}
    leading, methods = leading_of_run(folder), folder.read_record().direction_methods
    if leading and set(store.names) >= {"good_evaluation_prompts", "bad_evaluation_prompts"}:
        rows = with_separation(rows, store, leading[methods[0]])
        others = {name: with_separation(without_figures(rows), store, leading[name]) for name in methods[1:]}
    prompts = {name: store.count(name) for name in store.names}
    return LayersAnalysed(layers=rows, prompts=prompts, others=others, method=methods[0])


def without_figures(rows: Sequence[LayerFigures]) -> list[LayerFigures]:
    """Rows of the same residual indices of which nothing is known."""
    return [LayerFigures(index=row.index) for row in rows]


def leading_of_run(folder: RunFolder) -> dict[str, Tensor] | None:
    """The leading directions that a run found, (layers + 1, hidden), by method; None where it has none yet.

    Raises:
        UsageError: when they are damaged.
    """
    tensors = kept_tensors(folder, folder.directions, "directions", "good_mean", "bad_mean")
    if tensors is None:
        return None
    try:
        return leading_by_method(from_tensors(tensors, folder.read_record().direction_methods), tensors)
    except (KeyError, ValueError) as error:
        raise UsageError(f"{folder.directions} is damaged ({one_line(error)})") from error


def save_views(folder: RunFolder, method: str, views: Tensor, good: int) -> None:
    """Keep the views of a method, (layers + 1, prompts, 2), beside those of others: for screens, which know no tensors.
    Both axes of a layer have one scale."""
    bad = views.shape[1] - good
    before = read_projections(folder)
    others = before.views if before and (before.good, before.bad) == (good, bad) else {}
    largest = views.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    planes = (views / largest * _GRID).round().int().tolist()
    write_json(folder.projections, as_json(Projections(good, bad, {**others, method: planes})))


def _round(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
