"""The commands `runs`, `show` and `compare` as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from heretic_tui.figures import REFUSALS, Figure, in_tables, worth_showing
from heretic_tui.report.annotations import OVERRULED, annotation_lines, base_overruled_words, overruled_words
from heretic_tui.report.bounds import pressed_lines
from heretic_tui.report.lines import (
    beside_start,
    direction_cell,
    error_text,
    method_cell,
    origin_words,
    shares_words,
    start_figures,
)
from heretic_tui.report.plan import compared_words
from heretic_tui.report.review import review_lines
from heretic_tui.run.exports import ExportFigures
from heretic_tui.run.overview import RunDetails, RunOverview
from heretic_tui.run.rounds import on_top_words
from heretic_tui.run.screened import reliability
from heretic_tui.run.trial_record import TrialRecord
from heretic_tui.words import plain

# Of a run in the list of runs, trials that something is said of.
_NOTES = 5

if TYPE_CHECKING:
    # It loads NumPy.
    from heretic_tui.run.compare import Comparison


def counted_trials(run: RunOverview) -> str:
    """31/60; 118/118 where more trials are done than are planned now. Empty where nothing is
    known."""
    return "" if run.trials is None else f"{run.trials}/{max(run.trials, run.planned or 0)}"


def overview_table(runs: Sequence[RunOverview]) -> list[str]:
    """Lines for people."""
    width = max(len(run.folder.name) for run in runs)
    names = {", ".join(figure.short for figure in _objectives(run)) for run in runs if run.figures}
    what = f" ({names.pop()})" if len(names) == 1 else ""
    lines = [f"{'run':{width}}  {'state':16} {'trials':>9}  {'base':>7}  best trials{what}"]
    for run in runs:
        name = run.folder.name
        if run.problem:
            lines.append(f"{name:{width}}  {run.state}: {run.problem}")
            continue
        base, best = base_text(run) or "-", ", ".join(f"{t.number}: {best_text(run, t)}" for t in run.best) or "-"
        lines.append(f"{name:{width}}  {run.state:16} {counted_trials(run):>9}  {base:>7}  {best}")
        lines += [f"  {problem}" for problem in run.annotations.problems]
        said = annotation_lines(run.annotations)
        lines += [f"  {line}" for line in said[:_NOTES]]
        if len(said) > _NOTES:
            lines.append(f"          and notes on {len(said) - _NOTES} more (heretic-tui show {run.folder.called})")
    if any(trial.correction for run in runs for trial in run.best):
        lines.append(f"{OVERRULED} counted by your verdicts, not the judge's")
    return [plain(line) for line in lines]


def base_text(run: RunOverview) -> str:
    """The base model's figures, such as 91/100, but for those that compare it with itself; empty where it is not
    measured."""
    base = run.base
    if not base:
        return ""
    figures = [figure for figure in _objectives(run) if figure.counted or base.figures.get(figure.key)]
    return ", ".join(figure.text(base.figures.get(figure.key), base.prompts) for figure in figures)


def best_text(run: RunOverview, trial: TrialRecord, named: bool = False) -> str:
    """The objectives of one of the best trials, such as 3, 0.0123; the second with its name where they are to be
    named."""
    first, second = (counted_text(trial, figure) for figure in _objectives(run))
    return f"{first}, {f'{_objectives(run)[1].short} ' if named else ''}{second}"


def counted_text(trial: TrialRecord, figure: Figure, prompts: int | None = None) -> str:
    """A figure of a trial as tables show it, with a sign behind it where people's verdicts changed it."""
    overruled = trial.correction is not None and figure.key == REFUSALS
    return figure.text(trial.figures.get(figure.key), prompts) + (OVERRULED if overruled else "")


def _objectives(run: RunOverview) -> list[Figure]:
    """The objectives of a run in the order of tables."""
    return in_tables(run.figures)[:2]


