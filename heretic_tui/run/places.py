"""Where on this machine the models and prompts of exports lie: what is passed on knows them by name and content."""

from __future__ import annotations

from collections.abc import Mapping

from heretic_tui.run.known_facts import KnownFacts

_PLACES = KnownFacts("places.json", 500)


def remember(identity: Mapping[str, object], places: dict[str, str]) -> None:
    """Note where the model and the sets of a run lie, in a file of the user's. That it cannot be written costs
    nothing but a flag at `reproduce`."""
    _PLACES.remember(identity, places)


def recall(identity: dict[str, object]) -> dict[str, str]:
    """What was noted for a run: absolute paths by setting name; empty where nothing was."""
    found = _PLACES.recall(identity)
    if not isinstance(found, dict):
        return {}
    return {name: place for name, place in found.items() if isinstance(place, str)}
