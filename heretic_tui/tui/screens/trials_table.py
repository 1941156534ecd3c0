"""The table of trials: which columns it has, and the line of each trial and of the original model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from heretic_tui.events import BaselineMeasured, StartMeasured
from heretic_tui.figures import BROKEN, REFUSALS, Figure, in_tables
from heretic_tui.parameters import Parameters
from heretic_tui.plugins import CHECKS, names
from heretic_tui.report.lines import direction_cell, method_cell
from heretic_tui.run.annotations import Annotations
from heretic_tui.run.review_records import ReviewFigure, Subject
from heretic_tui.run.reviews import Review
from heretic_tui.run.rounds import on_top_words
from heretic_tui.run.start import gains_nothing
from heretic_tui.run.state import RunState
from heretic_tui.run.trial_record import KNOWN_STATES, TrialRecord
from heretic_tui.tui.glyphs import Glyphs, glyph_of
from heretic_tui.tui.trial_figures import figure_text
from heretic_tui.tui.widgets.charts import drawn_strengths, kernel_strengths
from heretic_tui.tui.widgets.line_table import Column, Row
from heretic_tui.words import duration, nearest, plain

# The keys of the lines of the original model, and of what a second round began with.
ORIGINAL, START = "original", "start"
# Cells of the edit drawn over the layers, and the strength that fills a cell's height.
STRENGTH_CELLS = 10
# What stands in the column of time, by the state of a trial that was not measured to its end.
_NO_TIME = {
    "dominated": "cut short", "screened": "screened", "failed": "failed", "running": "running", "stopped": "stopped",
}  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What a line depends on besides its trial.

    Attributes:
        figures: those of the run.
        layers: of the model; 0 where they are not known.
        alive: whether an engine is at work on the run.
        timed: whether durations are shown.
        start: what the run is on top of; None for the model itself.
        review: what reviews found. The lines of reviewed trials are made anew when it is another (Listing.update).
        alike: trials on the front whose refusals are within chance of the selected one's; the same.
    """

    figures: Sequence[Figure]
    annotations: Annotations
    glyphs: Glyphs
    layers: int
    alive: bool
    timed: bool
    start: StartMeasured | None = None
    review: Review | None = field(default=None, compare=False)
    alike: frozenset[int] = field(default=frozenset(), compare=False)


# The text of a cell, and the component class of its own that it has in any line.
_Cell = tuple[str, str]
_Maker = Callable[[TrialRecord, bool, Seen], _Cell]


def heading(figure: Figure) -> str:
    """What a column of a figure is called: refused, KL."""
    return plain(figure.participle or figure.short)


# The figure of a review that is shown unless somebody chooses columns: refusals on held-out prompts.
_REVIEWED = "held_out.refused"


def known_columns(figures: Sequence[Figure], review: Review | None = None) -> dict[str, Column]:
    """The columns that can be shown, by the names that the settings of the interface give them, in their order."""
    columns = [
        Column("mark", "", 1),
        Column("trial", "trial", 8, right=True),
        Column("front", "", 1),
        *(Column(f.word, heading(f), max(f.width, len(heading(f))), right=True) for f in in_tables(figures)),
        *(Column(f"{check}.{f.key}", plain(f.short), _width(f), right=True) for check, f in _reviewed(review)),
        Column("direction", "direction", 10),
        # Cut at nine cells the built-in methods are told apart, and the columns behind stay on narrow terminals.
        Column("method", "method", 9),
        Column("strength", "strength", STRENGTH_CELLS),
        Column("time", "time", 9, right=True),
        Column("tags", "tags", 0),
        Column("note", "note", 0),
        Column("state", "state", 9),
        Column("peak", "strongest edit (weight @ layer)", 32),
    ]
    return {column.key: column for column in columns}


def _reviewed(review: Review | None) -> list[tuple[str, ReviewFigure]]:
    """The figures of a review that trials have."""
    if review is None or not any(subject is not None for subject in review.subjects):
        return []
    return review.rows()


