"""All that is known of the selected trial, as text: what was measured, its edit over the layers, what people say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from heretic_tui.events import BaselineMeasured
from heretic_tui.figures import Figure, in_tables, worth_showing
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.report.annotations import overruled_words
from heretic_tui.report.lines import direction_words, shares_words, start_figures
from heretic_tui.run.annotations import Annotations
from heretic_tui.run.start import better_in, gains_nothing
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import KNOWN_STATES, TrialRecord
from heretic_tui.tui.glyphs import Glyphs, safe_lines
from heretic_tui.tui.screens.trials_answers import Answers, prompts_listed
from heretic_tui.tui.screens.trials_screened import screened_text
from heretic_tui.tui.screens.trials_table import heading
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.trial_figures import estimate_words, signs_of
from heretic_tui.tui.widgets.charts import drawn_strengths, kernel_strengths
from heretic_tui.words import duration, plain

# Cells of a kernel drawn over the layers, at most, and prompts that are named.
_STRIP, _PROMPTS = 40, 8
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


@dataclass(frozen=True)
class Shown:
    """What the detail of a trial depends on besides the trial.

    Attributes:
        answers: what it says to the harmful prompts; None while that is not known.
        timed: whether durations are shown.
        width: cells of a line; 0 where that is not known.
        alike: in words, of which trials its refusals are within chance; empty where of none, or nobody knows.
    """

    state: RunState
    annotations: Annotations
    answers: Answers | None
    look: Looks
    glyphs: Glyphs
    timed: bool
    alive: bool
    width: int = 0
    alike: str = ""


def detail_title(number: int, state: RunState, annotations: Annotations, glyphs: Glyphs) -> str:
    """Trial 41 ◆ ★ "keeps style"."""
    line = annotations.first_line(number)
    said = [f'"{plain(line)}"'] if line else []
    return " ".join([f"Trial {number}", *signs_of(number, state, annotations, glyphs), *said])


def trial_detail(trial: TrialRecord, front: bool, shown: Shown) -> Text:
    """A trial in full."""
    state, look = shown.state, shown.look
    text = Text()
    if trial.reason:
        text.append(plain(trial.reason) + "\n", f"bold {look.bad}" if trial.state == "failed" else look.busy)
    if trial.state in KNOWN_STATES:
        base = state.base.figures if state.base else {}
        figures = in_tables(worth_showing(state.figures, [trial.figures, trial.at_least]))
        said = [_figure_in_full(trial, f, base.get(f.key), shown.glyphs) for f in figures]
        in_vain = gains_nothing(trial, state.start, state.objectives)
        said += ["on the front" + _beside_start(trial, state)] if front else []
        text.append(_side_by_side(said, shown.width) + "\n", look.good if front and not in_vain else "")
    else:
        text.append(_unmeasured(trial, shown), look.busy)
    if shown.alike:
        text.append(f"{shown.glyphs.about} {shown.alike}\n", look.link)
    if trial.state == "dominated":
        text.append_text(_cut_short(trial, look))
    if trial.looked_at:
        text.append_text(screened_text(trial, state, shown.alive, look, shown.glyphs))
    if words := overruled_words(trial, state.figures):
        text.append(f"{words}\n", look.focus)
    if trial.by_hand:
        whence = f"from {plain(trial.origin)}" if trial.origin else "made by hand"
        text.append(f"{shown.glyphs.by_hand} {whence}, not by the search\n")
    _append_edit(text, trial.parameters, state, shown)
    if state.start:
        figures_of_start = plain(start_figures(state.start, state.figures))
        text.append(f"{shown.glyphs.start} on top of     ", look.dim).append(
            f"{plain(state.start.edit)} ({figures_of_start})\n"
        )
    if trial.state in KNOWN_STATES:
        _append_verdicts(text, trial, front, shown)
    if trial.stages and shown.timed:
        text.append("time            ", look.dim)
        stages = ", ".join(f"{plain(name)} {duration(seconds)}" for name, seconds in trial.stages.items())
        text.append(f"{duration(trial.seconds)}: {stages}\n")
    _append_said(text, trial, shown)
    text.rstrip()
    return text


def _beside_start(trial: TrialRecord, state: RunState) -> str:
    """In which figures a trial is better than what its run is on top of; empty where that is the model itself."""
    if state.start is None:
        return ""
    shown = in_tables(state.figures[:2])
    better = better_in(trial, state.start, [figure.key for figure in shown])
    names = [heading(figure) for figure, is_better in zip(shown, better, strict=True) if is_better]
    return f", better than the start in {' and '.join(names)}" if names else ", no better than the start"


def _side_by_side(said: Sequence[str], width: int) -> str:
    """As many in a line as there is room for; none is broken between its name and its value."""
    lines: list[str] = []
    for each in said:
        if lines and (not width or len(lines[-1]) + 3 + len(each) <= width):
            lines[-1] += f"   {each}"
        else:
            lines.append(each)
    return "\n".join(lines)


def original_detail(base: BaselineMeasured, shown: Shown) -> Text:
    """The original model in full."""
    text, state = Text(), shown.state
    for figure in in_tables(worth_showing(state.figures, [base.figures])):
        if figure.key in base.figures:
            value = base.figures[figure.key]
            of = f" of {base.prompts}" if figure.counted else ""
            text.append(f"{heading(figure)} {figure.text(value)}{of}   ", f"bold {shown.look.base}")
    text.rstrip()
    text.append("\nThe model without an edit: what every trial is compared with.\n")
    if state.model:
        model = state.model
        text.append(
            f"{plain(model.architecture)}, {model.layers} layers, {plain(model.dtype)} on {plain(model.device)}\n"
        )
    if shown.answers and shown.answers.records:
        answered = [a.number for a in shown.answers.records if a.said(shown.annotations) == "answered"]
        text.append(f"{state.behaviour.other:16}", shown.look.dim).append(prompts_listed(tuple(answered), _PROMPTS))
    text.rstrip()
    return text


def _unmeasured(trial: TrialRecord, shown: Shown) -> str:
    if trial.state == "failed":
        return ""
    if trial.state == "running" and shown.alive:
        known = (
            f"{heading(f)} {f.text(trial.measured[f.key])}" for f in shown.state.figures if f.key in trial.measured
        )
        return "  ".join(["It is being measured.", *known]) + "\n"
    return "It has not been measured to its end; it is taken up again when the run goes on.\n"


def _cut_short(trial: TrialRecord, look: Looks) -> Text:
    words = "Cut short: a trial on the front was certain to be as good or better in both, so it was decoded no further."
    if trial.estimate:
        words += " The search was told the estimate; table and scatter go by it."
    return Text(words + "\n", look.dim)


def _append_edit(text: Text, parameters: Parameters | None, state: RunState, shown: Shown) -> None:
    if parameters is None:
        return
    layers = state.model.layers if state.model else 0
    width = max(len(plain(name)) for name in parameters.components)
    for name, kernel in parameters.components.items():
        text.append(f"{plain(name):{max(width, 14)}}  ", shown.look.dim)
        if layers:
            text.append(drawn_strengths(kernel_strengths(kernel, layers), _STRIP, shown.glyphs), shown.look.link)
            text.append("  ")
        text.append(kernel_words(kernel) + "\n")
    text.append(f"{'direction':{max(width, 14)}}  ", shown.look.dim)
    text.append(direction_words(parameters, state.rank_of(parameters)))
    if layers:
        text.append(f"   (layers 0 to {layers - 1})", shown.look.dim)
    text.append("\n")


def kernel_words(kernel: Kernel) -> str:
    """1.42 at layer 8.8, down to 1.23 two layers away."""
    if kernel.max_weight == 0:
        return "not edited"
    steps = round(kernel.min_weight_distance)
    away = f"{_NUMBERS[steps] if steps < len(_NUMBERS) else steps} layer{'' if steps == 1 else 's'} away"
    shares, peak = shares_words(kernel), f"{kernel.max_weight:.2f} at layer {kernel.max_weight_position:.1f}"
    if f"{kernel.min_weight:.2f}" == f"{kernel.max_weight:.2f}":
        return f"{peak}, the same up to {away}{shares}"
    return f"{peak}, down to {kernel.min_weight:.2f} {away}{shares}"


def _append_verdicts(text: Text, trial: TrialRecord, front: bool, shown: Shown) -> None:
    look, answers = shown.look, shown.answers
    if answers and answers.records:
        behaviour = shown.state.behaviour
        text.append(f"{f'still {behaviour.counted}':15} ", look.dim).append(prompts_listed(answers.still, _PROMPTS))
        text.append("   new refusals " if behaviour.usual else f"   newly {behaviour.counted} ", look.dim)
        text.append(prompts_listed(answers.new, _PROMPTS) + "\n", look.bad if answers.new else "")
    text.append("beaten by       ", look.dim)
    text.append(_beaten_by(trial, front, shown.state) + "\n")


def _beaten_by(trial: TrialRecord, front: bool, state: RunState) -> str:
    """The trials on the front that are as good or better in both objectives."""
    if front:
        return "none"
    first, second = state.objectives
    own = trial.expected(first), trial.expected(second)
    if own[0] is None or own[1] is None:
        return "-"
    others = [other for other in state.front() if other.figures[first] <= own[0] and other.figures[second] <= own[1]]
    numbers = [f"trial {other.number}" for other in others if other is not trial]
    return ("by its estimates " if numbers and trial.estimates(second) else "") + ", ".join(numbers[:4]) + (
        f" and {len(numbers) - 4} more" if len(numbers) > 4 else ""
    ) or "none"


def _append_said(text: Text, trial: TrialRecord, shown: Shown) -> None:
    look, said = shown.look, shown.annotations
    if tags := said.tags(trial.number):
        text.append("tags            ", look.dim).append(" ".join(tags) + "\n", look.link)
    if note := said.note(trial.number):
        text.append("note            ", look.dim).append_text(safe_lines(note)).append("\n")


def _figure_in_full(trial: TrialRecord, figure: Figure, base: float | None, glyphs: Glyphs) -> str:
    """A figure with all that is known of it, and what it is of the original model, where it is counted."""
    value, least, estimate = (held.get(figure.key) for held in (trial.figures, trial.at_least, trial.estimate))
    of = f" of {trial.out_of}" if figure.counted and trial.out_of is not None else ""
    original = f"original: {figure.text(base)}" if figure.counted and base is not None else ""
    if value is None and least is None and estimate is not None:
        text = f"{heading(figure)} {estimate_words(trial, figure, glyphs)}{of}"
    elif value is not None or least is None:
        text = f"{heading(figure)} {figure.text(value, more_digits=min(2, figure.digits)) or '-'}{of}"
    elif estimate is not None:
        text = f"{heading(figure)} about {estimate:.1f}{of}, at least {figure.text(least)}"
    else:
        text = f"{heading(figure)} at least {figure.text(least, more_digits=2)}{of}"
    return f"{text} ({original})" if original else text
