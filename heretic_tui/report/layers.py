"""The analysis of the layers as text: geometry as table and CSV, tokens of directions, first tokens of a trial."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

from heretic_tui.behaviour import USUAL, Behaviour
from heretic_tui.events import LayersAnalysed
from heretic_tui.layer_figures import (
    DIRECTION_COLUMNS,
    EFFECTS,
    GEOMETRY_COLUMNS,
    LayerFigures,
    ScoredTokens,
    Separation,
    best_layer,
    layer_name,
)
from heretic_tui.report.finding import finding
from heretic_tui.run.results import SetShift
from heretic_tui.words import plain

_LENGTHS = ("|g|", "|g*|", "|b|", "|b*|", "|r|", "|r*|")

# The effects of interventions in one layer, in the order in which they are shown, by what people call them.
EFFECT_WORDS = {"stream": "ablate", "add": "add", "edit": "edit alone"}
# What each of them is, in a few words.
EFFECT_MEANINGS = {
    "stream": "harmful prompts; the direction ablated from the stream after this layer",
    "add": "harmless prompts; the direction added after this layer, |r| long",
    "edit": "harmful prompts; this layer alone kept from writing the direction",
}
_SETS = {
    "good_evaluation_prompts": "harmless evaluation prompts",
    "bad_evaluation_prompts": "harmful evaluation prompts",
}

LEGEND = """\
g, b: mean residuals of harmless and harmful prompts; g*, b*: geometric medians; r = b - g, r* = b* - g*
S: cosine similarity; |x|: norm; Silh: mean silhouette coefficient of the two sets
*: best layer, where ablating the direction lowers the refusal log-odds most
AUC: how well the direction separates held-out prompts (with its 95 % CI)
changes of the refusal log-odds (that a response begins as a refusal):
""" + "\n".join(f"  {EFFECT_WORDS[name]:10}  {meaning}" for name, meaning in EFFECT_MEANINGS.items())


def of_method(found: LayersAnalysed, method: str, first: str) -> LayersAnalysed:
    """What was found with the directions of one of the run's methods. The geometry is that of the prompts, whatever the
    method; what was not found out of this one is not known.

    Args:
        first: the run's first method.
    """
    if method == first:
        return found
    known = found.others.get(method) or [LayerFigures(index=row.index) for row in found.layers]
    rows = [replace(row, geometry=own.geometry) for row, own in zip(known, found.layers, strict=True)]
    notes = found.other_notes.get(method)
    if notes is None and any(row.effects for row in found.layers):
        notes = [
            f"what ablating or adding a direction changes was measured with those of {first} alone (older version)"
        ]
    return replace(found, layers=rows, notes=notes or [])


def columns_of(rows: Sequence[LayerFigures]) -> list[str]:
    """Names of the figures there are, in the order of a table."""
    known = rows[-1].figures
    return [*GEOMETRY_COLUMNS, *(name for name in DIRECTION_COLUMNS if name in known)]


def figure(name: str, value: float | None) -> str:
    """A figure as tables show it."""
    if value is None:
        return ""
    if name in _LENGTHS:
        return f"{value:.2f}" if abs(value) < 10_000 else f"{value:.3g}"
    return f"{value:+.2f}" if name in EFFECTS else f"{value:.3f}"


def geometry_csv(rows: Sequence[LayerFigures]) -> str:
    """One line a residual index, every figure in full."""
    names = columns_of(rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["index", "layer", *names])
    for row in rows:
        known = {"index": row.index, "layer": row.layer, **row.figures}
        values = (known.get(name) for name in ("index", "layer", *names))
        writer.writerow(["" if value is None else value for value in values])
    return out.getvalue()


def geometry_text(
    found: LayersAnalysed, behaviour: Behaviour = USUAL, method: str = "", methods: Sequence[str] = ()
) -> list[str]:
    """The finding, the tables, and what their columns mean, as lines for people.

    Args:
        found: with the directions of `method`.
        methods: all that the run has.
    """
    rows = found.layers
    lines = method_lines(method, methods)
    if said := finding(rows, found.refusal, behaviour).sentences:
        lines += [said[0], *(f"- {sentence}" for sentence in said[1:]), ""]
    lines += [f"note: {note}" for note in found.notes]
    lines += _table(rows, GEOMETRY_COLUMNS)
    separations = [row.separation for row in rows if row.separation]
    if separations:
        lines += ["", *_measured_table(rows, separations)]
    if found.refusal:
        words = ", ".join(f"{name!r} {bad:.2f} ({good:.2f})" for name, bad, good in found.refusal.tokens)
        after = f"after {behaviour.bad} ({behaviour.good}) prompts"
        lines += ["", f"first tokens of {behaviour.name}, with their probability {after}: {words}"]
    lines += ["", *behaviour.in_words(LEGEND).splitlines()]
    return [plain(line) for line in lines]


def _table(rows: Sequence[LayerFigures], names: Sequence[str]) -> list[str]:
    cells = [["layer", *names]]
    cells += [[layer_name(row.index), *(figure(n, row.geometry.get(n)) for n in names)] for row in rows]
    return _aligned(cells)


def _measured_table(rows: Sequence[LayerFigures], separations: Sequence[Separation]) -> list[str]:
    changes = [name for name in EFFECT_WORDS if name in rows[-1].effects]
    best = best_layer(rows)
    cells = [["layer", "AUC", "95 % CI", *(EFFECT_WORDS[name] for name in changes), ""]]
    for row, apart in zip(rows, separations, strict=True):
        span = f"{figure('auc', apart.auc_low)} - {figure('auc', apart.auc_high)}"
        figures = [figure("auc", apart.auc), span, *(figure(name, row.change(name)) for name in changes)]
        cells.append([layer_name(row.index), *figures, "*" if row is best else ""])
    return _aligned(cells)


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def method_lines(method: str, methods: Sequence[str]) -> list[str]:
    """Of which of a run's direction methods the lines below are; none where it has one."""
    if len(methods) < 2:
        return []
    others = ", ".join(name for name in methods if name != method)
    return [f"Directions of {method} (--method shows those of {others}).", ""]


