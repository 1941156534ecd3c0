"""What is known of settings before a run starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.machine import Looker as MachineLooker
from heretic_tui.settings.sources import load_settings
from heretic_tui.tui import outlook
from heretic_tui.tui.outlook import survey
from heretic_tui.tui.preview import Looker


def test_workers_without_ray_are_told_before_a_run_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "find_spec", lambda name: None)
    for workers, known in (("0", False), ("2", True)):
        settings = load_settings({"workers": workers}, environment=False)
        finding = next(survey(settings, Looker(), MachineLooker())).finding("workers")
        assert (finding is not None and "pip install 'heretic-tui[cluster]'" in finding.reason) == known


def test_what_edits_take_of_memory_follows_the_direction_methods_that_are_set(tiny_folder: Path) -> None:
    looker = Looker()

    def edits(**given: object) -> int:
        look = looker.model(load_settings({"model": str(tiny_folder), **given}, environment=False))
        assert look is not None
        assert look.needs is not None
        return look.needs.edits

    one = edits()
    assert edits(direction_method=["clusters"], directions_per_layer=3) == 3 * one
    assert edits(direction_method=["mean_difference", "leace"]) == 2 * one
    assert edits() == one
