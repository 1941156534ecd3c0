"""Progress of the search, as text: whether it still finds better trials, what trials cost, and which parameters
matter."""

from __future__ import annotations

import itertools
import statistics
import textwrap
from collections.abc import Mapping, Sequence

from rich.text import Text

from heretic_tui.figures import Figure
from heretic_tui.report.bounds import widening
from heretic_tui.report.lines import beside_start, start_figures
from heretic_tui.report.plan import planned_words, was_words
from heretic_tui.run.pressed import pressed_in
from heretic_tui.run.screened import reliability
from heretic_tui.run.search_progress import AtLimit, SearchProgress
from heretic_tui.run.state import STANDS_STILL, RunState
from heretic_tui.tui.glyphs import Glyphs
from heretic_tui.tui.importances import FEWEST, Importances
from heretic_tui.tui.screens.trials_table import heading
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.charts import strip_chart
from heretic_tui.words import counted, duration, plain

# Cells of a label, of a value, and of a sparkline: at least and at most.
_LABEL, _VALUE, _SPARK, _LONGEST_SPARK = 25, 7, 6, 32
# So many bounds are told one by one.
_MOST_BOUNDS = 3
# Cells that the bar takes where the pane is longer than its place.
_BAR = 2
# Cells that words behind a sparkline take.
_TAIL = 10


def progress_text(
    progress: SearchProgress,
    found: Importances | None,
    state: RunState,
    look: Looks,
    glyphs: Glyphs,
    width: int,
    timed: bool,
) -> Text:
    """The pane, for so many cells."""
    if progress.reference is None:
        return Text("Nothing to tell before the first trial has been measured.", look.dim)
    text = Text(no_wrap=False)
    first, second = state.figures[0], state.figures[1]
    cells = max(_SPARK, min(_LONGEST_SPARK, width - _LABEL - _VALUE - _TAIL - 2))
    gained = progress.gained(STANDS_STILL)
    corner = (
        f"of {heading(second)} {second.text(progress.reference[1])} x {plain(first.short)} {progress.reference[0]:g}"
    )
    grown = "" if gained is None else f"+{gained:.1%} in {STANDS_STILL} trials"
    fits = _LABEL + len(corner) + 2 + len(grown) <= width
    _row(text, "hypervolume", f"{progress.course[-1]:.3f}", spark(progress.course, cells, glyphs), "", look)
    between = (", " if fits else f"\n{'':{_LABEL}}") if grown else ""
    text.append(f"{'':{_LABEL}}{corner}{between}{grown}\n", look.dim)
    for number, at in enumerate(progress.at_limits(state)):
        _row(text, _limit_words(at, first, second, number == 0), _value(at, second), spark(at.course, cells, glyphs),
             f"trial {at.trial.number}" if at.trial else "", look)  # fmt: skip
    text.append_text(_start(state, look, width))
    if state.screens:
        text.append_text(_screening(state, look, glyphs))
    if timed and progress.seconds:
        latest = statistics.fmean(progress.seconds[-STANDS_STILL:])
        _row(text, "time a trial", duration(latest), spark(progress.seconds, cells, glyphs, zero=True), "", look)
    text.append_text(_bounds(state, look, width))
    if timed:
        for row in state.took:
            planned = f"planned {planned_words(row)}" if row.planned is not None else ""
            _row(text, f"took: {plain(row.name)}", was_words(row), "", planned, look)
    text.append_text(_matters(found, state, look, width))
    text.append_text(_standstill(state, look))
    text.rstrip()
    return text


def _screening(state: RunState, look: Looks, glyphs: Glyphs) -> Text:
    """How many trials were decoded, how many may be yet, and how far estimates were off."""
    text = Text()
    waiting = len(state.undecided) if state.phase == "search" and not state.outcome else 0
    later = f"{waiting} to decode" if waiting else ""
    _row(text, "decoded", f"{state.decoded}", f"of {counted(state.finished, 'trial')}", later, look)
    second = state.figures[1]
    if found := reliability(state.trials.values(), second.key):
        off = f"{found.mean:.1f}" if second.counted else second.text(found.mean)
        _row(text, "estimates were off by", off, f"mean of {counted(found.trials, 'trial')}", "", look)
        _row(text, "within 2 standard errors", f"{found.inside:.0%}".replace("%", " %"), "", "", look)
    return text


