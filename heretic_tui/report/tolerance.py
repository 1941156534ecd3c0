"""Whether what was measured of exported files is what was measured of the trial.

A trial is measured with its edit beside the weights, in float32; files hold the edited weights, rounded to the dtype of
the model. Merged weights and exact adapters differ from the trial by that rounding alone. It moves the KL divergence in
its third digit or so (in 16 bits by up to some 0.001, however small it is), and a response can tip where two tokens
were as likely: 1 of 100. What differs by more is not the trial. Of an approximation (the LoRA that comes nearest to an
edit which only a DoRA holds) nothing is promised: it is told how far off it is."""

from __future__ import annotations

from dataclasses import dataclass

from heretic_tui.figures import Figure, in_tables
from heretic_tui.run.exports import ExportFigures, MeasuredFigures

# Of the prompts that are counted; of any other figure, and how much it may differ in any case.
_OF_PROMPTS, _SHARE, _LEAST = 0.01, 0.05, 0.001


@dataclass(frozen=True)
class Comparison:
    """Files beside their trial.

    Attributes:
        outside: keys of the figures that differ by more than rounding makes them.
        words: what follows, in a sentence.
        failed: whether the files are not what they should be.
    """

    outside: frozenset[str]
    words: str
    failed: bool


def tolerance_words(prompts: int | None) -> str:
    """How far files may be from their trial, such as `within ±1, ±5 %`."""
    return f"within ±{_count(prompts)}, ±{_SHARE:.0%}".replace("%", " %")


def compared(export: ExportFigures) -> Comparison | None:
    """Files beside their trial; None where they were not measured."""
    if export.exported is None:
        return None
    files, trial = export.exported, export.trial
    found = [figure for figure in in_tables(export.figures) if _differs(figure, trial, files)]
    within = tolerance_words(trial.prompts)
    if not found:
        return Comparison(frozenset(), f"The files measure as the trial did ({within}).", False)
    said = ", ".join(
        f"{figure.short} {figure.text(files.figures[figure.key], files.prompts)}, "
        f"trial {figure.text(trial.figures[figure.key], trial.prompts)}"
        for figure in found
    )
    keys = frozenset(figure.key for figure in found)
    if export.approximate:
        return Comparison(keys, f"Not as the trial ({said}): {export.approximate}.", False)
    return Comparison(keys, f"Outside tolerance ({within}): {said}. These files are not the trial.", True)


def _differs(figure: Figure, trial: MeasuredFigures, files: MeasuredFigures) -> bool:
    before, after = trial.figures.get(figure.key), files.figures.get(figure.key)
    if before is None or after is None:
        return False
    # Rounding must not decide at the edge.
    allowed = _count(trial.prompts) if figure.counted else max(_LEAST, _SHARE * abs(before))
    return abs(after - before) > allowed * (1 + 1e-9)


def _count(prompts: int | None) -> int:
    return max(1, round(_OF_PROMPTS * (prompts or 0)))
