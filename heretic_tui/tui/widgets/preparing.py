"""What a run does before its first trial: the steps as a checklist with the time left, and what has been found out."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal

from heretic_tui.events import PHASES
from heretic_tui.figures import in_tables
from heretic_tui.run.earlier import EarlierPhases, earlier_phases
from heretic_tui.run.rounds import on_top_words
from heretic_tui.run.state import RunState
from heretic_tui.tui.glyphs import Glyphs
from heretic_tui.tui.run_view import RunView
from heretic_tui.tui.themes import Looks, looks
from heretic_tui.tui.threads import on_thread
from heretic_tui.tui.widgets.charts import gauge
from heretic_tui.tui.widgets.frame import Frame
from heretic_tui.tui.widgets.now_line import STEP_WORDS
from heretic_tui.tui.widgets.text_panel import TextPanel
from heretic_tui.words import bits_of, counted, duration, plain, quantity, size_words

_STEPS = PHASES[: PHASES.index("search")]
_BAR, _NAME = 10, 30
# Notices that are shown, the latest.
_NOTICES = 8


def is_preparing(view: RunView) -> bool:
    """Whether a run is being made ready for its first trial."""
    return view.alive and not view.state.trials and view.state.phase in (None, *_STEPS)


class Preparing(Horizontal):
    """Two panes in place of the trials while there are none.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, *, id: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__(id=id)
        self._clock = clock
        self._earlier = EarlierPhases()
        # The run whose earlier runs were looked for.
        self._looked = ""

    def compose(self) -> ComposeResult:
        yield Frame("Preparing", TextPanel(id="steps"), id="steps-pane")
        yield Frame("Found out so far", TextPanel(id="found"), id="found-pane")

    def show(self, view: RunView) -> None:
        """Paint what differs."""
        self._look_for_earlier(view)
        look, now = looks(self), self._clock() if view.timed else None
        self.query_one("#steps", TextPanel).show(steps_text(view.state, self._earlier, now, look, view.glyphs))
        found = self.query_one("#found", TextPanel)
        if found.size.width:
            found.show(found_text(view.state, look))

    def _look_for_earlier(self, view: RunView) -> None:
        folder, opened = view.folder, view.state.opened
        if folder is None or opened is None or self._looked == str(folder.path):
            return
        self._looked, self._earlier = str(folder.path), EarlierPhases()
        looked, model = self._looked, opened.model

        def work() -> None:
            found = earlier_phases(folder.path.parent, model, folder.name)
            self.app.call_from_thread(self._take, looked, found)

        on_thread(self, work, "earlier runs")

    def _take(self, looked: str, found: EarlierPhases) -> None:
        if looked == self._looked:
            self._earlier = found


def steps_text(state: RunState, earlier: EarlierPhases, now: float | None, look: Looks, glyphs: Glyphs) -> Text:
    """The checklist.

    Args:
        now: seconds since 1970; None: no times are shown.
    """
    text, here = Text(), state.phase
    if here is None:
        text.append("Starting: the libraries and the inputs are loaded and checked.\n\n", look.busy)
    for number, phase in enumerate(_STEPS, start=1):
        words = f"{number} {STEP_WORDS[phase]:{_NAME}}"
        if phase == here:
            text.append(f"{glyphs.running} {words}", f"bold {look.busy}")
            text.append(_of_the_step(state, earlier, now, glyphs), look.busy)
        elif _is_done(state, phase):
            seconds = state.phases.get(phase)
            text.append(f"{glyphs.done} {words}", look.good)
            text.append("not needed" if seconds is None else duration(seconds) if now is not None else "", look.dim)
        else:
            text.append(f"  {words}", look.dim)
            if now is not None and phase in earlier.seconds:
                text.append(f"about {duration(earlier.seconds[phase])}", look.dim)
        text.append("\n")
    planned = f": {counted(state.n_trials, 'trial')}" if state.n_trials else ""
    text.append(f"  {len(_STEPS) + 1} searching{planned}\n", look.dim)
    if now is not None and here is not None:
        text.append("\n").append_text(_left_words(state, earlier, now, look))
    return text