def spark(values: Sequence[float | None], cells: int, glyphs: Glyphs, zero: bool = False) -> str:
    """A course in at most so many cells: each as high as the mean of the values that fall into it.

    Args:
        zero: whether the lowest line is 0, and not the lowest value.
    """
    count = min(cells, len(values))
    bounds = [len(values) * place // max(1, count) for place in range(count + 1)]
    parts = [[v for v in values[a:b] if v is not None] for a, b in itertools.pairwise(bounds)]
    means = [statistics.fmean(part) if part else None for part in parts]
    known = [mean for mean in means if mean is not None]
    if not known:
        return ""
    low, high = 0.0 if zero else min(known), max(known)
    wide = high - low or 1.0
    # Never an empty cell: that is one of which nothing is known.
    least = 1.0 / (len(glyphs.bars) - 1)
    shares = [0.0 if mean is None else max(least, (mean - low) / wide) for mean in means]
    return strip_chart(shares, glyphs, 1.0)


def _row(text: Text, label: str, value: str, drawn: str, tail: str, look: Looks) -> None:
    text.append(f"{label:{_LABEL}}", look.dim).append(f"{value:<{_VALUE}}", "bold").append(drawn, look.link)
    text.append(f"  {tail}\n" if tail else "\n", look.dim)


def _limit_words(at: AtLimit, first: Figure, second: Figure, named: bool) -> str:
    limit = f"{plain(first.short)}<{at.limit:g}"
    room = _LABEL - 1 - len(limit)
    which = "fewest" if second.counted else "lowest"
    name = f"{which} {heading(second)}"
    # A long verdict would run into the limit; of what it is the line above says.
    shown = "" if not named else name if len(name) < room else which
    return f"{shown:{room}}{limit} "


def _value(at: AtLimit, second: Figure) -> str:
    known = at.course[-1] if at.course else None
    return "none" if known is None else second.text(int(known) if second.counted else known)


def _matters(found: Importances | None, state: RunState, look: Looks, width: int) -> Text:
    text = Text()
    if found is None or found.problem:
        words = plain(found.problem or "") if found else f"told from {FEWEST} measured trials on"
        return text.append(f"{'what matters':{_LABEL}}{words}\n", look.dim)
    figures = {figure.key: figure for figure in state.figures}
    for key, shares in reversed(list(found.shares.items())):
        if key in figures:
            text.append(f"{f'matters for {heading(figures[key])}':{_LABEL}}", look.dim)
            text.append(f"{most_important(shares, width - _LABEL)}\n")
    by_estimates = f", {found.estimated} of them by estimates" if found.estimated else ""
    return text.append(f"{'':{_LABEL}}fANOVA of {counted(found.trials, 'trial')}{by_estimates}\n", look.dim)


def _bounds(state: RunState, look: Looks, width: int) -> Text:
    """The bounds that most of the front presses against, and what widens all of them."""
    text, pressed = Text(), pressed_in(state)
    if not pressed or not state.opened:
        return text
    told = [
        f"{parameter_words(each.dimension)} at {'most' if each.upper else 'least'} {each.value:.3g}: "
        f"{each.near}/{each.of}"
        for each in pressed[:_MOST_BOUNDS]
    ]
    if more := len(pressed) - len(told):
        told.append(f"and {counted(more, 'more bound')}")
    wider = f"wider: {widening(pressed, state.opened.settings)}"
    return _below(text, "front presses against", [(words, "") for words in told] + [(wider, look.dim)], look, width)


def _start(state: RunState, look: Looks, width: int) -> Text:
    """What the search is on top of, and which trials on the front are better."""
    if not state.start:
        return Text()
    said = (
        state.start.edit,
        start_figures(state.start, state.figures),
        beside_start(state.start, state.front(), state.figures),
    )
    return _below(Text(), "on top of", [(plain(words), "") for words in said], look, width)


def _below(text: Text, label: str, said: Sequence[tuple[str, str]], look: Looks, width: int) -> Text:
    """Words with their styles behind a label, wrapped; each begins a line."""
    room = max(20, width - _LABEL - _BAR)
    for words, style in said:
        for line in textwrap.wrap(words, room, break_long_words=False, break_on_hyphens=False):
            text.append(f"{'' if text else label:{_LABEL}}", look.dim).append(f"{line}\n", style)
    return text


def most_important(shares: Mapping[str, float], width: int) -> str:
    """The parameters that matter most, in words, as many as there is room for; one at least. Those of less than five
    per cent are left out."""
    words = ""
    for name, share in shares.items():
        longer = f"{words}{', ' if words else ''}{parameter_words(name)} {share:.0%}"
        if words and (len(longer) > width or share < 0.05):
            break
        words = longer
    return words


def parameter_words(name: str) -> str:
    """What a dimension of the search space is: attn strength, mlp layer, direction's layer."""
    if name in _WORDS:
        return _WORDS[name]
    component, _, part = name.rpartition(".")
    if part.startswith("share_"):
        return f"{plain(component.partition('.')[0])} direction {plain(part.removeprefix('share_'))}"
    return f"{plain(component.partition('.')[0])} {_WORDS.get(part, plain(part))}"


_WORDS = {
    "direction_scope": "one direction or each layer's own",
    "direction_index": "direction's layer",
    "direction_method": "direction method",
    "max_weight": "strength",
    "max_weight_position": "layer",
    "min_weight": "strength at its reach",
    "min_weight_distance": "reach",
}


def _standstill(state: RunState, look: Looks) -> Text:
    since = state.since_front_moved
    if state.stands_still:
        words = f"The front has not moved for {since} trials"
        return Text(
            f"{words} (S stops).\n" if state.phase == "search" and not state.outcome else f"{words}.\n", look.busy
        )
    if not since:
        return Text("The latest trial moved the front.\n", look.good)
    return Text(f"The front last moved {counted(since, 'trial')} ago.\n", look.dim)
