"""How far exported files may be from their trial, and what is said where they are farther."""

from __future__ import annotations

import pytest

from heretic_tui.figures import figures_of_before
from heretic_tui.report.tolerance import compared, tolerance_words
from heretic_tui.run.exports import ExportFigures, MeasuredFigures, TrialFigures


def export(refusals: int, kl: float, approximate: str | None = None, trial_kl: float = 0.1) -> ExportFigures:
    return ExportFigures(
        figures=figures_of_before(),
        base=MeasuredFigures(figures={"kl_divergence": 0.0, "refusals": 91}, prompts=100),
        trial=TrialFigures(number=4, figures={"kl_divergence": trial_kl, "refusals": 7}, prompts=100),
        exported=MeasuredFigures(figures={"kl_divergence": kl, "refusals": refusals}, prompts=100),
        approximate=approximate,
    )


@pytest.mark.parametrize(
    ("refusals", "kl", "trial_kl", "outside"),
    [
        (7, 0.1, 0.1, set()), (8, 0.105, 0.1, set()), (6, 0.095, 0.1, set()), (9, 0.1, 0.1, {"refusals"}),
        (7, 0.1051, 0.1, {"kl_divergence"}), (5, 0.2, 0.1, {"refusals", "kl_divergence"}),
        # Of a small divergence rounding is a large part.
        (7, 0.0012, 0.0003, set()), (7, 0.0015, 0.0003, {"kl_divergence"}),
    ],
)  # fmt: skip
def test_rounding_is_within_and_more_is_outside(refusals: int, kl: float, trial_kl: float, outside: set[str]) -> None:
    found = compared(export(refusals, kl, trial_kl=trial_kl))
    assert found is not None
    assert found.outside == outside
    assert found.failed == bool(outside)
    assert ("Outside tolerance" in found.words) == bool(outside)


def test_of_an_approximation_nothing_is_promised_but_how_far_it_is_off_is_said() -> None:
    found = compared(export(12, 0.15, "the LoRA of rank 3 that comes nearest to the edit"))
    assert found is not None
    assert not found.failed
    assert found.words == (
        "Not as the trial (refusals 12/100, trial 7/100, KL 0.1500, trial 0.1000): "
        "the LoRA of rank 3 that comes nearest to the edit."
    )


def test_the_words_name_the_tolerance() -> None:
    assert tolerance_words(100) == "within ±1, ±5 %"
    assert tolerance_words(400) == "within ±4, ±5 %"
    assert tolerance_words(20) == "within ±1, ±5 %"
