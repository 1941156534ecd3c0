"""The file of a study on a full disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from heretic_tui.engine.search.storage import open_study
from tests.support.commands import mounted


def test_a_full_disk_leaves_no_piece_of_a_line_in_the_study(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=16k") as disk:
        study = open_study(disk / "study.journal", "name")

        def fill() -> None:
            for number in range(100):
                study.set_user_attr(f"attribute {number}", "x" * 500)

        with pytest.raises(OSError, match="No space left"):
            fill()
        data = (disk / "study.journal").read_bytes()
        assert data.endswith(b"\n")
        subprocess.run(["mount", "-o", "remount,size=64k", disk], check=True)
        known = len(open_study(disk / "study.journal", "name").user_attrs)
        assert known > 5
        study.set_user_attr("after", 1)
        assert len(open_study(disk / "study.journal", "name").user_attrs) == known + 1
