"""How the search of a run came to its front, in a few figures, for the record of an export and its model card."""

from __future__ import annotations

from heretic_tui.figures import in_tables
from heretic_tui.run.exports import SearchSummary
from heretic_tui.run.screened import reliability
from heretic_tui.run.state import RunState


def search_summary(state: RunState) -> SearchSummary | None:
    """None where no trial of the run was screened."""
    if not state.screens:
        return None
    found = reliability(state.trials.values(), in_tables(state.figures[:2])[0].key)
    return SearchSummary(
        screening=state.screening,
        trials=state.finished,
        decoded=state.decoded,
        estimated=found.trials if found else 0,
        off=round(found.mean, 3) if found else None,
        inside=round(found.inside, 3) if found else None,
    )
