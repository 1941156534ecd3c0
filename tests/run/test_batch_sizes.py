"""Batch sizes that are remembered for a model and a machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heretic_tui.run.batch_sizes import FoundBatchSize, recall_batch_size, remember_batch_size

ABOUT = {"model": "5f3a", "dtype": "torch.float32", "device": "cpu", "largest": 128}
FOUND = FoundBatchSize(64, {"1": 0.01, "64": 0.05})


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "heretic-tui" / "batch-sizes.json"


def test_what_was_found_is_recalled_for_the_same_and_for_nothing_else(file: Path) -> None:
    assert recall_batch_size(ABOUT) is None
    remember_batch_size(ABOUT, FOUND)
    assert recall_batch_size(dict(reversed(ABOUT.items()))) == FOUND
    assert FOUND.seconds == {1: 0.01, 64: 0.05}
    for name in ABOUT:
        assert recall_batch_size({**ABOUT, name: "another"}) is None
    remember_batch_size(ABOUT, FoundBatchSize(32, {"32": 0.02}))
    assert recall_batch_size(ABOUT) == FoundBatchSize(32, {"32": 0.02})


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"a": 1}', "\x00" * 50])
def test_a_damaged_file_is_ignored_and_written_anew(file: Path, content: str) -> None:
    remember_batch_size(ABOUT, FOUND)
    file.write_text(content)
    assert recall_batch_size(ABOUT) is None
    remember_batch_size(ABOUT, FOUND)
    assert recall_batch_size(ABOUT) == FOUND


@pytest.mark.parametrize(
    "fact",
    [
        None, 64, [], {"batch_size": 0, "step_seconds": {"1": 0.1}}, {"batch_size": 64, "step_seconds": {}},
        {"batch_size": 64, "step_seconds": {"many": 0.1}}, {"batch_size": 64, "step_seconds": {"1": -1.0}},
        {"batch_size": "64", "step_seconds": {"1": 0.1}}, {"batch_size": 64, "step_seconds": {"1": 1e999}},
    ],
)  # fmt: skip
def test_what_cannot_be_is_not_believed(file: Path, fact: object) -> None:
    remember_batch_size(ABOUT, FOUND)
    known = json.loads(file.read_text())
    file.write_text(json.dumps(dict.fromkeys(known, fact)))
    assert recall_batch_size(ABOUT) is None


def test_a_file_that_cannot_be_written_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "heretic-tui").write_text("a file in place of the folder")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    remember_batch_size(ABOUT, FOUND)
    assert recall_batch_size(ABOUT) is None
