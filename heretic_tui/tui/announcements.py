"""What the user is told at once of an event, whatever screen is in view."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from heretic_tui import events as ev
from heretic_tui.figures import in_tables
from heretic_tui.report.lines import figures_sentence
from heretic_tui.run.attach.client import ControlNews
from heretic_tui.run.state import RunState
from heretic_tui.tui.messages import Severity
from heretic_tui.words import plain


@dataclass(frozen=True)
class Announcement:
    """A few words. (What calls a person who looks elsewhere: report/news.py.)"""

    text: str
    severity: Severity = "information"


def told_of_control(news: ControlNews) -> tuple[str, Severity]:
    """What the user is told of who controls the run."""
    match news.kind:
        case "lost":
            who = news.text or "Another terminal"
            return f"{who} controls the run now; this screen only watches. T takes control back.", "warning"
        case "free":
            return f"{news.text} T takes control.", "information"
        case "refused" | "ended":
            return news.text, "error"
    return news.text, "information"


def _decoded(event: ev.TrialFinished, state: RunState) -> Announcement:
    if event.state == "dominated":
        return Announcement(f"trial {event.number} was decoded until it was certain to be beaten, and no further")
    if event.state != "complete":
        return Announcement(f"trial {event.number} was not decoded in full: {event.reason or event.state}")
    trial, figure = state.trials[event.number], in_tables(state.figures)[0]
    before = trial.estimate.get(figure.key)
    was = "" if before is None else f" (estimated: {figure.text(round(before) if figure.counted else before)})"
    return Announcement(f"trial {event.number} is decoded: {figures_sentence(trial, state.figures[:2])}{was}")


def announcement(  # noqa: PLR0911 - one case an event
    event: ev.Event, state: RunState, to_decode: Container[int] = (), all_known: bool = False
) -> Announcement | None:
    """None for an event that the screens alone show.

    Args:
        state: with the event folded in.
        to_decode: screened trials that a person asked for here.
        all_known: whether the latest review had nothing to do.
    """
    match event:
        case ev.PhaseStarted() if event.phase == "ready" and state.finished and not event.again:
            decoded = f", {state.decoded} of them decoded" if state.screens else ""
            keys = "Press 4 to chat, or e to export the selected trial."
            return Announcement(f"{state.finished} trials done{decoded}. {keys}")
        case ev.Notice() if event.level == "error":
            return Announcement(event.text, "error")
        case ev.ShiftFound() if event.error:
            return Announcement(f"first tokens of trial {event.trial}: {event.error}", "error")
        case ev.ReviewFound() if event.failure:
            whose = f", {event.whose}" if event.whose else ""
            return Announcement(f"review, {event.title}{whose}: {event.failure}", "warning")
        case ev.ReviewEnded() if event.error:
            return Announcement(f"The review is not whole: {event.error}.", "warning")
        case ev.ReviewEnded():
            done = "Nothing was left to review: all of that is known." if all_known else "The review is done."
            return Announcement(f"{done} V on Trials shows what was found.")
        case ev.TrialFinished() if event.state == "complete" and state.trials[event.number].by_hand:
            figures = figures_sentence(state.trials[event.number], state.figures[:2])
            origin = plain(state.trials[event.number].origin)
            whence = f"from {origin}" if origin else "chosen by hand"
            return Announcement(f"trial {event.number}, {whence}, is measured: {figures}")
        case ev.TrialFinished() if event.number in to_decode:
            return _decoded(event, state)
        case ev.TrialKept() if event.error != "cancelled":
            if event.error:
                return Announcement(f"not kept: {event.error}", "error")
            return Announcement(f"kept as trial {event.trial}: it is measured now")
        case ev.FullAnswersFound() if event.error and event.error != "cancelled":
            return Announcement(f"answers to their end: {event.error}", "error")
        case ev.ExportFinished() if event.error:
            return Announcement(f"export of trial {event.trial}: {event.error}", "error")
        case ev.ExportFinished():
            return Announcement(f"trial {event.trial} is exported to {event.url or event.out}")
    return None
