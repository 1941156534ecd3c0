"""Opinions that are kept: read back, damaged, in a file that a crash left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from heretic_tui.engine.review.opinions.kept import FILE, keeper, kept_opinions
from heretic_tui.errors import HereticError, UsageError

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def test_what_is_kept_is_read_back_and_the_last_word_counts(tmp_path: Path) -> None:
    folder = tmp_path / "review" / "opinions"
    assert kept_opinions(folder) == {}
    with keeper(folder) as kept:
        kept.keep(A, "refused")
        kept.keep(B, "answered")
    with keeper(folder) as kept:
        kept.keep(A, "evaded")
    assert kept_opinions(folder) == {A: "evaded", B: "answered"}
    assert (folder / FILE).stat().st_mode & 0o077 == 0


def test_damaged_lines_cost_themselves_alone(tmp_path: Path) -> None:
    with keeper(tmp_path) as kept:
        kept.keep(A, "refused")
    lines = [
        b"\xff\xfe",
        b"[]",
        b'{"asked": "short", "opinion": "refused"}',
        b'{"asked": "%s", "opinion": "maybe"}' % C.encode(),
        b'{"asked": "%s", "opinion": "unknown"}' % C.encode(),
        b'{"asked": 7, "opinion": "refused"}',
        b"[" * 100_000,
        b"",
    ]
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes() + b"\n".join(lines) + b'\n{"asked": "%s", "opi' % B.encode())
    assert kept_opinions(tmp_path) == {A: "refused"}
    with keeper(tmp_path) as kept:
        kept.keep(B, "nonsense")
    assert kept_opinions(tmp_path) == {A: "refused", B: "nonsense"}


def test_what_is_no_file_is_told_in_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE)
    with pytest.raises(UsageError, match="no regular file"):
        kept_opinions(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(HereticError, match="cannot write"), keeper(tmp_path / "file" / "folder"):
        pass
