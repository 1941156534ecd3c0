"""The table of layers, and the curves over them: what of a run's figures stands in which column and panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heretic_tui import events as ev
from heretic_tui.layer_figures import GEOMETRY_COLUMNS, LayerFigures, best_layer, layer_name
from heretic_tui.report.layers import EFFECT_WORDS, figure
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.tui.glyphs import Glyphs
from heretic_tui.tui.screens.layers_text import EFFECT_LOOKS
from heretic_tui.tui.widgets.charts import bar, kernel_strengths
from heretic_tui.tui.widgets.layer_chart import Curve, Panel
from heretic_tui.tui.widgets.line_table import Column, Row

# Component classes of the effects' columns, in the colours of their curves.
_KINDS = {"stream": "link", "add": "mark", "edit": "dim", "bar": "dim"}
_SHORT = {"stream": "ablate", "add": "add", "edit": "alone"}
# Of the components of an edit.
_LOOKS = ("ink", "dim", "busy", "bad")
# Cells of the bar of an edit.
_BAR = 10

Strengths = Mapping[str, Sequence[float]]


def strengths(trial: TrialRecord | None, layers: int) -> dict[str, list[float]]:
    """How strongly a trial edits each layer, by component."""
    if trial is None or trial.parameters is None:
        return {}
    return {name: kernel_strengths(kernel, layers) for name, kernel in trial.parameters.components.items()}


def short_component(name: str) -> str:
    """attn.o_proj as attn.o, mlp.down_proj as mlp.down."""
    return name.removesuffix("_proj")


def columns_of(state: RunState, edit: Strengths, trial: int | None, room: int) -> list[Column]:
    """The columns for which something is known, as far as they fit, what matters most first.

    Args:
        edit: what `strengths` gave for the trial.
        room: cells that there are.
    """
    rows = state.analysis.layers if state.analysis else []
    auc = [Column("auc", "AUC", 5, right=True)] if rows and rows[-1].separation else []
    effects = [Column(name, _SHORT[name], 6, right=True) for name in EFFECT_WORDS] if rows and rows[-1].effects else []
    bars = [Column("bar", f"edit({trial})", _BAR)] if edit else []
    like = [
        Column("norm", "|r|", 6, right=True),
        Column("separation", "sep.", 5, right=True),
        Column("kept", "kept", 5, right=True),
        Column("cosine", "cos", 5, right=True),
    ]
    parts = [Column(name, short_component(name)[:8], 8, right=True) for name in edit]
    shown = [Column("layer", "layer", 6, right=True)]
    for column in (*auc, *effects[:2], *bars, *effects[2:], *like, *parts):
        if sum(each.width + 1 for each in (*shown, column)) - 1 <= room:
            shown.append(column)
    order = [column.key for column in (*auc, *effects, *like, *parts, *bars)]
    return shown[:1] + sorted(shown[1:], key=lambda column: order.index(column.key))


# The sign of a layer that the mask of layers leaves alone.
LEFT_ALONE = "-"


def rows_of(state: RunState, edit: Strengths, columns: Sequence[Column], glyphs: Glyphs) -> list[Row]:
    """A row for each residual index, as far as it is known."""
    if state.directions is None:
        return []
    analysed = state.analysis.layers if state.analysis else None
    best = best_layer(analysed) if analysed else None
    highest = max((abs(value) for values in edit.values() for value in values), default=0.0) or 1.0
    rows = []
    for index, layer in enumerate(state.directions.layers):
        known = analysed[index] if analysed else None
        star = best is not None and best.index == index
        alone = index - 1 in state.directions.left_alone
        each = {name: None if index == 0 else values[index - 1] for name, values in edit.items()}
        strongest = max((abs(value) for value in each.values() if value is not None), default=0.0)
        cells = {
            "layer": " ".join(filter(None, [f"{'*' if star else ''}{LEFT_ALONE if alone else ''}", layer_name(index)])),
            "norm": f"{layer.difference_norm:.2f}",
            "cosine": f"{layer.cosine:.3f}",
            "separation": f"{layer.separation:.1f}",
            "kept": f"{layer.surviving:.2f}",
            "auc": figure("auc", known.auc) if known else "",
            "bar": bar(strongest / highest, _BAR, glyphs),
            **{name: _signed(known.change(name)) if known else "" for name in EFFECT_WORDS},
            **{name: "" if value is None else f"{value:.2f}" for name, value in each.items()},
        }
        kinds = [(place, _KINDS[column.key]) for place, column in enumerate(columns) if column.key in _KINDS]
        if star:
            kinds.insert(0, (0, "mark"))
        rows.append(Row(index, tuple(cells[column.key] for column in columns), kinds=tuple(kinds)))
    return rows


def _signed(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:+.1f}" if abs(value) >= 0.05 else "0.0"


def geometry_columns(panned: int) -> list[Column]:
    """The columns of the residual geometry, without the first `panned`."""
    names = GEOMETRY_COLUMNS[panned:]
    return [Column("layer", "layer", 6, right=True), *(Column(n, n, max(6, len(n)), right=True) for n in names)]


def geometry_rows(layers: Sequence[LayerFigures], columns: Sequence[Column]) -> list[Row]:
    best, names = best_layer(layers), [column.key for column in columns[1:]]
    return [
        Row(
            row.index,
            (
                f"{'* ' if row is best else ''}{layer_name(row.index)}",
                *(figure(name, row.geometry.get(name)) for name in names),
            ),
        )
        for row in layers
    ]


def panels_of(state: RunState, edit: Strengths, trial: int | None) -> tuple[Panel, ...]:
    """The curves, all over the same layers: the changes of the log-odds, the AUC, the edit of a trial; before they are
    known, what the directions are like."""
    found: list[Panel] = []
    if state.analysis:
        found += _measured(state.analysis)
    elif state.directions:
        layers = state.directions.layers[1:]
        found = [
            Panel((Curve("sep.", tuple(layer.separation for layer in layers), "link"),)),
            Panel((
                Curve("kept", tuple(layer.surviving for layer in layers), "focus"),
                Curve("cos", tuple(layer.cosine for layer in layers), "good"),
            )),
        ]  # fmt: skip
    if edit:
        named = zip(edit.items(), _LOOKS, strict=False)
        curves = tuple(Curve(short_component(name), tuple(values), look) for (name, values), look in named)
        every = [value for values in edit.values() for value in values]
        # Below 0 where directions are added.
        low, high = min(0.0, *every), max(0.0, *every)
        found.append(Panel(curves, (low, high if high > low else 1.0)))
    return tuple(found)


def _measured(found: ev.LayersAnalysed) -> list[Panel]:
    layers = found.layers[1:]
    changes = tuple(
        Curve(word, tuple(row.change(name) for row in layers), EFFECT_LOOKS[name])
        for name, word in EFFECT_WORDS.items()
        if any(row.change(name) is not None for row in layers)
    )
    areas = Curve("AUC", tuple(row.auc for row in layers), "good")
    return [*([Panel(changes)] if changes else []), Panel((areas,), (0.5, 1.0))]
