"""What Home shows of runs, as rows and texts: the list with the queue beneath, and the run under the cursor."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from rich.text import Text

from heretic_tui.events import PHASES
from heretic_tui.figures import REFUSALS, in_tables
from heretic_tui.report.annotations import said_of
from heretic_tui.report.queue import entry_state
from heretic_tui.report.runs import base_text, counted_text, counted_trials
from heretic_tui.run.queue import Entry, Queue, clock_words, limit_words
from heretic_tui.run.shelf import Glance
from heretic_tui.tui.glyphs import Glyphs
from heretic_tui.tui.themes import Looks
from heretic_tui.tui.widgets.braille import braille_curve
from heretic_tui.tui.widgets.charts import gauge
from heretic_tui.tui.widgets.line_table import Column, Row
from heretic_tui.words import plain

COLUMNS = (
    Column("state", "  state", 15),
    Column("model", "model", 0),
    Column("trials", "trials", 8, right=True),
    Column("fewest", "fewest refused", 17, right=True),
    Column("front", "front", 6, right=True),
    Column("age", "", 6, right=True),
)
# Where there is room for more.
WIDE_COLUMNS = (
    *(Column("model", "model", 32) if column.key == "model" else column for column in COLUMNS),
    Column("base", "original", 8, right=True),
    Column("time", "took", 10, right=True),
    Column("marked", "marked", 0),
)


def columns_of(glances: Sequence[Glance], wide: bool) -> tuple[Column, ...]:
    """The columns, which speak of refusals where all runs do that count them."""
    columns = WIDE_COLUMNS if wide else COLUMNS
    counted = {figure.participle for each in glances for figure in each.overview.figures if figure.key == REFUSALS}
    if counted <= {"refused"}:
        return columns
    return tuple(replace(each, title="fewest counted") if each.key == "fewest" else each for each in columns)


# Cells from which on the wide columns are shown.
WIDE = 120
FIRST_STEPS = (
    ("d", "two-minute demo on a bundled model"),
    ("N", "new run from a model of your own"),
    ("?", "what the keys and the screens do"),
)
_WORDS_TO_KINDS = {
    "done": "good", "ready": "good", "failed": "bad", "damaged": "bad", "stopped": "dim", "reading": "dim",
}  # fmt: skip
_WORDS_TO_GLYPHS = {
    "done": "done", "ready": "done", "failed": "failed", "damaged": "failed", "stopped": "stopped",
    "reading": "ellipsis", "paused": "paused", "pausing": "paused", "stopping": "stopped", "aborting": "stopped",
}  # fmt: skip
_DAY = 86400.0
_BAR = 12
# Lines of the curve of the run under the cursor.
_CURVE = 6


@dataclass(frozen=True)
class Key:
    """What a row of the list stands for: the name of a run, or the number of an entry of the queue."""

    run: str = ""
    entry: int = 0


# The list


def run_row(glance: Glance, glyphs: Glyphs, now: float, several: Collection[str], timed: bool = True) -> Row:
    """
    Args:
        several: models that more than one run has: the digest in the name of the run tells them apart.
        timed: whether what depends on the clock is shown.
    """
    marks = len(glance.annotations.marks)
    state = f"{state_glyph(glance, glyphs)} {glance.word}" + f" {glyphs.marked}{marks}" * bool(marks)
    model = glance.model
    if model in several:
        model += f" ({glance.name.rpartition('-')[2][:4]})"
    cells = (
        state,
        plain(model),
        counted_trials(glance.overview),
        fewest_text(glance),
        f"{glyphs.front} {glance.front}" if glance.front else "",
        age(glance, now) if timed else "",
        base_text(glance.overview),
        in_minutes((now if glance.at_work else glance.ended) - glance.began) if timed and glance.began else "",
        plain(", ".join(f"{trial} {said_of(glance.annotations, trial)}".strip() for trial in glance.annotations.marks)),
    )
    kinds = [(0, _WORDS_TO_KINDS.get(glance.word, "busy")), (5, "dim"), (6, "base"), (7, "dim"), (8, "mark")]
    if glance.front:
        kinds.append((4, "good"))
    if not glance.fewest:
        kinds.append((3, "bad" if glance.reason else "dim"))
    return Row(Key(run=glance.name), cells, "row", tuple(kinds))


def entry_row(queue: Queue, entry: Entry, worker: int | None, glyphs: Glyphs, after: str) -> Row:
    """
    Args:
        worker: pid of the process that works the queue off; None where none does.
        after: what the first of those that wait waits for.
    """
    place = queue.place(entry.id)
    state = f"{glyphs.failed} failed" if entry.problem else f"{glyphs.ellipsis} queued #{place}"
    if place == 1 and entry.begun and worker is not None:
        state, after = f"{glyphs.running} begun", ""
    said = plain(entry.problem) if entry.problem else after if place == 1 else ""
    trials = f"-/{entry.trials}" if entry.trials else ""
    kinds = ((0, "bad" if entry.problem else "dim"), (3, "bad" if entry.problem else "dim"))
    return Row(Key(entry=entry.id), (state, short_model(entry.model), trials, said, "", ""), "row", kinds)


def short_model(model: str) -> str:
    """The last part of the model's name or path."""
    return plain(model.rstrip("/").rpartition("/")[2]) or "?"