def _width(figure: ReviewFigure) -> int:
    return max(9 if figure.form == "count" else 7, len(plain(figure.short)))


def trial_columns(
    figures: Sequence[Figure],
    wanted: Sequence[str] = (),
    review: Review | None = None,
    broken: bool = False,
    methods: bool = False,
) -> list[Column]:
    """The columns of the table, from left to right.

    Args:
        wanted: names of columns; those that are none are left out. Empty: all but note, state and peak, and of a
            review the held-out refusals alone.
        broken: whether any response is broken: then their number is one of all.
        methods: whether the search tries several direction methods: then that of a trial is one of all.
    """
    known = known_columns(figures, review)
    # A name of every run: refusals is the column of a behaviour that has another one.
    words = {figure.key: figure.word for figure in figures}
    chosen = [known[name] for name in dict.fromkeys(words.get(each, each) for each in wanted) if name in known]
    left_out = {"note", "state", "peak", *(f"{check}.{figure.key}" for check, figure in _reviewed(review))}
    left_out |= {figure.word for figure in figures if figure.key == BROKEN and not broken}
    left_out |= set() if methods else {"method"}
    return chosen or [column for name, column in known.items() if name not in left_out - {_REVIEWED}]


def column_problems(figures: Sequence[Figure], wanted: Sequence[str]) -> list[str]:
    """What is wrong with the names of columns, a sentence each."""
    known, checks = {**known_columns(figures), **{figure.key: None for figure in figures}}, names(CHECKS)
    # What a check of a review finds is known when it has found it.
    unknown = [name for name in dict.fromkeys(wanted) if name not in known and name.partition(".")[0] not in checks]
    return [f"The table of trials has no column {name!r}{nearest(name, known) or '.'}" for name in unknown]


def trial_row(trial: TrialRecord, front: bool, columns: Sequence[Column], seen: Seen) -> Row:
    """A trial's line of the table."""
    makers = {**_MAKERS, **{f.word: _figure_maker(f) for f in seen.figures}}
    cells = [makers.get(column.key, _review_maker(column.key))(trial, front, seen) for column in columns]
    kinds = tuple((place, kind) for place, (_, kind) in enumerate(cells) if kind)
    dim = state_of(trial, seen.alive) in ("dominated", "screened")
    return Row(trial.number, tuple(text for text, _ in cells), "dim" if dim else "row", kinds)


def rows_above(state: RunState, columns: Sequence[Column], glyphs: Glyphs, review: Review | None = None) -> list[Row]:
    """The lines above the trials, as far as they are known: the original model, and what a second round began with."""
    rows = [original_row(state.base, columns, state.figures, review)] if state.base else []
    return [*rows, _start_row(state, state.start, columns, glyphs)] if state.start else rows


def _start_row(state: RunState, start: StartMeasured, columns: Sequence[Column], glyphs: Glyphs) -> Row:
    which = on_top_words(state.opened.settings if state.opened else {}).partition(" of ")[0]
    cells = {
        "trial": START,
        "front": glyphs.start,
        **{f.word: f.text(start.figures[f.key], start.prompts) for f in state.figures if f.key in start.figures},
        "direction": which,
    }
    return Row(START, tuple(cells.get(column.key, "") for column in columns), "base", caption=True)


def original_row(
    base: BaselineMeasured, columns: Sequence[Column], figures: Sequence[Figure], review: Review | None = None
) -> Row:
    """The line of the original model."""
    cells = {
        "trial": ORIGINAL,
        **{f.word: f.text(base.figures[f.key], base.prompts) for f in figures if f.key in base.figures},
        "direction": "no edit",
        **{column.key: reviewed_text(review, column.key, None) for column in columns if "." in column.key},
    }
    return Row(ORIGINAL, tuple(cells.get(column.key, "") for column in columns), "base")


def row_text(row: Row) -> str:
    """A line as it is copied: cells with tabs between them."""
    return "\t".join(cell.strip() for cell in row.cells)


# Cells


