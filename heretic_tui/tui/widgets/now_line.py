"""The second line of every screen: what happens now, how far it is, and what is best so far."""

from __future__ import annotations

import time

from rich.text import Text

from heretic_tui.events import PHASES
from heretic_tui.figures import in_tables
from heretic_tui.report.workers import totals
from heretic_tui.run.state import RunState
from heretic_tui.tui.run_view import RunView
from heretic_tui.tui.themes import Looks, looks
from heretic_tui.tui.widgets.charts import gauge
from heretic_tui.tui.widgets.painted_line import PaintedLine, joined
from heretic_tui.words import duration, plain, size_words

_BAR = 12


class NowLine(PaintedLine):
    """Painted at the tick."""

    def __init__(self) -> None:
        super().__init__("now-line")

    def show(self, view: RunView, idle: str) -> None:
        """
        Args:
            idle: what there is to do while no run is open.
        """
        if width := self.size.width:
            text = Text(" ", no_wrap=True, overflow="crop")
            look = looks(self)
            parts = now_words(view, look) if view.host else [(idle, look.dim)]
            text.append_text(joined(parts, width - 2))
            self.put(text)


def now_words(view: RunView, look: Looks) -> list[tuple[str, str]]:
    """What happens now, as (words, style), what matters most first; which models are compared where there is no run."""
    state = view.state
    if view.models:
        return [
            (f"edited: {plain(view.models.edited)}", look.link),
            (f"original: {plain(view.models.base)}", look.base),
        ]
    parts = [*_review(view, look), *_step(view, look), (best_words(state), f"bold {look.good}")]
    if state.screens and state.finished:
        parts.append((f"{state.decoded} of {state.finished} decoded", look.dim))
    if view.alive and view.timed and state.phase == "search" and state.workers:
        measuring, *tokens = totals(state.workers.values())
        rate = state.trials_a_minute()
        # Each stands where there is room for it.
        words = [f"workers: {measuring}", *([f"{rate:.3g} trials a minute"] if rate else []), *tokens]
        parts += [(each, look.dim) for each in words]
    if view.timed and state.opened and state.opened.time:
        # How long a run took that was killed is not known.
        end = time.time() if view.alive else state.ended
        if end:
            parts.append((f"{duration(max(0, round(end - state.opened.time)))} gone", look.dim))
    if state.memory and view.alive and view.timed:
        where = "GPU" if state.memory.where == "gpu" else "memory"
        parts.append((f"{where} {size_words(state.memory.used)}", look.dim))
    return parts


def _review(view: RunView, look: Looks) -> list[tuple[str, str]]:
    """The check of a review that is made now, and of how many it is."""
    course = view.reviews.course
    if not view.alive or course is None or course.step is None:
        return []
    step = course.step
    return [(f"reviewing: {plain(step.title)} {min(step.done + 1, step.total)}/{step.total}", look.busy)]


def _step(view: RunView, look: Looks) -> list[tuple[str, str]]:
    """The step of a preparation, or how far the search is."""
    state, glyphs = view.state, view.glyphs
    if not view.alive:
        return []
    if state.phase is None:
        return [(plain(state.notices[-1].text), look.busy)] if state.notices else []
    parts: list[tuple[str, str]] = []
    steps = PHASES[: PHASES.index("search")]
    if state.phase in steps:
        parts.append((f"step {steps.index(state.phase) + 1}/{len(steps) + 1} {STEP_WORDS[state.phase]}", look.busy))
    elif state.phase == "layers":
        parts.append((STEP_WORDS[state.phase], look.busy))
    if (progress := state.progress) and progress.total:
        done, total = progress.done, progress.total
    elif state.phase == "search":
        done, total = state.finished, state.n_trials
    else:
        return parts
    drawn = "".join(gauge(done / max(1, total), _BAR, glyphs))
    stage = f"{plain(progress.stage)} " if progress and state.phase in ("search", "ready") else ""
    parts.append((f"{stage}{drawn} {done}/{total}", look.good))
    return parts


# What the phases of a preparation are called, and the analysis after the search.
STEP_WORDS = {
    "load": "loading the model",
    "batch size": "finding the batch size",
    "response prefix": "finding the response prefix",
    "baseline": "measuring the original model",
    "residuals": "gathering residuals",
    "directions": "finding directions",
    "layers": "analysing layers",
}


def best_words(state: RunState) -> str:
    """The trial of the front that is lowest in the second objective, as a sentence; empty while there is none."""
    best = state.fewest()
    if best is None:
        return ""
    lowest, other = in_tables(state.figures[:2])
    values = [figure.text(best.figures[figure.key], best.prompts) for figure in (lowest, other)]
    name = f"fewest {plain(lowest.name)}" if lowest.counted else f"lowest {plain(lowest.name)}"
    return f"{name}: trial {best.number}, {values[0]} at {plain(other.short)} {values[1]}"
