"""`plan`: what a run would take, without a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.support.commands import Ended

Heretic = Callable[..., Ended]


def test_a_model_on_this_disk(heretic: Heretic, tmp_path: Path, tiny_folder: Path, sets: list[str]) -> None:
    told = json.loads(heretic("plan", tiny_folder, *sets, "--json").out)
    assert told["memory"]["fits"] is True
    parts = ("weights", "edits", "cache", "kept")
    assert told["memory"]["whole"] == sum(told["memory"][part] for part in parts)
    assert told["memory"]["rows"] == 4, "the batch size that was asked for"
    assert told["gpus"]["in_16_bits"] == told["gpus"]["in_4_bits"] == 1
    assert told["disk"]["run"] > 0
    assert told["time"] is None
    assert told["to_fix"] == []
    lines = heretic("plan", tiny_folder, *sets).out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")][:3] == ["model", "edits", "memory"]
    assert "time     not known before the first trial" in lines
    assert not (tmp_path / "runs").exists()


def test_what_no_run_can_start_with_is_wrong_input(heretic: Heretic, tiny_folder: Path, sets: list[str]) -> None:
    done = heretic("plan", tiny_folder, *sets, "--bad-prompts", "./nowhere.txt")
    assert done.status == 2
    assert "1 thing to fix before starting: harmful prompts (train) (" in done.err
    assert done.out.startswith("model ")
    assert heretic("plan", "./nowhere").status == 2
