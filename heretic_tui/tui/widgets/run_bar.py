"""The one-line bar on every screen: what is running, how far it is, when it will be done, what is best so far."""

from __future__ import annotations

import time

from rich.text import Text
from textual.widgets import Static

from heretic_tui.figures import in_tables
from heretic_tui.run.state import RunState
from heretic_tui.tui.glyphs import Glyphs, glyph_of
from heretic_tui.words import done_of, duration, plain, size_words

_BAR = 8


class RunBar(Static):
    """Painted at the tick, and only when its text changed."""

    def __init__(self) -> None:
        super().__init__("", markup=False, id="run-bar")
        self._shown: Text | None = None

    def show(self, state: RunState, glyphs: Glyphs, alive: bool, note: str, elapsed: bool = True) -> None:
        """Paint the state.

        Args:
            note: such as FOLLOWING, before everything.
            elapsed: false while nothing may move in a snapshot.
        """
        width = self.size.width
        if width == 0:
            return
        word = state.word(alive)
        parts: list[tuple[str, str]] = []
        if note:
            parts.append((note, "bold reverse"))
        style = {"failed": "bold red", "paused": "bold yellow", "running": "bold green", "ready": "bold green"}
        parts.append((f"{glyph_of(glyphs, word)} {word}", style.get(word, "bold")))
        phase = state.phase if alive and state.phase not in (None, "ready") else None
        if phase == "search" or (state.n_trials and state.trials):
            parts.append((done_of(state.finished, state.n_trials), ""))
        if phase and phase != "search":
            parts.append((phase, ""))
        if alive and (progress := state.progress) and progress.total:
            filled = round(_BAR * progress.done / progress.total)
            bar = glyphs.full * filled + glyphs.empty * (_BAR - filled)
            parts.append((f"{bar} {progress.done}/{progress.total}", ""))
        best = next(iter(state.front()), None)
        if best:
            # A count says by its form what it is.
            said = [
                ("" if figure.counted else f"{figure.short} ") + figure.text(best.figures[figure.key], best.prompts)
                for figure in in_tables(state.figures[:2])
            ]
            parts.append((f"best {' '.join(said)}", "bold"))
        # How long a run took that was killed is not known.
        end = time.time() if alive else state.ended
        if state.opened and state.opened.time and end and elapsed:
            parts.append((duration(max(0, round(end - state.opened.time))), ""))
        left = state.seconds_left() if phase == "search" else (state.progress and state.progress.seconds_left)
        if alive and left and elapsed:
            parts.append((f"{duration(left)} left", ""))
        if state.memory and alive and elapsed:
            where = "GPU" if state.memory.where == "gpu" else "mem"
            parts.append((f"{where} {size_words(state.memory.used)}", ""))
        text = Text(no_wrap=True, overflow="crop")
        for part, style_name in parts:
            words = plain(part)
            if text.cell_len + len(words) + 2 > width:
                continue
            text.append(" " if not text else "  ")
            text.append(words, style_name)
        if text != self._shown or text.spans != (self._shown.spans if self._shown else None):
            self._shown = text
            self.update(text, layout=False)
