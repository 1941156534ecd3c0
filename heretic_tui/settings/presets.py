"""Presets: how much of a search one wants, as values of the few settings that decide it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from heretic_tui.settings.schema import Settings


@dataclass(frozen=True)
class Preset:
    """A choice with a name.

    Attributes:
        words: what it is for.
        values: of the settings that it sets, by name; the same settings in every preset.
    """

    name: str
    words: str
    values: Mapping[str, int]


# A third of the trials at random is enough where they are few; TPE learns nothing more from many hundreds of them. Each
# prompt that layers are tried on costs a pass a layer, and narrows the intervals of its figures.
PRESETS = (
    Preset("quick", "a first look", {"n_trials": 60, "n_startup_trials": 20, "layer_test_prompts": 16}),
    Preset("standard", "the defaults", {"n_trials": 200, "n_startup_trials": 60, "layer_test_prompts": 16}),
    Preset("thorough", "for a model to publish", {"n_trials": 500, "n_startup_trials": 100, "layer_test_prompts": 32}),
)


def preset_of(settings: Settings) -> Preset | None:
    """The preset whose values these settings have; None where there is none."""
    return next((each for each in PRESETS if not changes(each, settings)), None)


def changes(preset: Preset, settings: Settings) -> dict[str, tuple[int, int]]:
    """What a preset would change, by the setting's name: (value now, value then)."""
    now = {name: getattr(settings, name) for name in preset.values}
    return {name: (now[name], then) for name, then in preset.values.items() if now[name] != then}