def state_glyph(glance: Glance, glyphs: Glyphs) -> str:
    glyph: str = getattr(glyphs, _WORDS_TO_GLYPHS.get(glance.word, "running"))
    return glyph


def fewest_text(glance: Glance) -> str:
    """3/100 KL 0.0812; why it failed where there is no trial on the front."""
    if glance.fewest is None:
        return plain(glance.reason or "") if glance.word in ("failed", "damaged") else ""
    lowest, other = in_tables(glance.overview.figures)[:2]
    prompts = glance.fewest.prompts
    return f"{counted_text(glance.fewest, lowest, prompts)} {plain(other.short)} {counted_text(glance.fewest, other)}"


def age(glance: Glance, now: float) -> str:
    """When something happened in a run last: now, 5 min, 3 h, Tue, 12 Nov."""
    if glance.at_work:
        return "now"
    seconds = max(0.0, now - glance.ended)
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min"
    if seconds < _DAY / 2:
        return f"{round(seconds / 3600)} h"
    then = time.localtime(glance.ended)
    return time.strftime("%a" if seconds < 6 * _DAY else "%d %b", then)


def fits(words: str, glance: Glance) -> bool:
    """Whether each word stands in the run's name, model, state, or in what people say of its trials."""
    said = [said_of(glance.annotations, trial) for trial in glance.annotations.trials]
    marked = ["marked"] if glance.annotations.marks else []
    text = " ".join([glance.name, glance.overview.model or "", glance.word, *marked, *said]).lower()
    return all(word in text for word in words.lower().split())


# The run under the cursor


def run_words(glance: Glance, look: Looks, glyphs: Glyphs, width: int, now: float, timed: bool = True) -> Text:
    """Base model, seed, progress, times, the curve of the fewest refusals so far, marked trials with their notes."""
    overview, text = glance.overview, Text()
    base = base_text(overview)
    counted = next((figure.participle or figure.short for figure in overview.figures if figure.counted), "")
    text.append("original ", look.dim)
    text.append(f"{base} {plain(counted)}" if "/" in base else base or "not measured yet", look.base)
    text.append(f"   seed {glance.seed}\n" if glance.seed is not None else "\n", look.dim)
    text.append_text(_progress(glance, look, glyphs))
    if timed:
        text.append(f"{_times(glance, now)}\n", look.dim)
    text.append(f"{plain(glance.name)}\n", look.dim)
    if glance.reason and glance.word == "failed":
        text.append(f"{plain(glance.reason)}\n", look.bad)
    text.append_text(_curve(glance, look, glyphs, width))
    for trial in glance.annotations.trials:
        marked = glance.annotations.marked(trial)
        text.append(f"{glyphs.marked if marked else glyphs.dot} ", look.focus if marked else look.dim)
        text.append(f"trial {trial}  ", look.ink)
        text.append(f"{plain(said_of(glance.annotations, trial))}\n", look.ink)
    return text


