"""What the analysis of the layers left in a run folder, for commands and screens: read, and told as text or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from heretic_tui.engine.events import LayersAnalysed, fits, from_json
from heretic_tui.errors import HereticError, UsageError
from heretic_tui.runtime.files import read_json
from heretic_tui.runtime.rundir import RunFolder
from heretic_tui.runtime.text import plain

# The residual geometry (engine/geometry.py), and what is measured of the direction itself.
GEOMETRY = (
    "S(g,b)", "S(g*,b*)", "S(g,r)", "S(g*,r*)", "S(b,r)", "S(b*,r*)",
    "|g|", "|g*|", "|b|", "|b*|", "|r|", "|r*|", "Silh",
)  # fmt: skip
MEASURED = ("auc", "auc_low", "auc_high", "edit", "edit_error", "stream", "stream_error", "add", "add_error")
_VIEWS: dict[str, Any] = {"good": int, "bad": int, "views": dict[str, list[list[list[int]]]]}
_LENGTHS = ("|g|", "|g*|", "|b|", "|b*|", "|r|", "|r*|")

LEGEND = """\
g, b: mean residuals of good and bad prompts; g*, b*: geometric medians; r = b - g, r* = b* - g*
S: cosine similarity; |x|: length; Silh: mean silhouette coefficient of the two sets
AUC: how well the direction tells evaluation prompts apart (with its 95 % interval)
changes of the log-odds that a response begins as a refusal:
  edit    bad prompts; only this layer is kept from writing the direction
  stream  bad prompts; the direction taken out of the stream after this layer
  add     good prompts; the difference of the means added to the stream after this layer"""


def read_geometry(folder: RunFolder) -> dict[str, Any] | None:
    """geometry.json (engine/events.py: LayersAnalysed), None where it is not there.

    Raises:
        UsageError: when it is damaged.
    """
    path = folder.geometry
    try:
        folder.check(path)
        record = read_json(path)
    except FileNotFoundError:
        return None
    try:
        event = from_json(record) if isinstance(record, dict) else None
    except ValueError as error:
        raise UsageError(f"{path} is damaged ({error})") from error
    if not isinstance(event, LayersAnalysed):
        raise UsageError(f"{path} is damaged (it holds no analysis of layers)")
    return {**record, "layers": event.layers}


def read_views(folder: RunFolder) -> dict[str, Any] | None:
    """projections.json: `good` and `bad` prompts, and `views` by method: by residual index, prompts (the good ones
    first), and axis, from -1000 to 1000. None where it is not there or damaged."""
    try:
        record = read_json(folder.projections)
    except (FileNotFoundError, HereticError):
        return None
    if not isinstance(record, dict) or not all(fits(record.get(name), kind) for name, kind in _VIEWS.items()):
        return None
    points = record["good"] + record["bad"]
    planes = [plane for view in record["views"].values() for plane in view]
    whole = all(len(plane) == points and all(len(place) == 2 for place in plane) for plane in planes)
    return record if whole and record["views"] else None


def best_layer(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The layer that every view and sentence calls the best, from the record of the layers (the embedding output
    first): where taking the direction out of the stream lowers the log-odds of refusal most, or where that was not
    measured, where the direction tells evaluation prompts apart best. None where neither is known."""
    for name, sign in (("stream", -1), ("auc", 1)):
        known = [row for row in rows[1:] if row.get(name) is not None]
        if known:
            return max(known, key=lambda row: (sign * row[name], row.get("auc_low") or 0.0))
    return None


def layer_name(row: Mapping[str, Any]) -> str:
    return "embed" if row["layer"] is None else str(row["layer"])


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the figures there are, in the order of a table."""
    return [*GEOMETRY, *(name for name in MEASURED if name in rows[-1])]


def figure(name: str, value: float | None) -> str:
    """A figure as tables show it."""
    if value is None:
        return ""
    if name in _LENGTHS:
        return f"{value:.2f}" if abs(value) < 10_000 else f"{value:.3g}"
    return f"{value:+.2f}" if name in ("edit", "stream", "add") else f"{value:.3f}"


def geometry_csv(record: Mapping[str, Any]) -> str:
    """One line a residual index, every figure in full."""
    rows = record["layers"]
    names = ["index", "layer", *columns_of(rows)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if row.get(name) is None else row[name] for name in names])
    return out.getvalue()


def geometry_text(record: Mapping[str, Any]) -> list[str]:
    """The sentence, the tables, and what their columns mean, as lines for people."""
    rows = record["layers"]
    lines = [record["sentence"], ""] if record.get("sentence") else []
    lines += [f"note: {note}" for note in record.get("notes", ())]
    lines += _table(rows, GEOMETRY)
    if "auc" in rows[-1]:
        lines += ["", *_measured_table(rows)]
    if refusal := record.get("refusal"):
        words = ", ".join(f"{name!r} {bad:.2f} ({good:.2f})" for name, bad, good in refusal["tokens"])
        lines += ["", f"first tokens of refusals, with their probability after bad (good) prompts: {words}"]
    lines += ["", *LEGEND.splitlines()]
    return [plain(line) for line in lines]


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    cells = [["layer", *names]] + [[layer_name(row), *(figure(n, row.get(n)) for n in names)] for row in rows]
    return _aligned(cells)


def _measured_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    changes = [name for name in ("edit", "stream", "add") if name in rows[-1]]
    best = best_layer(rows)
    cells = [["layer", "AUC", "95 % interval", *changes, ""]]
    for row in rows:
        span = f"{figure('auc', row['auc_low'])} - {figure('auc', row['auc_high'])}"
        figures = [figure("auc", row["auc"]), span, *(figure(n, row.get(n)) for n in changes)]
        cells.append([layer_name(row), *figures, "best" if row is best else ""])
    return _aligned(cells)


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def tokens_text(record: Mapping[str, Any], count: int) -> list[str]:
    """What each layer's direction raises and lowers, as lines for people."""
    lines = []
    for row in record["layers"]:
        # There is no direction at the embedding of a template's last token.
        if row.get("raises"):
            for word in ("raises", "lowers"):
                label = layer_name(row) if word == "raises" else ""
                lines.append(f"{label:>5}  {word}  {scored(row[word][:count])}")
    return [plain(line) for line in lines]


def scored(tokens: Sequence[Sequence[Any]]) -> str:
    """Tokens with their scores; quoted, since many begin with a space."""
    return "  ".join(f"{token!r} {value:+.2f}" for token, value in tokens)
