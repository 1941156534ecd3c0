"""What the user is told at once of an event, whatever screen is in view."""

from __future__ import annotations

from dataclasses import dataclass

from heretic_tui import events as ev
from heretic_tui.report.lines import figures_sentence
from heretic_tui.run.attach.client import ControlNews
from heretic_tui.run.state import RunState
from heretic_tui.tui.messages import Severity


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


def announcement(event: ev.Event, state: RunState) -> Announcement | None:  # noqa: PLR0911 - one case an event
    """None for an event that the screens alone show.

    Args:
        state: with the event folded in.
    """
    match event:
        case ev.PhaseStarted() if event.phase == "ready" and state.finished and not event.again:
            return Announcement(f"{state.finished} trials done. Press 4 to chat, or e to export the selected trial.")
        case ev.Notice() if event.level == "error":
            return Announcement(event.text, "error")
        case ev.ShiftFound() if event.error:
            return Announcement(f"first tokens of trial {event.trial}: {event.error}", "error")
        case ev.TrialFinished() if event.state == "complete" and state.trials[event.number].by_hand:
            figures = figures_sentence(state.trials[event.number], state.figures[:2])
            return Announcement(f"trial {event.number}, chosen by hand, is measured: {figures}")
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