def _is_done(state: RunState, phase: str) -> bool:
    return state.phase is not None and _STEPS.index(phase) < _STEPS.index(state.phase)


def _of_the_step(state: RunState, earlier: EarlierPhases, now: float | None, glyphs: Glyphs) -> str:
    """How far the present step is."""
    parts = []
    if (progress := state.progress) and progress.total:
        drawn = "".join(gauge(progress.done / progress.total, _BAR, glyphs))
        parts.append(f"{drawn} {progress.done}/{progress.total}")
    if now is not None and state.phase_began is not None:
        usual = earlier.seconds.get(state.phase or "")
        of = f" of about {duration(usual)}" if usual else ""
        parts.append(f"{duration_in_seconds(now - state.phase_began)}{of}")
    return "  ".join(parts)


def duration_in_seconds(seconds: float) -> str:
    """A duration that changes once a second."""
    return f"{max(0, int(seconds))} s" if seconds < 60 else duration(int(seconds))


def seconds_left(state: RunState, earlier: EarlierPhases, now: float) -> float | None:
    """Seconds until the search begins; None where no earlier run tells how long the steps take that are to come."""
    here = state.phase
    if here not in _STEPS or not earlier.runs:
        return None
    to_come = sum(earlier.seconds.get(phase, 0.0) for phase in _STEPS[_STEPS.index(here) + 1 :])
    usual = earlier.seconds.get(here, 0.0) - (now - state.phase_began if state.phase_began else 0.0)
    by_pace = (state.progress.seconds_left or 0.0) if state.progress else 0.0
    return to_come + max(0.0, usual, by_pace)


def _left_words(state: RunState, earlier: EarlierPhases, now: float, look: Looks) -> Text:
    left = seconds_left(state, earlier, now)
    if left is not None:
        clock = time.strftime("%H:%M", time.localtime(now + left))
        words = f"About {duration_in_seconds(left)} left: ready about {clock}"
        return Text(words, f"bold {look.ink}").append(
            f"   (as {counted(earlier.runs, 'earlier run')} of this model)", look.dim
        )
    by_pace = state.progress.seconds_left if state.progress else None
    step = f"This step: about {duration_in_seconds(by_pace)} left. " if by_pace is not None else ""
    return Text(f"{step}How long the steps after it take is not known: no earlier run of this model is here.", look.dim)


def found_text(state: RunState, look: Looks) -> Text:
    """What is known of the model, and the latest notices."""
    text = Text()

    def line(name: str, words: str, style: str = "") -> None:
        text.append(f"{name:18}", look.dim).append(f"{plain(words)}\n", style)

    if opened := state.opened:
        line("model", opened.model)
        if below := on_top_words(opened.settings):
            line("on top of", below)
        line("seed", str(opened.seed))
    if model := state.model:
        line("architecture", f"{model.architecture}, {model.layers} layers of {model.hidden_size:,}")
        form = f"in {bits_of(model.quantization)} bits and " if model.quantization != "none" else "as "
        line("parameters", f"{quantity(model.parameters)}, {size_words(model.weight_bytes)} {form}{model.dtype}")
        if model.stored_as:
            line("stored as", f"{model.stored_as}, {size_words(model.stored_bytes)}")
        line("device", model.device)
    if coverage := state.coverage:
        line("editable", f"{coverage.editable} of {coverage.found} matrices")
    if state.batch_size:
        line("batch size", str(state.batch_size))
    if state.prefix is not None:
        line("response prefix", repr(state.prefix.prefix) if state.prefix.prefix else "none")
    if base := state.base:
        known = [figure for figure in in_tables(state.figures) if figure.counted and figure.key in base.figures]
        for figure in known:
            line(
                f"{plain(figure.participle or figure.short)}",
                f"{figure.text(base.figures[figure.key], base.prompts)} by the original model",
                f"bold {look.base}",
            )
    for notice in state.notices[-_NOTICES:]:
        colour = {"warning": look.busy, "error": look.bad}.get(notice.level, look.dim)
        text.append(f"\n{plain(notice.text)}", colour)
    return text
