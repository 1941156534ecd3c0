"""What probes found is known again, for the same configuration on the same machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heretic_tui.files import state_folder
from heretic_tui.run.speeds import Speed, recall_speed, remember_speed, speed_about

SPEED = Speed(100.0, {"1": 0.1, "8": 0.2}, None, layers=4, own=2, seconds=3.0, device="cpu", dtype="float32")


@pytest.fixture
def about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "config.json").write_text("{}")
    found = speed_about(tmp_path, "auto", [])
    assert found
    return found


def test_what_was_found_is_known(tmp_path: Path, about: dict[str, object]) -> None:
    assert recall_speed(about) is None
    remember_speed(about, SPEED)
    assert recall_speed(about) == SPEED
    assert SPEED.steps == {1: 0.1, 8: 0.2}
    assert speed_about(tmp_path, "float16", []) != about
    assert speed_about(tmp_path, "auto", ["A GPU"]) != about
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    assert speed_about(tmp_path, "auto", []) != about
    assert speed_about(tmp_path / "nowhere", "auto", []) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"reading": 0.0},
        {"reading": float("nan")},
        {"loading": -1.0},
        {"step_seconds": {}},
        {"step_seconds": {"0": 1.0}},
        {"step_seconds": {"x": 1.0}},
        {"step_seconds": {"1": -1.0}},
    ],
)
def test_what_cannot_be_is_not_believed(about: dict[str, object], wrong: dict[str, object]) -> None:
    remember_speed(about, replace(SPEED, **wrong))  # type: ignore[arg-type]
    assert recall_speed(about) is None


def test_a_damaged_file_is_none(about: dict[str, object]) -> None:
    remember_speed(about, SPEED)
    (state_folder() / "speeds.json").write_text(json.dumps({"x": 1}))
    assert recall_speed(about) is None