def figures_table(export: ExportFigures) -> list[str]:
    """The figures of base model, trial and files of an export."""
    figures = in_tables(export.figures)
    widths = [max(8, figure.width + figure.counted) for figure in figures]

    def line(label: str, cells: Iterable[str]) -> str:
        return plain(f"{label:16}" + "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)))

    lines = [line("", (figure.short for figure in figures))]
    rows = (("original", export.base), (f"trial {export.trial.number}", export.trial), ("exported", export.exported))
    for label, measured in rows:
        if measured:
            cells = (figure.text(measured.figures.get(figure.key), measured.prompts) or "-" for figure in figures)
            lines.append(line(label, cells))
    return lines


def details_text(shown: RunDetails) -> list[str]:
    """Base figures, the front with its kernels, and the settings, as lines for people."""
    base, front = shown.base, [trial for trial in shown.trials if trial.number in shown.front]
    values = [*(trial.figures for trial in front), base.figures if base else {}]
    figures = in_tables(worth_showing(shown.figures, values))
    prompts = base.prompts if base else 0
    widths = [max(8, figure.width) for figure in figures]
    said = [figure.sentence(base.figures.get(figure.key), prompts) for figure in figures if base and figure.counted]
    heads = "  ".join(f"{figure.short:>{width}}" for figure, width in zip(figures, widths, strict=True))
    counts = Counter(trial.state for trial in shown.trials)
    lines = [
        f"run     {shown.run}",
        f"model   {shown.model}",
        f"trials  {', '.join(f'{n} {state}' for state, n in counts.items()) or 'none begun'}",
        *_estimates(shown),
        f"base    {', '.join(said) or 'measured'}" if base else "base    not measured yet",
        *_on_top(shown, front),
        *([f"took    {words}"] if (words := compared_words(shown.plan)) else []),
        *([f"space   {shown.space}"] if shown.space else []),
        "",
        f"front   {'trial':>5}  {heads}  direction    component: peak at layer, floor at distance",
    ]
    for trial in sorted(front, key=lambda t: [t.figures[figure.key] for figure in figures[:2]]):
        kernels = "; ".join(
            f"{name}: {kernel.max_weight:.2f} at {kernel.max_weight_position:.1f}, "
            f"{kernel.min_weight:.2f} at {kernel.min_weight_distance:.1f}{shares_words(kernel)}"
            for name, kernel in (trial.parameters.components.items() if trial.parameters else ())
        )
        texts = (counted_text(trial, figure, prompts) for figure in figures)
        cells = "  ".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))
        method = f"{words}, " if (words := method_cell(trial.parameters)) else ""
        origin = f" ({words})" if (words := origin_words(trial)) else ""
        lines.append(
            f"        {trial.number:>5}  {cells}  {direction_cell(trial.parameters):11}  {method}{kernels}{origin}"
        )
    if not front:
        lines.append("        no complete trial yet")
    if pressed := pressed_lines(shown.pressed, shown.settings or {}):
        lines += ["", f"bounds  {pressed[0]}", *(f"        {line}" for line in pressed[1:])]
    lines += _yours(shown)
    if shown.review.subjects:
        lines += ["", "review", *(f"  {line}" if line else "" for line in review_lines(shown.review))]
    lines += ["", "settings"]
    lines += [f"  {key} = {value}" for key, value in (shown.settings or {}).items()]
    return [plain(line) for line in lines]


def _on_top(shown: RunDetails, front: Sequence[TrialRecord]) -> list[str]:
    """What the search is on top of, and how many trials on its front are better."""
    start = shown.start
    if start is None:
        words = on_top_words(shown.settings or {})
        return [f"on top  {words}, which is not measured yet"] if words else []
    beside = [f"        {beside_start(start, front, shown.figures)}"] if front else []
    return [f"on top  {start.edit}: {start_figures(start, shown.figures)}", *beside]


def _estimates(shown: RunDetails) -> list[str]:
    """How far the estimates of screened trials were off where they were decoded after all."""
    lines = []
    if any(trial.state == "screened" for trial in shown.trials):
        lines.append("        those screened have estimates alone: they were not decoded")
    for figure in in_tables(shown.figures)[:2]:
        if found := reliability(shown.trials, figure.key):
            lines.append(
                f"        {found.trials} were screened first: estimates of {figure.name} were off by "
                f"{error_text(figure, found.mean)} in the mean, {found.inside:.0%} within two standard errors"
            )
    return lines


def _yours(shown: RunDetails) -> list[str]:
    """What people say of the trials, and what their verdicts changed."""
    lines = annotation_lines(shown.annotations)
    changed = [f"{t.number:>7}  {words}" for t in shown.trials if (words := overruled_words(t, shown.figures))]
    if words := base_overruled_words(shown.base, shown.base_correction):
        changed.insert(0, f"{'base':>7}  {words}")
    return [
        *shown.annotations.problems,
        *(["", "yours", *(f"      {line}" for line in lines)] if lines else []),
        *(["", f"overruled by you ({OVERRULED}; the search goes by what was measured)"] if changed else []),
        *(f"      {line}" for line in changed),
    ]


def compare_text(found: Comparison, width: int = 24) -> list[str]:
    """The comparison as lines for people, with a bar of up to `width` characters for each cosine."""
    lines = [f"{word:7} {run.run}  ({run.model})" for word, run in zip(("first", "second"), found.runs, strict=True)]
    differ = [part for part, same in found.same.items() if not same]
    lines += [f"differ  {', '.join(differ) or 'in nothing that decides results'}", "", found.sentence, ""]
    lines.append(f"{'layer':>5}  {'cosine':>7}  {'of r':>7}  {'|r| ratio':>9}  {'nearest':>7}  {'cosine':>7}")
    for row in found.layers:
        name = "emb" if row.layer is None else str(row.layer)
        if row.cosine is None:
            lines.append(f"{name:>5}  {'-':>7}")
            continue
        bar = "█" * round(abs(row.cosine) * width)
        lines.append(
            f"{name:>5}  {row.cosine:7.3f}  {row.cosine_difference:7.3f}  {row.length_ratio:9.3f}  "
            f"{row.nearest:>7}  {row.nearest_cosine:7.3f}  {'-' if row.cosine < 0 else ''}{bar}"
        )
    return [plain(line) for line in lines]
