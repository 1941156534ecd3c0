"""What of a run is worth calling a person for: its end, its failure, a front that stands still, an export."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from heretic_tui import events as ev
from heretic_tui.report.lines import figures_sentence
from heretic_tui.run.state import STANDS_STILL, RunState
from heretic_tui.words import plain, without_passwords


@dataclass(frozen=True)
class News:
    """Something that a person may want to be called for.

    Attributes:
        what: one of calls.HAPPENINGS.
        text: one line.
        facts: what a command of the user's finds in its environment, by variable.
        folder: the run folder; None where there is none.
    """

    what: str
    text: str
    facts: Mapping[str, str] = field(default_factory=dict)
    folder: str | None = None


class Newsroom:
    """Says what of a run's events is news; each thing once.

    Args:
        state: with each event folded in before it is told.
    """

    def __init__(self, state: RunState) -> None:
        self._state = state
        # Whether a trial has ended since the search began, or the run was opened.
        self._searched = False
        self._end_told = False
        # Where the front was when it was told that it stands still.
        self._still_at: int | None = None

    def news_of(self, event: ev.Event) -> News | None:
        """None for an event that nobody is called for, such as one of the past."""
        news = self._found(event)
        return None if event.past else news

    def _found(self, event: ev.Event) -> News | None:
        state = self._state
        match event:
            case ev.RunOpened():
                self._searched = self._end_told = False
            case ev.PhaseStarted() if event.again:
                # The session goes back to what it was at, or measures what a person chose: no search begins or ends.
                return None
            case ev.PhaseStarted() if event.phase == "search":
                self._end_told = False
            case ev.TrialFinished() if not state.trials[event.number].by_hand:
                self._searched = True
                return self._standstill()
            case ev.PhaseStarted() if event.phase == "ready":
                return self._end("done" if state.finished >= state.n_trials else "stopped")
            case ev.RunEnded():
                if event.outcome == "failed":
                    return self._failure(event.reason or "")
                return self._end("done" if event.outcome == "done" else "stopped")
            case ev.RunFailed():
                return self._failure(event.text)
            case ev.ExportFinished():
                where = event.url or event.out
                said = event.error or f"it is in {where}"
                return self._news("exported", f"export of trial {event.trial}: {said}", reason=event.error or "")
        return None

    def _end(self, what: str) -> News | None:
        if self._end_told or not self._searched:
            return None
        self._end_told, self._searched = True, False
        state = self._state
        done = f"{state.finished} of {state.n_trials} trials" if what == "stopped" else f"{state.finished} trials"
        return self._news(what, f"{what}: {done}{self._fewest()}")

    def _failure(self, reason: str) -> News | None:
        if self._end_told:
            return None
        self._end_told = True
        return self._news("failed", f"failed: {reason or 'the log of the run says why'}", reason=reason)

    def _standstill(self) -> News | None:
        state = self._state
        if not state.stands_still or state.finished >= state.n_trials or self._still_at == state.front_moved_at:
            return None
        self._still_at = state.front_moved_at
        return self._news("stalled", f"the front has not moved for {STANDS_STILL} trials{self._fewest()}")

    def _fewest(self) -> str:
        trial = self._state.fewest()
        return f"; trial {trial.number}: {figures_sentence(trial, self._state.figures[:2])}" if trial else ""

    def _news(self, what: str, text: str, reason: str = "") -> News:
        state, opened = self._state, self._state.opened
        facts = {
            "EVENT": what,
            "TEXT": text,
            "REASON": reason,
            "RUN": opened.run if opened else "",
            "FOLDER": opened.folder if opened else "",
            "MODEL": opened.model if opened else "",
            "TRIALS": str(state.finished),
            "PLANNED": str(state.n_trials),
            **_best_facts(state),
        }
        name = f"{opened.run}: " if opened else ""
        return News(what, plain(name + text), in_environment(facts), opened.folder if opened else None)


def _best_facts(state: RunState) -> dict[str, str]:
    trial = state.fewest()
    if trial is None:
        return {"BEST_TRIAL": ""}
    short = {"refusals": "REFUSALS", "kl_divergence": "KL"}
    figures = {short.get(key, key.upper()): f"{value:g}" for key, value in trial.figures.items()}
    return {"BEST_TRIAL": str(trial.number), **figures}


def in_environment(facts: Mapping[str, str]) -> dict[str, str]:
    """Facts as variables of a command. They begin with HERETIC_ and not with HERETIC_TUI_: those are settings, and a
    command of the user's may call this program again."""
    return {f"HERETIC_{name}": plain(without_passwords(value)) for name, value in facts.items()}
