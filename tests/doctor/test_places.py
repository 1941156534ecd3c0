"""The folders that runs write to."""

from __future__ import annotations

from pathlib import Path

import pytest

from heretic_tui.doctor.places import look_at_cache, look_at_runs, look_at_temporary
from tests.support.commands import mounted


def test_a_folder_that_is_not_there_yet_and_nothing_is_left(tmp_path: Path) -> None:
    (found,) = look_at_runs(str(tmp_path / "runs"))
    assert found.state == "ok"
    assert found.said.endswith(" free")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    with mounted(tmp_path / "fixed", "size=1m,ro") as folder:
        (found,) = look_at_runs(str(folder / "runs"))
    assert (found.state, found.todo) == ("fix", "choose another place: --runs-dir")
    assert "cannot be written to" in found.said


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mounted(tmp_path / "small", "size=1m") as folder:
        (found,) = look_at_runs(str(folder))
        assert found.state == "fix"
        monkeypatch.setenv("HF_HUB_CACHE", str(folder))
        (cache,) = look_at_cache()
        assert "0 models in it" in cache.said


def test_temporary_files() -> None:
    (found,) = look_at_temporary()
    assert found.name == "temporary"
