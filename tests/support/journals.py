"""A short story of a run as events, and a journal with them."""

from __future__ import annotations

import json
from pathlib import Path

from heretic_tui import events as ev
from heretic_tui.event_records import read_event
from heretic_tui.run.journal import Journal


def trial(number: int, kl: float, refusals: int) -> list[ev.Event]:
    return [
        ev.TrialStarted(number=number, parameters=None),
        ev.TrialFinished(
            number=number,
            state="complete",
            figures={"kl_divergence": kl, "refusals": refusals},
            prompts=100,
            seconds=1.0,
        ),
    ]


def opened(n_trials: int = 5, resumed: bool = False) -> ev.RunOpened:
    return ev.RunOpened(
        run="r", folder="/r", model="m", settings={}, seed=1, n_trials=n_trials, resumed=resumed, pid=1, version="0"
    )


def write(path: Path, events: list[ev.Event]) -> None:
    journal = Journal(path)
    for event in events:
        journal.append(event)
    journal.close()


def read_back(event: ev.Event) -> ev.Event:
    """The event as a journal gives it back."""
    found = read_event(json.loads(json.dumps(event.to_json())))
    assert found is not None
    return found


EVENTS: list[ev.Event] = [
    opened(),
    ev.Notice(text="größer\n[/red] \u2028 \x1b[31m"),
    ev.PhaseStarted(phase="search"),
    *trial(0, 0.5, 10),
    *trial(1, 0.25, 20),
    ev.TrialStarted(number=2, parameters=None),
]
