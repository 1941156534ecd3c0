"""The first line of every screen: the screens with their keys, the model, the state of the run and the time left."""

from __future__ import annotations

import time

from rich.text import Text
from textual import events

from heretic_tui.run.rounds import on_top_words
from heretic_tui.tui.glyphs import glyph_of
from heretic_tui.tui.keys import key_words
from heretic_tui.tui.modes import Mode
from heretic_tui.tui.run_view import RunView
from heretic_tui.tui.themes import Looks, looks
from heretic_tui.tui.widgets.painted_line import PaintedLine, joined
from heretic_tui.words import duration, plain

_NAME = " heretic "
# Cells that the right half must have left before titles of screens are cut to their keys.
_LEAST = 44


class TopLine(PaintedLine):
    """Tabs at the left, the run at the right. A click on a tab opens it."""

    def __init__(self) -> None:
        super().__init__("top-line")
        self._places: list[tuple[int, int, str]] = []

    def show(self, view: RunView, modes: list[Mode], current: str) -> None:
        width, look = self.size.width, looks(self)
        if not width:
            return
        full = Text.assemble((_NAME, f"bold {look.focus}"))
        places = self._tabs(full, modes, current, look, short=False)
        if full.cell_len + _LEAST > width:
            full = Text.assemble((_NAME, f"bold {look.focus}"))
            places = self._tabs(full, modes, current, look, short=True)
        self._places = places
        right = joined(run_words(view, look), max(0, width - full.cell_len - 2))
        full.append(" " * max(1, width - full.cell_len - right.cell_len - 1))
        full.append_text(right)
        self.put(full)

    @staticmethod
    def _tabs(text: Text, modes: list[Mode], current: str, look: Looks, short: bool) -> list[tuple[int, int, str]]:
        places = []
        for mode in modes:
            start, here = text.cell_len, mode.name == current
            words = key_words(mode.key) if short and not here else f"{key_words(mode.key)} {mode.title}"
            text.append(f"[{words}]" if here else f" {words} ", f"bold {look.link}" if here else look.ink)
            places.append((start, text.cell_len, mode.name))
        return places

    async def on_click(self, event: events.Click) -> None:
        for start, end, name in self._places:
            if start <= event.x < end:
                await self.app.run_action(f"app.mode('{name}')")


def run_words(view: RunView, look: Looks) -> list[tuple[str, str]]:
    """Model, state, progress and time left, what matters most first: (words, style)."""
    state, glyphs = view.state, view.glyphs
    if view.models:
        return [("two models, without a run", look.dim)]
    if view.host is None:
        return [("no run is open", look.dim)]
    word = state.word(view.alive)
    parts = [(f"{glyph_of(glyphs, word)} {word}", f"bold {state_look(look, word)}")]
    if view.note:
        parts.insert(0, (plain(view.note), f"bold {look.busy}"))
    if state.n_trials and state.trials:
        parts.append((f"{state.finished}/{state.n_trials}", look.ink))
    left = time_left(view)
    if left is not None:
        parts.append((f"{duration(left)} left", look.ink))
    elif view.alive and not view.reviews.course and (decoding := state.left_to_decode):
        parts.append((f"decoding, {decoding} left", look.ink))
    if state.opened and (below := on_top_words(state.opened.settings)):
        parts.append((f"on top of {plain(below.partition(' of ')[0])}", look.dim))
    if state.opened:
        # In front of all, where there is room for all.
        model = plain(state.opened.model.rstrip("/").rpartition("/")[2])
        parts.insert(0, (model if len(model) <= 30 else model[:29] + glyphs.ellipsis[:1], f"bold {look.base}"))
    return parts


_STATE_LOOKS = {
    "failed": "bad", "paused": "busy", "running": "good", "ready": "good", "done": "good", "stopped": "dim",
    "pausing": "busy", "stopping": "busy", "aborting": "busy",
}  # fmt: skip


def state_look(look: Looks, word: str) -> str:
    """The colour of a run's state in a word."""
    found: str = getattr(look, _STATE_LOOKS.get(word, "ink"))
    return found


def time_left(view: RunView) -> float | None:
    """Seconds that the work in hand takes yet; None where it is not known, or not to be shown."""
    state = view.state
    if not view.alive or not view.timed:
        return None
    if course := view.reviews.course:
        return course.seconds_left(time.time())
    if state.phase == "ready":
        return None
    if state.phase == "search":
        # Of what comes after the last trial the pace of trials tells nothing.
        return state.seconds_left() if state.finished < state.n_trials else None
    return state.progress.seconds_left if state.progress else None
