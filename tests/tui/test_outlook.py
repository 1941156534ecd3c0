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
    assert edits(direction_method=["mean_difference", "geometric_median"]) == 2 * one
    assert edits(direction_method=["mean_difference", "clusters"], directions_per_layer=3) == 4 * one
    assert 2 * one < edits(direction_method=["mean_difference", "leace"]) < 3 * one, (
        "what leace reads along is kept too"
    )
    assert edits() == one


def test_prompts_to_keep_are_read_and_planned_for(tiny_folder: Path, sets: list[str], tmp_path: Path) -> None:
    keep = tmp_path / "keep.txt"
    keep.write_text("What is two and two?\nWhat is a prime number?\nHow do I sort a list?\n")
    names = (flag.removeprefix("--").replace("-", "_") for flag in sets[::2])
    given = dict(zip(names, sets[1::2], strict=True))

    def known(**more: object) -> outlook.Outlook:
        settings = load_settings({"model": str(tiny_folder), **given, **more}, environment=False)
        *_, last = survey(settings, Looker(), MachineLooker())
        return last

    plain, kept = known(), known(direction_method=["ridge_cleaned"], keep_prompts=[str(keep)])
    assert kept.load.training > plain.load.training, "they are read too"
    assert kept.disk is not None
    assert plain.disk is not None
    assert kept.disk.run > plain.disk.run, "and their residuals are kept"
    finding = kept.finding("keep_prompts")
    assert finding is not None
    assert (finding.state, finding.note) == ("good", "3")
    keep.unlink()
    gone = known(direction_method=["ridge_cleaned"], keep_prompts=[str(keep)])
    assert gone.to_fix == ["keep_prompts"]
