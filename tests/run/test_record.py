"""run.json: written and read back, with what newer versions wrote, and read once while the folder is held."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from heretic_tui.errors import UsageError
from heretic_tui.run.folder import RunFolder
from heretic_tui.run.record import RunRecord, needed, read_record, write_record

FULL = RunRecord(
    run="a-run",
    model="acme/model",
    settings={"n_trials": 3},
    identity={"model": "x"},
    seed=0,
    versions={"torch": "2"},
    created=1.5,
    clock="2001-02-03T04:05:06",
    batch_size=8,
    step_seconds={"8": 0.5},
    response_prefix="",
    loaded_as="auto",
    trials_at_once=3,
    checksums={"directions.safetensors": "00"},
)


def test_a_record_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    assert read_record(path) == RunRecord()
    for record in (FULL, RunRecord(settings={}), RunRecord(seed=0, response_prefix="")):
        write_record(path, record)
        assert read_record(path) == record
    write_record(path, RunRecord())
    assert json.loads(path.read_text(encoding="utf-8")) == {}


def test_what_a_newer_version_wrote_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text('{"seed": 1, "colour": ["blue"]}', encoding="utf-8")
    write_record(path, replace(read_record(path), batch_size=4))
    assert json.loads(path.read_text(encoding="utf-8")) == {"seed": 1, "batch_size": 4, "colour": ["blue"]}


def test_what_is_needed_is_named_where_it_is_missing(tmp_path: Path) -> None:
    assert needed(0, "seed", tmp_path / "run.json") == 0
    with pytest.raises(UsageError, match=r"run\.json lacks 'seed': put back a copy"):
        needed(RunRecord().seed, "seed", tmp_path / "run.json")


def test_it_is_read_once_while_the_folder_is_held(tmp_path: Path) -> None:
    folder, other = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    folder.create()
    folder.save_record(RunRecord(seed=1))
    folder.lock()
    try:
        assert folder.read_record() is folder.read_record()
        folder.save_record(replace(folder.read_record(), seed=2))
        assert folder.read_record().seed == other.read_record().seed == 2
    finally:
        folder.unlock()
    other.save_record(RunRecord(seed=3))
    assert folder.read_record().seed == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not valid JSON"),
        ("[]", "holds no record of a run"),
        ('{"seed": "7"}', "'seed' cannot be '7'"),
        ('{"settings": []}', "'settings' cannot be"),
        ('{"batch_size": 1.5}', "'batch_size' cannot be 1.5"),
        ('{"step_seconds": {"8": "x"}}', "'step_seconds.8' cannot be"),
        ('{"response_prefix": null}', "'response_prefix' cannot be None"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"model": "m"}', "lacks 'settings'"),
    ],
)
def test_a_damaged_record_is_told_with_what_helps(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=rf"run\.json.*{said}.*: put back a copy"):
        needed(read_record(path).settings, "settings", path)
