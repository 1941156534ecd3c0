"""What Setup says of a search space, and of trials that are to be measured first."""

from __future__ import annotations

from pathlib import Path

from heretic_tui.settings.sources import load_settings
from heretic_tui.tui.preview import search_problems


def test_each_setting_has_its_own_problem(tmp_path: Path) -> None:
    given = {"runs_dir": str(tmp_path), "search_space": "wied", "seed_trials": [str(tmp_path / "nix.md")]}
    given["on_top_of"] = "nix:1"
    found = search_problems(load_settings(given, environment=False))
    assert "did you mean 'wide'" in found["search_space"]
    assert "no such file" in found["seed_trials"]
    assert "no run nix in " in found["on_top_of"]
    fine = {**given, "search_space": "wide", "seed_trials": ["built-in"], "on_top_of": None}
    assert search_problems(load_settings(fine, environment=False)) == {}
