"""In which layers refusal lives, in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heretic_tui.run.results import Layer, best_layer

# An AUC that a sentence calls telling apart.
_HIGH = 0.95


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
