"""What happens in a run as lines for people: an event, the front as a table, a direction in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from heretic_tui import events as ev
from heretic_tui.figures import Figure, in_tables, worth_showing
from heretic_tui.parameters import Kernel, Parameters
from heretic_tui.report.bounds import pressed_lines
from heretic_tui.report.finding import finding
from heretic_tui.report.layers import of_method
from heretic_tui.report.plan import compared_words
from heretic_tui.run.pressed import pressed_in
from heretic_tui.run.start import better_in
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import KNOWN_STATES, TrialRecord
from heretic_tui.words import counted, done_of, duration, of_trial, plain, quantity, ranges

# A label, empty where a line goes on with the one before; and the text.
Line: TypeAlias = tuple[str, str]


def event_lines(event: ev.Event, state: RunState) -> Iterator[Line]:  # noqa: PLR0912, PLR0915 - one case an event
    """What an event tells, but for progress.

    Args:
        state: what is known of the run, the event included.
    """
    match event:
        case ev.RunOpened():
            done = f" (resumed, {state.finished} of {event.n_trials} trials done)" if event.resumed else ""
            yield "run", f"{event.run}{done}"
            yield "folder", event.folder
            yield "seed", str(event.seed)
        case ev.ModelLoaded():
            quantized = f", {event.quantization}" if event.quantization != "none" else ""
            yield (
                "model",
                f"{event.architecture}, {event.layers} layers of {event.hidden_size}, "
                f"{quantity(event.parameters)} parameters, {event.dtype}{quantized} on {event.device}",
            )
        case ev.Coverage():
            parts = ", ".join(f"{count} {name}" for name, count in event.components.items())
            yield "coverage", f"editing {event.editable} of {event.found} matrices ({parts})"
            yield from (("", f"not edited: {line}") for line in event.missing)
            yield from (("", f"edited in part: {line}") for line in event.partly)
        case ev.BatchSizeChosen():
            rate = f"{event.tokens_per_second:,.0f} tokens a second" if event.tokens_per_second else ""
            parts = ", ".join(part for part in (rate, "as found before" if event.remembered else "") if part)
            yield "batch size", f"{event.batch_size}{parts and f' ({parts})'}"
        case ev.ResponsePrefixFound():
            yield "prefix", f"{event.prefix!r} ({event.source})" if event.prefix else f"none ({event.source})"
        case ev.BaselineMeasured():
            yield "original", _base(event, state)
        case ev.StartMeasured():
            yield "on top of", f"{event.edit}: {start_figures(event, state.figures)}"
        case ev.DirectionsFound():
            yield from _directions(event)
        case ev.LayersAnalysed():
            for place, sentence in enumerate(finding(event.layers, event.refusal, state.behaviour).sentences):
                yield "" if place else "layers", sentence
            yield from (("", note) for note in event.notes)
            for name in event.others:
                other = finding(of_method(event, name, event.method).layers, event.refusal, state.behaviour)
                if other.points and event.others[name][-1].effects:
                    yield "", f"With the directions of {name}: {other.title}."
                    yield "", other.points[0]
        case ev.AnalysisEnded() if event.error:
            yield "layers", f"not analysed: {event.error}"
        case ev.PhaseFinished() if event.phase != "search":
            yield "", f"{event.phase}: {'from the run folder' if event.reused else duration(event.seconds)}"
        case ev.RunTook():
            yield "took", compared_words(event.rows)
        case ev.TrialsTakenUp():
            taken = ", ".join(f"{number}{_estimated(state.trials.get(number), state)}" for number in event.numbers)
            yield "decoding", f"trial {taken}"
        case ev.TrialFinished():
            yield "trial", _trial(event, state)
        case ev.Notice():
            yield "note" if event.level == "info" else event.level, event.text
        case ev.StateChanged():
            yield "state", event.state
        case ev.ExportStarted():
            yield "export", f"trial {event.trial} to {event.out}"
        case ev.ExportStep() if event.seconds is not None:
            yield "", f"{export_step_words(event.step)}: {duration(event.seconds)}{event.said and f', {event.said}'}"
        case ev.ExportFinished():
            yield "export", event.error or f"trial {event.trial} is in {event.url or event.out}"
        case ev.ShiftFound():
            yield "tokens", event.error or f"what trial {event.trial} does to first tokens is known"
        case ev.ReviewStarted():
            known = sum(event.seconds.values())
            besides = [title for title in event.checks if title not in event.seconds]
            about = f", about {duration(known)}" if known else ""
            about += f" and {', '.join(besides)}, of which that is not known" if known and besides else ""
            whose = counted(len(event.whose), "trial") if len(event.whose) > 1 else event.whose[0]
            checks = ", ".join(event.checks) or "nothing is left to do"
            yield "review", f"the original model and {whose}: {checks}{about}"
        case ev.ReviewFound() if event.failure:
            whose = event.whose and f", {event.whose}"
            yield "review", f"{event.title}{whose}: {event.failure}"
        case ev.ReviewFound() if not event.reused:
            figures = "; ".join(f"{name} {text}" for name, text in event.figures.items())
            yield "review", f"{event.title}, {event.whose}: {figures} ({duration(event.seconds)})"
        case ev.ReviewEnded() if event.error:
            yield "review", f"not whole: {event.error}"
        case ev.FullAnswersFound() if event.ended:
            yield (
                "answers",
                event.error or f"{len(event.prompts)} answers of {of_trial(event.trial)} are decoded to their end",
            )
        case ev.TrialKept():
            chosen = f"trial {event.trial} was chosen by hand, and is measured"
            yield "by hand", f"not kept: {event.error}" if event.error else chosen
        case ev.RunFailed():
            yield "error", event.text
        case ev.RunEnded():
            if front := state.front():
                head, *lines = front_table(front, state.figures)
                yield "front", head
                yield from (("", line) for line in lines)
            if event.outcome == "done" and state.start and (front := state.front()):
                yield "on top of", beside_start(state.start, front, state.figures)
            if event.outcome == "done" and state.opened:
                for place, line in enumerate(pressed_lines(pressed_in(state), state.opened.settings)):
                    yield "" if place else "bounds", line
            said = {"done": "done", "interrupted": "stopped; run the same command to continue"}
            yield "run", said.get(event.outcome, f"{event.outcome}: {event.reason}")


_STEPS = {
    "edit": "edit the weights",
    "write": "write",
    "describe": "hashes and reproduce.json",
    "load": "load what was written",
    "measure": "measure again",
    "upload": "upload",
}


def export_step_words(step: str) -> str:
    """What is done in a step of an export (events.EXPORT_STEPS)."""
    return _STEPS.get(step, step)


def _base(event: ev.BaselineMeasured, state: RunState) -> str:
    """What the original model does. (What compares a model with it is 0.)"""
    said = []
    for figure in worth_showing(state.figures, [event.figures]):
        value = event.figures.get(figure.key)
        if figure.counted and value is not None:
            said.append(
                f"{figure.verb or figure.short} {value} of {event.prompts} {state.behaviour.bad} evaluation prompts"
            )
        elif value:
            said.append(f"{figure.short} {figure.text(value)}")
    return ", ".join(said) or "measured"


def start_figures(start: ev.StartMeasured, figures: Sequence[Figure]) -> str:
    """`refusals 3/100, KL 0.0123`: what the edit does that a search is on top of."""
    shown = in_tables(worth_showing(figures, [start.figures]))
    return ", ".join(f"{figure.short} {figure.text(start.figures.get(figure.key), start.prompts)}" for figure in shown)


def beside_start(start: ev.StartMeasured, front: Sequence[TrialRecord], figures: Sequence[Figure]) -> str:
    """Which trials on the front are better in both objectives than what the search is on top of, and which in none."""
    keys = [figure.key for figure in figures[:2]]

    def listed(numbers: Sequence[int]) -> str:
        return ", ".join(map(str, numbers)) or "none"

    better = {trial.number: better_in(trial, start, keys) for trial in front}
    both = listed([number for number, each in better.items() if all(each)])
    neither = listed([number for number, each in better.items() if not any(each)])
    return f"on the front, better than that in both figures: {both}; in neither: {neither}"


def _directions(event: ev.DirectionsFound) -> Iterator[Line]:
    layers = len(event.layers) - 1
    if len(event.ranks) > 1:
        each = ", ".join(f"{plain(name).replace('_', ' ')} {rank}" for name, rank in event.ranks.items())
        yield "directions", f"for each of {layers} layers: {each}"
    else:
        yield "directions", f"{'one' if event.rank == 1 else event.rank} for each of {layers} layers"
    if event.left_alone:
        whose = f" with {plain(event.method).replace('_', ' ')}" if len(event.ranks) > 1 else ""
        yield "", f"layers that the mask leaves alone{whose}: {ranges(event.left_alone)}"


def _trial(event: ev.TrialFinished, state: RunState) -> str:
    done = f"({done_of(state.finished, state.n_trials)})"
    if event.state not in KNOWN_STATES:
        return f"{event.number:>4}  {event.state}: {event.reason}  {done}"
    trial = state.trials[event.number]
    shown = worth_showing(state.figures, [trial.figures, trial.at_least])
    figures = "  ".join(_figure(trial, figure) for figure in shown)
    chosen = "seed" if trial.origin else "by hand" if trial.by_hand else ""
    mark = "front" if state.on_front(event.number) else chosen
    mark = "screened" if event.state == "screened" else mark
    left = state.seconds_left()
    rest = f"  {duration(left)} left" if left else ""
    return f"{event.number:>4}  {figures}  {mark:7}  {duration(event.seconds)}  {done}{rest}"


def _figure(trial: TrialRecord, figure: Figure) -> str:
    """The figure, and the mark, that the tables of the screen have."""
    known = "≈" if trial.estimates(figure.key) else "≥" if figure.key in trial.at_least else ""
    value, error = trial.shown(figure), ""
    if known == "≈" and figure.key in trial.error:
        error = f" ± {error_text(figure, trial.error[figure.key])}"
    if not figure.counted:
        text = known + (figure.text(value) or "-")
        return f"{figure.short} {text:>5}{error}"
    return f"{figure.short} {f'{known}{figure.text(value)}':>4}{error}{' of ' if error else '/'}{trial.out_of}"


def _estimated(trial: TrialRecord | None, state: RunState) -> str:
    """What was estimated of a screened trial, in brackets."""
    figures = [_figure(trial, figure) for figure in in_tables(state.figures[:2])] if trial else []
    return f" ({', '.join(' '.join(figure.split()) for figure in figures)})" if figures else ""


def error_text(figure: Figure, error: float) -> str:
    """A standard error: of a count a whole number, or a part of one where it is less."""
    if figure.counted:
        return f"{error:.0f}" if error >= 1 else f"{error:.1f}"
    return figure.text(error)


def front_table(front: Sequence[TrialRecord], figures: Sequence[Figure]) -> list[str]:
    """Lines with number, figures and direction of each trial, what found it where a run has several methods, and what
    it is from where the search did not draw it."""
    shown = in_tables(worth_showing(figures, [trial.figures for trial in front]))
    widths = [max(8, figure.width) for figure in shown]

    def line(number: object, cells: Iterable[str], direction: str) -> str:
        padded = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        return f"{number:>5}  {padded}  {direction}"

    lines = [line("trial", (figure.short for figure in shown), "direction")]
    for trial in front:
        cells = (figure.text(trial.figures.get(figure.key), trial.prompts) for figure in shown)
        words = filter(None, (direction_cell(trial.parameters), method_cell(trial.parameters), origin_words(trial)))
        lines.append(line(trial.number, cells, ", ".join(words)))
    return lines


def origin_words(trial: TrialRecord) -> str:
    """What file or run a trial is from, if it is from any."""
    return f"from {plain(trial.origin)}" if trial.origin else ""


def figures_sentence(trial: TrialRecord, figures: Sequence[Figure]) -> str:
    """Figures of a trial that was measured in full, such as `5 refused, KL 0.0123`."""
    return ", ".join(figure.sentence(trial.figures.get(figure.key), None) for figure in in_tables(figures))


def direction_words(parameters: Parameters | None, rank: int) -> str:
    """Whose direction an edit ablates, and what found it where a run has several methods; empty where its parameters
    are not known.

    Args:
        rank: how many directions of a layer the edit takes out.
    """
    if parameters is None:
        return ""
    index, method = parameters.direction_index, parameters.direction_method
    if index is None:
        words = "own direction per layer" if rank == 1 else f"{rank} own directions per layer"
    else:
        words = f"{'one direction' if rank == 1 else f'{rank} directions'}, from layer {index:.1f}"
    return words if method is None else f"{words}, {method.replace('_', ' ')}"


def shares_words(kernel: Kernel) -> str:
    """What follows a kernel where further directions are taken out with shares of its strength: ` (directions 2 to 3:
    0.50, 0.12 of it)`."""
    if not kernel.shares:
        return ""
    last = len(kernel.shares) + 1
    which = "direction 2" if last == 2 else f"directions 2 to {last}"
    return f" ({which}: {', '.join(f'{share:.2f}' for share in kernel.shares)} of it)"


def direction_cell(parameters: Parameters | None) -> str:
    """Whose direction it is, for a column of a table."""
    if parameters is None:
        return ""
    index = parameters.direction_index
    return "per layer" if index is None else f"from L{index:.1f}"


def method_cell(parameters: Parameters | None) -> str:
    """What found the direction, where a run has several methods; else empty."""
    method = parameters.direction_method if parameters else None
    return "" if method is None else method.replace("_", " ")
