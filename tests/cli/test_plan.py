"""`plan`: what a run would take, without a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import Ended

Heretic = Callable[..., Ended]


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a probe finds is kept for later plans."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


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
    assert "time     not known before the first trial; heretic-tui plan --probe measures it in some 20 s" in lines
    assert not (tmp_path / "runs").exists()


def test_how_long_it_takes_by_a_probe(heretic: Heretic, tiny_folder: Path, sets: list[str]) -> None:
    done = heretic("plan", tiny_folder, *sets, "--probe")
    said = next(line for line in done.out.splitlines() if line.startswith("time "))
    assert said.startswith("time     at most ")
    assert "first trial after" in said
    assert "(by a probe of " in done.out
    assert " in float32 on cpu, all 4 layers;" in done.out
    told = json.loads(heretic("plan", tiny_folder, *sets, "--json").out)
    assert told["time"]["at_most"] is True, "it is remembered"
    assert told["time"]["trial"] * 200 == told["time"]["search"]
    assert told["probe"]["layers"] == 4
    assert told["unread_prompts"] == []


def test_a_probe_that_cannot_be_costs_no_plan(
    heretic: Heretic, tiny_folder: Path, sets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heretic_tui.engine.session.speed_probe.memory_share", lambda device, share: 100)
    done = heretic("plan", tiny_folder, *sets, "--probe")
    assert done.status == 0
    assert "not probed: a stand-in for the model takes" in done.err
    assert "time     not known before the first trial" in done.out


def test_sets_that_nobody_read_are_reckoned_with_usual_prompts(heretic: Heretic, tiny_folder: Path) -> None:
    told = json.loads(heretic("plan", tiny_folder, "--json").out)
    assert len(told["unread_prompts"]) == 4
    assert told["memory"]["kept"] > 0
    assert told["disk"]["run"] > 0
    assert "(prompts that were not read are reckoned with 64 tokens each)" in heretic("plan", tiny_folder).out


def test_what_no_run_can_start_with_is_wrong_input(heretic: Heretic, tiny_folder: Path, sets: list[str]) -> None:
    done = heretic("plan", tiny_folder, *sets, "--bad-prompts", "./nowhere.txt")
    assert done.status == 2
    assert "1 thing to fix before starting: harmful prompts (train) (" in done.err
    assert done.out.startswith("model ")
    assert heretic("plan", "./nowhere").status == 2
