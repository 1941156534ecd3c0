"""In which layers refusal lives, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from heretic_tui.layer_figures import EFFECTS, FirstTokens, LayerFigures, best_layer

# From this AUC on a sentence says that the direction tells prompts apart.
_HIGH = 0.95


def where_refusal_lives(rows: Sequence[LayerFigures], refusal: FirstTokens | None) -> str:
    """A sentence or two for people, from the rows of all residual indices."""
    best = best_layer(rows)
    if best is None:
        return ""
    sentences = []
    if refusal and refusal.bad is not None and refusal.good is not None:
        sentences.append(_lives(rows, best, refusal.bad, refusal.good))
    apart = best.separation
    if apart and None not in (apart.auc, apart.auc_low, apart.auc_high):
        areas = [row.auc or 0.0 for row in rows[1:]]
        onset = len(areas)
        while onset and areas[onset - 1] >= _HIGH:
            onset -= 1
        at = f"at layer {best.layer} the AUC is {apart.auc:.3f} [{apart.auc_low:.2f}, {apart.auc_high:.2f}]"
        if max(areas) < _HIGH:
            sentences.append(f"No layer's direction tells held-out prompts apart with an AUC of {_HIGH}; {at}.")
        elif onset == len(areas):
            sentences.append(f"The direction tells held-out prompts apart in some layers (AUC {_HIGH} or more); {at}.")
        else:
            where = f"from layer {onset} on"
            sentences.append(f"The direction tells held-out prompts apart {where} (AUC {_HIGH} or more); {at}.")
    return " ".join(sentences)


def _lives(rows: Sequence[LayerFigures], best: LayerFigures, bad: float, good: float) -> str:
    """The sentence on refusal, from what interventions in single layers change, and the mean log-odds of refusal of
    the unedited model."""
    edit, stream, add = ([row.change(name) or 0.0 for row in rows[1:]] for name in EFFECTS)
    peak = best.index - 1
    writer = min(range(len(edit)), key=edit.__getitem__)
    added = (
        f"the difference of the means added to good prompts after layer {peak} changes theirs, {good:.1f}, "
        f"by {add[peak]:+.1f}"
    )
    if -stream[peak] < max(0.5, 0.1 * (bad - good)):
        return (
            "No single layer carries refusal: the direction taken out of the stream after one of them lowers the "
            f"log-odds of refusal, {bad:.1f}, by {max(0.0, -stream[peak]):.1f} at most; {added}."
        )
    # The layers around the best one that have at least half of its effect.
    low = high = peak
    while low > 0 and stream[low - 1] <= stream[peak] / 2:
        low -= 1
    while high + 1 < len(stream) and stream[high + 1] <= stream[peak] / 2:
        high += 1
    least = min(-change for change in stream[low : high + 1])
    place, which = (f"layer {low}", "it") if low == high else (f"layers {low} to {high}", f"layer {peak}")
    others = "" if low == high else f" (after any of these layers by {least:.1f} or more)"
    text = (
        f"Refusal lives in {place}: the direction taken out of the stream after {which} lowers the log-odds of "
        f"refusal, {bad:.1f}, by {-stream[peak]:.1f}{others}; {added}."
    )
    if edit[writer] <= stream[peak] / 2:
        text += f" Layer {writer} writes most of it (edited alone, it lowers them by {-edit[writer]:.1f})."
    elif edit[writer] < 0:
        text += f" No layer writes most of it (edited alone, each lowers them by {-edit[writer]:.1f} at most)."
    return text