def _progress(glance: Glance, look: Looks, glyphs: Glyphs) -> Text:
    text = Text()
    done, planned = glance.overview.trials or 0, max(glance.overview.planned or 0, glance.overview.trials or 0)
    if glance.at_work and glance.phase in PHASES[: PHASES.index("search")]:
        steps = PHASES.index("search")
        text.append(f"step {PHASES.index(glance.phase) + 1}/{steps} {glance.phase}\n", look.busy)
        return text
    text.append(f"{glance.word}  ", getattr(look, _WORDS_TO_KINDS.get(glance.word, "busy"), look.ink))
    if planned:
        drawn = "".join(gauge(done / planned, _BAR, glyphs))
        text.append(f"{drawn} ", look.good)
        text.append(f"{done}/{planned}", look.ink)
        if glance.overview.decoded is not None and done:
            text.append(f"  {glance.overview.decoded} decoded", look.dim)
    text.append("\n")
    return text


def _times(glance: Glance, now: float) -> str:
    """How long it has taken, and takes yet, with the clock time of its end."""
    if glance.began is None:
        return ""
    if not glance.at_work:
        return f"took {in_minutes(glance.ended - glance.began)}, ended {clock_words(glance.ended, now)}"
    gone = f"{in_minutes(now - glance.began)} gone"
    if glance.seconds_left is None:
        return gone
    return f"{gone}, {in_minutes(glance.seconds_left)} left ({clock_words(now + glance.seconds_left, now)})"


def in_minutes(seconds: float) -> str:
    """18 min, 1 h 05 min; 40 s below two minutes."""
    minutes = round(max(0.0, seconds) / 60)
    if minutes < 2:
        return f"{round(max(0.0, seconds))} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def _curve(glance: Glance, look: Looks, glyphs: Glyphs, width: int) -> Text:
    """The least so far of what tables show first, over the trials."""
    values, text = glance.best_so_far, Text("\n")
    figures = in_tables(glance.overview.figures)
    if not figures or not any(value is not None for value in values):
        return text
    figure, base = figures[0], glance.overview.base
    start = base.figures.get(figure.key) if base else None
    known = [value for value in values if value is not None]
    high = max([*known, *([start] if start is not None else [])])
    labels = {0: figure.text(high), _CURVE - 1: figure.text(known[-1])}
    room = max(len(label) for label in labels.values())
    text.append(f"{plain(figure.name)} over time (least so far)\n", look.dim)
    lines = braille_curve(
        [start, *values], max(8, width - room - 2), _CURVE, glyphs, low=min(known), high=high, steps=True
    )
    for number, line in enumerate(lines):
        text.append(f"{labels.get(number, ''):>{room}} ", look.dim)
        text.append(f"{line}\n", look.good)
    last = str(len(values) - 1)
    axis = f"{'':{room}} 0{'trial':^{max(5, width - room - 4 - len(last))}}{last}"
    text.append(f"{axis}\n\n", look.dim)
    return text


def entry_words(queue: Queue, entry: Entry, worker: int | None, command: str, look: Looks, now: float) -> Text:
    """An entry of the queue: what it waits for, and the settings that differ."""
    text = Text()
    text.append(f"{plain(entry_state(queue, entry, worker))}\n", look.bad if entry.problem else look.busy)
    if entry.problem:
        text.append("R tries it again, D takes it out.\n", look.dim)
    text.append(f"added {clock_words(entry.added, now)}\n", look.dim)
    for line in limits(queue, now):
        text.append(f"{line}\n", look.dim)
    text.append("\nIts settings, as a command:\n", look.dim)
    text.append(plain(command), look.ink)
    return text


def limits(queue: Queue, now: float) -> list[str]:
    """Until when, and where, runs of the queue start."""
    found = []
    if queue.stop_at is not None:
        found.append(f"none starts after {clock_words(queue.stop_at, now)}")
    if queue.keep_free:
        found.append(f"none starts where less than {limit_words(queue)} are free")
    return found
