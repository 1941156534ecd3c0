"""What the user is told at once of an event, whatever screen is in view."""

from __future__ import annotations

from dataclasses import dataclass

from heretic_tui import events as ev
from heretic_tui.run.state import RunState
from heretic_tui.tui.messages import Severity


@dataclass(frozen=True)
class Announcement:
    """A few words.

    Attributes:
        bell: whether the terminal's bell is rung: a long piece of work is done.
    """

    text: str
    severity: Severity = "information"
    bell: bool = False


def announcement(event: ev.Event, state: RunState) -> Announcement | None:
    """None for an event that the screens alone show.

    Args:
        state: with the event folded in.
    """
    match event:
        case ev.PhaseStarted() if event.phase == "ready" and state.finished:
            return Announcement(f"{state.finished} trials are done: 4 to chat, e on a trial to export it", bell=True)
        case ev.Notice() if event.level == "error":
            return Announcement(event.text, "error")
        case ev.ShiftFound() if event.error:
            return Announcement(f"first tokens of trial {event.trial}: {event.error}", "error")
        case ev.ExportFinished() if event.error:
            return Announcement(f"export of trial {event.trial}: {event.error}", "error", bell=True)
        case ev.ExportFinished():
            return Announcement(f"trial {event.trial} is exported to {event.url or event.out}", bell=True)
    return None