def state_of(trial: TrialRecord, alive: bool) -> str:
    """The state in a word: what runs where no engine is at work has stopped; a screened trial is what it was."""
    if trial.runs and alive:
        return "running"
    return "stopped" if trial.state == "running" else trial.state


def _mark(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
    return (seen.glyphs.marked if seen.annotations.marked(trial.number) else "", "mark")


def _number(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
    return (f"{seen.glyphs.by_hand} {trial.number}" if trial.by_hand else str(trial.number), "")


def _good(trial: TrialRecord, front: bool, seen: Seen) -> str:
    """The look of what makes a trial one to choose from: on the front, and better than what the run began with."""
    keys = [figure.key for figure in seen.figures[:2]]
    return "good" if front and not gains_nothing(trial, seen.start, keys) else ""


def _front(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
    state = state_of(trial, seen.alive)
    if front:
        good = _good(trial, front, seen)
        return (seen.glyphs.front if good else seen.glyphs.in_vain, good)
    # As in the scatter, whose legend says what they mean: the column of time is not there on a narrow screen.
    passed = {"dominated": seen.glyphs.cut_short, "screened": seen.glyphs.screened}
    glyph = passed.get(state, "") if state in KNOWN_STATES else glyph_of(seen.glyphs, state)
    return (glyph, {"running": "busy", "failed": "bad"}.get(state, ""))


def _figure_maker(figure: Figure) -> _Maker:
    def make(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
        alike = seen.glyphs.about if figure.key == REFUSALS and trial.number in seen.alike else ""
        return (figure_text(trial, figure, seen.glyphs) + alike, _good(trial, front, seen))

    return make


def reviewed_text(review: Review | None, column: str, subject: Subject, overruled: str = "") -> str:
    """A figure of a review as the column with this name has it; empty where there is none."""
    check, _, key = column.partition(".")
    found = review.figure(check, key, subject) if review else None
    return found.text + (overruled if found.overruled else "") if found else ""


def _review_maker(column: str) -> _Maker:
    def make(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
        return (reviewed_text(seen.review, column, trial.number, seen.glyphs.overruled), _good(trial, front, seen))

    return make


def _direction(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
    return (direction_cell(trial.parameters), "")


def _method(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
    return (plain(method_cell(trial.parameters)), "")


def strengths(parameters: Parameters, layers: int) -> list[float]:
    """The strength of the edit in each layer: that of the component which is edited most there."""
    kernels = [kernel_strengths(kernel, layers) for kernel in parameters.components.values()]
    return [max(map(abs, each)) for each in zip(*kernels, strict=True)]


def _strength(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
    if trial.parameters is None or not seen.layers:
        return ("", "")
    return (drawn_strengths(strengths(trial.parameters, seen.layers), STRENGTH_CELLS, seen.glyphs), "")


def _time(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
    state = state_of(trial, seen.alive)
    if state == "complete":
        return (duration(trial.seconds) if trial.seconds and seen.timed else "", "")
    return (_NO_TIME[state], {"running": "busy", "failed": "bad"}.get(state, ""))


def _tags(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
    return (" ".join(seen.annotations.tags(trial.number)), "link")


def _note(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
    return (plain(seen.annotations.first_line(trial.number)), "")


def _state(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
    state = state_of(trial, seen.alive)
    return ("cut short" if state == "dominated" else state, "bad" if state == "failed" else "")


def _peak(trial: TrialRecord, front: bool, seen: Seen) -> _Cell:
    kernels = trial.parameters.components if trial.parameters else {}
    peaks = (
        f"{plain(name.partition('.')[0])} {k.max_weight:.2f} @ {k.max_weight_position:.1f}"
        for name, k in kernels.items()
    )
    return ("  ".join(peaks), "")


_MAKERS: dict[str, _Maker] = {
    "mark": _mark,
    "trial": _number,
    "front": _front,
    "direction": _direction,
    "method": _method,
    "strength": _strength,
    "time": _time,
    "tags": _tags,
    "note": _note,
    "state": _state,
    "peak": _peak,
}
