"""The analysis of the layers as text: geometry as table and CSV, tokens of directions, first tokens of a trial."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from heretic_tui.run.results import DIRECTION_COLUMNS, GEOMETRY, best_layer
from heretic_tui.words import plain

_LENGTHS = ("|g|", "|g*|", "|b|", "|b*|", "|r|", "|r*|")

LEGEND = """\
g, b: mean residuals of good and bad prompts; g*, b*: geometric medians; r = b - g, r* = b* - g*
S: cosine similarity; |x|: length; Silh: mean silhouette coefficient of the two sets
AUC: how well the direction tells evaluation prompts apart (with its 95 % interval)
changes of the log-odds that a response begins as a refusal:
  edit    bad prompts; only this layer is kept from writing the direction
  stream  bad prompts; the direction taken out of the stream after this layer
  add     good prompts; the difference of the means added to the stream after this layer"""


def layer_name(row: Mapping[str, Any]) -> str:
    return "embed" if row["layer"] is None else str(row["layer"])


def columns_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the figures there are, in the order of a table."""
    return [*GEOMETRY, *(name for name in DIRECTION_COLUMNS if name in rows[-1])]


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


def shift_text(shift: Mapping[str, Any], count: int) -> list[str]:
    """The sets' means, and of each set the prompts that moved most."""
    lines: list[str] = []
    for name, found in shift.items():
        lines.append(f"{name.replace('_', ' ')}: KL divergence {found['kl_divergence']:.4f}")
        for word in ("gained", "lost"):
            tokens = "  ".join(f"{token!r} {share:+.3f}" for token, share in found[word])
            lines.append(f"  {word + ' on average':18} {tokens or 'nothing'}")
        for record in found["prompts"][:count]:
            lines.append(f"  {record['kl_divergence']:8.4f}  {record['prompt']}")
            for word in ("gained", "lost"):
                tokens = "  ".join(f"{token!r} {a:.2f}>{b:.2f}" for token, a, b in record[word])
                if tokens:
                    lines.append(f"            {word:6} {tokens}")
        lines.append("")
    return [plain(line) for line in lines]
