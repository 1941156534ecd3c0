"""What the analysis of the layers found, in a title and a few sentences: the same words on the screen, in lines and in
`geometry`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heretic_tui.behaviour import USUAL, Behaviour
from heretic_tui.layer_figures import EFFECTS, FirstTokens, LayerFigures, Separation, best_layer

# From this AUC on a direction is said to separate the prompts.
_HIGH = 0.95


@dataclass(frozen=True)
class Finding:
    """Where refusal is mediated.

    Attributes:
        title: without a full stop.
        points: a sentence each; none where nothing was measured.
    """

    title: str
    points: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it; nothing where nothing was measured."""
        return (f"{self.title}.", *self.points) if self.points else ()


def finding(rows: Sequence[LayerFigures], refusal: FirstTokens | None, behaviour: Behaviour = USUAL) -> Finding:
    """The finding, from the rows of all residual indices (the embedding output first). "Best" is `best_layer` in each
    sentence."""
    best = best_layer(rows)
    if best is None:
        return Finding(f"{where_mediated(behaviour)} is not known")
    title = f"{where_mediated(behaviour)} was not measured"
    points: list[str] = []
    if refusal and refusal.bad is not None and refusal.good is not None and best.change("stream") is not None:
        title, points = _mediated(rows, best, refusal.bad, refusal.good, behaviour)
    if apart := best.separation:
        # Where nothing before it speaks of the direction, this sentence has to name it.
        points += _separates(rows, best, apart, "It" if points else "The direction")
    return Finding(title, tuple(points))


def where_mediated(behaviour: Behaviour) -> str:
    """Where refusal is mediated."""
    return f"Where {behaviour.subject} mediated"


def _mediated(
    rows: Sequence[LayerFigures], best: LayerFigures, bad: float, good: float, behaviour: Behaviour
) -> tuple[str, list[str]]:
    """Title and sentences, from what interventions in single layers change, and the mean log-odds of refusal of the
    original model."""
    edit, ablate, add = ([row.change(name) or 0.0 for row in rows[1:]] for name in EFFECTS)
    peak = best.index - 1
    verb = "raises" if add[peak] >= 0 else "lowers"
    added = (
        f"Adding it to {behaviour.good} prompts after layer {peak} {verb} theirs ({good:.1f}) by {abs(add[peak]):.1f}."
    )
    if -ablate[peak] < max(0.5, 0.1 * (bad - good)):
        highest = max(0.0, -ablate[peak])
        said = f"Ablating the direction after one of them lowers the {behaviour.log_odds} ({bad:.1f})"
        return f"No single layer mediates {'refusal' if behaviour.is_refusals else behaviour.name}", [
            f"{said} by {highest:.1f} at most.",
            added,
        ]
    # The layers around the best one that have at least half of its effect.
    low = high = peak
    while low > 0 and ablate[low - 1] <= ablate[peak] / 2:
        low -= 1
    while high + 1 < len(ablate) and ablate[high + 1] <= ablate[peak] / 2:
        high += 1
    changes = [-change for change in ablate[low : high + 1]]
    least, most = f"{min(changes):.1f}", f"{max(changes):.1f}"
    where, after = (f"layer {low}", "it") if low == high else (f"layers {low}-{high}", "any one of them")
    by = least if least == most else f"{least}-{most}"
    return f"{behaviour.subject[:1].upper()}{behaviour.subject[1:]} mediated in {where}", [
        f"Ablating the direction after {after} lowers the {behaviour.log_odds} ({bad:.1f}) by {by}.",
        added,
        _written(edit, ablate[peak]),
    ]


def _written(edit: Sequence[float], ablated: float) -> str:
    """Whether one layer writes the direction: its edit alone does at least half of what ablating does."""
    writer = min(range(len(edit)), key=edit.__getitem__)
    if edit[writer] <= ablated / 2:
        return f"Layer {writer} writes most of it: editing it alone lowers them by {-edit[writer]:.1f}."
    if edit[writer] < 0:
        by = f"{-edit[writer]:.1f}"
        return f"No single layer writes it: editing layer {writer} alone, the strongest, lowers them by {by}."
    return "No single layer writes it: editing one alone lowers them in no layer."


def _separates(rows: Sequence[LayerFigures], best: LayerFigures, apart: Separation, what: str) -> list[str]:
    if apart.auc is None or apart.auc_low is None or apart.auc_high is None:
        return []
    areas = [row.auc or 0.0 for row in rows[1:]]
    onset = len(areas)
    while onset and areas[onset - 1] >= _HIGH:
        onset -= 1
    if max(areas) < _HIGH:
        where = f"in no layer with an AUC of {_HIGH}"
    elif onset == len(areas):
        where = f"in some layers with an AUC of {_HIGH} or more"
    else:
        where = f"from layer {onset} on"
    interval = f"95 % CI {apart.auc_low:.2f}-{apart.auc_high:.2f}"
    return [f"{what} separates held-out prompts {where}; best layer: {best.layer}, AUC {apart.auc:.3f} ({interval})."]
