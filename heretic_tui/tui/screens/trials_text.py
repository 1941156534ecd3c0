"""The trials as text: a line of the table each, and the selected one in detail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from heretic_tui.figures import Figure, in_tables
from heretic_tui.parameters import Kernel
from heretic_tui.report.lines import direction_cell, direction_words
from heretic_tui.run.state import MEASURED_STATES, RunState, TrialRecord
from heretic_tui.tui.glyphs import Glyphs, glyph_of
from heretic_tui.tui.widgets.charts import kernel_strengths, strip_chart
from heretic_tui.tui.widgets.line_table import Column, Row
from heretic_tui.words import duration, plain


def trial_columns(figures: Sequence[Figure]) -> list[Column]:
    """The columns of the table: one for each figure there is."""
    return [
        Column("trial", "trial", 5, right=True),
        Column("front", "", 1),
        Column("state", "state", 11),
        *(Column(figure.word, plain(figure.short), figure.width, right=True) for figure in in_tables(figures)),
        Column("layer", "direction", 11),
        Column("seconds", "time", 7, right=True),
        Column("kernels", "peak at layer, by component", 0),
    ]


def trial_row(
    trial: TrialRecord, figures: Sequence[Figure], front: bool, alive: bool, glyphs: Glyphs, timed: bool
) -> Row:
    """A trial's line of the table.

    Args:
        figures: those of the run.
        alive: whether an engine is at work on the run.
        timed: whether durations are shown.
    """
    state = "stopped" if trial.state == "running" and not alive else trial.state
    kernels = "  ".join(
        f"{name.partition('.')[0]} {kernel.max_weight:.2f} at {kernel.max_weight_position:.1f}"
        for name, kernel in _kernels(trial).items()
    )
    cells = (
        str(trial.number),
        glyphs.front if front else " ",
        f"{glyph_of(glyphs, state)} {state}",
        *(_figure(trial, figure, glyphs) for figure in in_tables(figures)),
        direction_cell(trial.parameters),
        duration(trial.seconds) if trial.seconds and timed else "",
        kernels,
    )
    kind = "failed" if state == "failed" else "running" if state == "running" else "front" if front else "row"
    return Row(trial.number, cells, kind)


def _kernels(trial: TrialRecord) -> Mapping[str, Kernel]:
    """The kernels by component; none where the parameters are not known."""
    return trial.parameters.components if trial.parameters else {}


def trial_detail(trial: TrialRecord, front: bool, state: RunState, glyphs: Glyphs, timed: bool) -> Text:
    """All that is known of a trial: what was measured, and its edit with the kernels drawn over the layers."""
    text = Text()
    text.append(f"trial {trial.number}", "bold")
    text.append(f"  {trial.state}{f'  {glyphs.front} on the front' if front else ''}\n")
    if trial.reason:
        text.append(plain(trial.reason) + "\n", "bold red")
    if trial.state in MEASURED_STATES:
        base = state.base.figures if state.base else {}
        said = (_figure_in_full(trial, figure, base.get(figure.key)) for figure in in_tables(state.figures))
        text.append("  ".join(said) + "\n")
    if trial.state == "dominated":
        text.append(
            "Certain to be dominated by a trial on the front (as good or better on both counts), so its responses "
            "were decoded no further."
        )
        if trial.estimate:
            text.append(" The search was told the estimate, and it is listed and drawn by it.")
        text.append("\n")
    if trial.parameters:
        text.append(f"{direction_words(trial.parameters)}\n")
    layers = state.model.layers if state.model else 0
    for name, kernel in _kernels(trial).items():
        text.append(f"\n{plain(name)}\n", "bold")
        text.append(
            f"peak {kernel.max_weight:.3f} at layer {kernel.max_weight_position:.2f}, "
            f"{kernel.min_weight:.3f} at distance {kernel.min_weight_distance:.2f}\n"
        )
        if layers:
            strengths = kernel_strengths(kernel, layers)
            text.append(strip_chart(strengths, glyphs, 1.5) + f"  layers 0 to {layers - 1}\n")
    if trial.stages and timed:
        text.append("\ntime  ", "bold")
        text.append(", ".join(f"{name} {duration(seconds)}" for name, seconds in trial.stages.items()))
    return text


def _figure(trial: TrialRecord, figure: Figure, glyphs: Glyphs) -> str:
    """The figure that decides the trial's place, and how it is known."""
    value = trial.shown(figure)
    if value is None:
        return figure.text(trial.measured.get(figure.key))
    known = figure.key in trial.at_least
    mark = glyphs.about if known and figure.key in trial.estimate else glyphs.at_least if known else ""
    return mark + figure.text(value, trial.prompts)


def _figure_in_full(trial: TrialRecord, figure: Figure, base: float | None) -> str:
    """A figure with more digits, all that is known of it, and what it is of the base model, where it is counted."""
    value, least, estimate = (held.get(figure.key) for held in (trial.figures, trial.at_least, trial.estimate))
    known = figure.text(value if least is None else least, more_digits=2) or "-"
    text = f"{plain(figure.short)} {'at least ' if least is not None else ''}{known}"
    if figure.counted and trial.prompts is not None:
        text += f" of {trial.prompts}"
    if estimate is not None:
        text += f", about {estimate:.1f} by estimate"
    return f"{text} (base {base})" if figure.counted and base is not None else text
