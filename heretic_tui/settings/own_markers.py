"""Whether the markers of the settings can tell the behaviour that they name."""

from __future__ import annotations

from heretic_tui.behaviour import behaviour_of
from heretic_tui.settings.markers import REFUSAL_MARKERS
from heretic_tui.settings.schema import Settings

_BUILT_IN_JUDGE = "markers"


def markers_problem(settings: Settings) -> str | None:
    """Why they cannot: the built-in markers are those of refusals; None where they can."""
    behaviour = behaviour_of({"behaviour": settings.behaviour})
    if behaviour.is_refusals or settings.judge != _BUILT_IN_JUDGE:
        return None
    of = f"of refusals, and the behaviour is {behaviour.name}"
    if settings.refusal_languages:
        return f"refusal_languages: these are markers {of}: leave them out"
    if settings.refusal_markers == list(REFUSAL_MARKERS):
        return f"refusal_markers: these are markers {of}: name its own"
    return None
