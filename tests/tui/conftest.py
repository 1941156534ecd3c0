"""A run folder with responses, for tests of screens."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import fake_run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    fake_run.write_responses(path, None, 91)
    for number in range(30):
        fake_run.write_responses(path, number, 5)
    return path