def tokens_text(rows: Sequence[LayerFigures], count: int, method: str = "", methods: Sequence[str] = ()) -> list[str]:
    """What each layer's direction promotes and suppresses, as lines for people; of several the mean difference within
    their space, and then each.

    Args:
        rows: with the directions of `method`.
        methods: all that the run has.
    """
    lines = method_lines(method, methods)
    if rank := len(rows[-1].directions):
        lines += [f"Each layer has {rank} directions: first the mean difference within their space, then each.", ""]
    for row in rows:
        # There is no direction at the embedding of a template's last token.
        if row.raises and row.lowers is not None:
            lines += _promoted(layer_name(row.index), row.raises, row.lowers, count)
            for place, each in enumerate(row.directions, 1):
                lines += _promoted(f"{layer_name(row.index)}.{place}", each.raises, each.lowers, count)
    return [plain(line) for line in lines]


def _promoted(name: str, raises: ScoredTokens, lowers: ScoredTokens, count: int) -> list[str]:
    return [
        f"{name:>5}  promotes    {scored(raises[:count])}",
        f"{'':>5}  suppresses  {scored(lowers[:count])}",
    ]


def scored(tokens: ScoredTokens) -> str:
    """Tokens with their scores; quoted, since many begin with a space."""
    return "  ".join(f"{token!r} {value:+.2f}" for token, value in tokens)


def shift_text(shift: Mapping[str, SetShift], count: int, behaviour: Behaviour) -> list[str]:
    """The sets' means, and of each set the prompts that moved most."""
    lines: list[str] = []
    for name, found in shift.items():
        lines.append(f"{behaviour.in_words(_SETS.get(name, name))}: KL divergence {found.kl_divergence:.4f}")
        for word, means in (("gained", found.gained), ("lost", found.lost)):
            tokens = "  ".join(f"{token!r} {share:+.3f}" for token, share in means)
            lines.append(f"  {word + ' on average':18} {tokens or 'nothing'}")
        for moved in found.prompts[:count]:
            lines.append(f"  {moved.kl_divergence:8.4f}  {moved.prompt}")
            for word, each in (("gained", moved.gained), ("lost", moved.lost)):
                if each:
                    tokens = "  ".join(f"{token!r} {a:.2f}>{b:.2f}" for token, a, b in each)
                    lines.append(f"            {word:6} {tokens}")
        lines.append("")
    return [plain(line) for line in lines]
