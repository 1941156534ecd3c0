"""What the analysis of the layers found, as text for the side of the Layers screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from heretic_tui import events as ev
from heretic_tui.layer_figures import LayerFigures, best_layer
from heretic_tui.report.layers import figure
from heretic_tui.tui.glyphs import Glyphs, fit
from heretic_tui.tui.widgets.charts import curves
from heretic_tui.words import plain

_CHANGES = {
    "edit": "bad prompts, only this layer kept from writing the direction",
    "stream": "bad prompts, the direction taken out of the stream here",
    "add": "good prompts, the difference of the means added here",
}


def layer_title(index: int, found: ev.LayersAnalysed | None = None) -> str:
    """What a residual index is called; with the record of the layers, whether it is the best one."""
    best = best_layer(found.layers) if found else None
    return ("embedding output" if index == 0 else f"layer {index - 1}") + (
        " (the best)" if best and best.index == index else ""
    )


def which_layer(found: ev.LayersAnalysed, index: int, width: int, height: int, glyphs: Glyphs) -> Text:
    """The sentence, the curves over the layers, and the figures of the selected one."""
    row, layers = found.layers[index], found.layers[1:]
    text = Text()
    text.append(plain(found.sentence) + "\n", "bold")
    for note in found.notes:
        text.append(f"note: {plain(note)}\n")
    text.append(f"\n{layer_title(index, found)}", "bold")
    apart = row.separation
    if apart and None not in (apart.auc, apart.auc_low, apart.auc_high):
        text.append(f"  AUC {apart.auc:.3f}, 95 % interval {apart.auc_low:.3f} to {apart.auc_high:.3f}")
    text.append("\n")
    changes = [name for name in _CHANGES if all(layer.change(name) is not None for layer in layers)]
    if changes:
        text.append("change of the log-odds that a response begins as a refusal:\n")
    for name in changes:
        effect = row.effects.get(name)
        shown = "" if effect is None else f"{effect.change:+.2f}"
        if effect is not None and effect.error is not None:
            shown += f" ±{effect.error:.2f}"
        text.append(f"{name:>7} {shown:>12}", "bold")
        # Where it does not fit, the help says it.
        text.append(f"  {_CHANGES[name] if width >= 90 else ''}\n")
    lines = text.plain.count("\n") + len(found.sentence) // width
    rest = max(12, height - lines)
    parts = [text]
    if layers[-1].separation:
        parts.append(curves({"AUC": [layer.auc for layer in layers]}, width, rest // (1 + len(changes)), glyphs))
    if changes:
        series = {name: [layer.change(name) for layer in layers] for name in changes}
        parts.append(curves(series, width, rest * len(changes) // (1 + len(changes)), glyphs))
    return Text("\n").join(parts)


def said_by_direction(found: ev.LayersAnalysed, index: int, width: int) -> Text:
    """The tokens that a layer's direction raises and lowers, with bars as long as their scores."""
    row = found.layers[index]
    text = Text()
    text.append(f"{layer_title(index, found)}: its direction through the final norm and the unembedding\n", "bold")
    raises, lowers = row.raises, row.lowers
    if raises is None or lowers is None:
        return text.append("\nit has not been read")
    if not (raises or lowers):
        return text.append("\nnothing: there is no direction here")
    longest = max(abs(score) for _, score in (*raises, *lowers))
    name_width = max(8, min(24, width - 30))
    for word, tokens in (("raises", raises), ("lowers", lowers)):
        text.append(f"\n{word}\n", "bold")
        for token, score in tokens:
            bar = "=" * round(abs(score) / longest * max(0, width - name_width - 12))
            text.append(f"{fit(plain(repr(token)), name_width)} {score:+8.2f} {bar}\n")
    return text


def geometry_cells(row: LayerFigures, names: Sequence[str]) -> list[str]:
    return [figure(name, row.geometry.get(name)) for name in names]


def first_tokens_wanted(trial: int, can_ask: bool, run: str) -> Text:
    """The text shown where a trial's first tokens are not known yet."""
    text = Text(f"What trial {trial} does to first tokens is not known yet.\n\n")
    text.append("f again finds out: " if can_ask else f"heretic-tui tokens {run} --trial {trial}\n\n", "bold")
    text.append("one pass over the evaluation prompts; esc cancels it." if can_ask else "finds out.")
    return text
