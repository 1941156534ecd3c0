"""What is said of the layers."""

from __future__ import annotations

import re

from heretic_tui.layer_figures import Effect, FirstTokens, LayerFigures, Separation, best_layer, peaks
from heretic_tui.report.finding import finding

REFUSAL = FirstTokens((), bad=2.1, good=-3.8)


def rows(
    ablate: list[float], edit: list[float] | None = None, add: list[float] | None = None, auc: list[float] | None = None
) -> list[LayerFigures]:
    """The embedding output and a layer for each of the values."""
    edit, add = edit or [-0.1] * len(ablate), add or [1.0] * len(ablate)
    areas = auc or [1.0] * len(ablate)
    found = [LayerFigures(index=0, separation=Separation(0.5, 0.4, 0.6))]
    for layer, area in enumerate(areas):
        changes = {"edit": Effect(edit[layer]), "stream": Effect(ablate[layer]), "add": Effect(add[layer])}
        found.append(LayerFigures(index=layer + 1, separation=Separation(area, area - 0.02, 1.0), effects=changes))
    return found


def test_the_finding_is_a_title_and_four_sentences() -> None:
    found = finding(
        rows(
            [0.0, -0.5, -4.0, -5.0, -5.6, -1.0],
            edit=[0.0, 0.0, -1.6, -0.5, -0.4, 0.0],
            add=[0.0, 1.0, 2.0, 3.0, 5.8, 9.0],
            auc=[0.5, 0.8, 0.96, 0.99, 1.0, 1.0],
        ),
        REFUSAL,
    )
    assert found.title == "Refusal is mediated in layers 2-4"
    assert found.points == (
        "Ablating the direction after any one of them lowers the refusal log-odds (2.1) by 4.0-5.6.",
        "Adding it to harmless prompts after layer 4 raises theirs (-3.8) by 5.8.",
        "No single layer writes it: editing layer 2 alone, the strongest, lowers them by 1.6.",
        "It separates held-out prompts from layer 2 on; best layer: 4, AUC 1.000 (95 % CI 0.98-1.00).",
    )
    assert found.sentences == (f"{found.title}.", *found.points)


def test_one_layer_that_writes_it_is_named() -> None:
    found = finding(rows([-0.1, -6.0, -0.2], edit=[0.0, -4.0, 0.1], add=[0.0, -0.5, 0.0]), REFUSAL)
    assert found.title == "Refusal is mediated in layer 1"
    assert "after it lowers the refusal log-odds (2.1) by 6.0." in found.points[0]
    assert "after layer 1 lowers theirs (-3.8) by 0.5." in found.points[1]
    assert found.points[2] == "Layer 1 writes most of it: editing it alone lowers them by 4.0."


def test_no_layer_is_named_where_none_carries_refusal() -> None:
    found = finding(rows([-0.1, -0.1, 0.2], auc=[0.7, 0.7, 0.6]), REFUSAL)
    assert found.title == "No single layer mediates refusal"
    assert "by 0.1 at most" in found.points[0]
    assert "in no layer with an AUC of 0.95" in found.points[-1]


def test_what_was_not_measured_is_not_said() -> None:
    apart = [LayerFigures(index=row.index, separation=row.separation) for row in rows([0.0] * 3, auc=[0.9, 1.0, 0.9])]
    found = finding(apart, None)
    assert found.title == "Where refusal is mediated was not measured"
    assert len(found.points) == 1
    assert found.points[0].startswith(
        "The direction separates held-out prompts in some layers with an AUC of 0.95 or more; best layer: 1, AUC 1.000"
    )
    assert finding([LayerFigures(index=0), LayerFigures(index=1)], None).sentences == ()


def test_the_best_layer_is_the_one_where_ablating_lowers_refusal_most() -> None:
    """However the other figures lie; and it is the best in every sentence that names one."""
    found = rows([-1.0, -6.0, -1.0], edit=[-0.9, -0.1, -0.1], add=[9.0, 1.0, 1.0], auc=[1.0, 0.96, 1.0])
    best = best_layer(found)
    assert best is not None
    assert best.layer == 1
    said = " ".join(finding(found, REFUSAL).points)
    assert set(re.findall(r"(?:after|best) layer:? (\d+)", said)) == {"1"}


def test_peaks_are_the_layers_above_their_neighbours() -> None:
    found = rows([-0.1, -3.0, -1.0, -5.0, -5.0, -4.0, -0.1, -0.2, -0.1])
    assert peaks(found) == [2, 4], "the first of a plateau; not what is far below the best"
    assert peaks(rows([-1.0, -2.0, -3.0])) == [3]
    assert peaks([LayerFigures(index=0), LayerFigures(index=1)]) == []
