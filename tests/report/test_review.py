"""What reviews found, as tables."""

from __future__ import annotations

from pathlib import Path

from heretic_tui.report.review import review_lines
from heretic_tui.run.review_folder import ReviewFolder
from heretic_tui.run.review_records import Finding, ReviewFigure, Subject
from heretic_tui.run.reviews import read_review


def keep(folder: ReviewFolder, subject: Subject, basis: str, key: str, problem: str | None = None) -> None:
    figure = ReviewFigure(key=key, name=f"refused ({key})", short=key, value=3, form="count", of=9)
    folder.keep(
        Finding(
            check="second_opinion", title="Second opinion", subject=subject, of=f"{subject}", basis=basis,
            figures=[figure], notes=[f"asked: {key}"], problem=problem,
        )
    )  # fmt: skip


def test_what_was_found_otherwise_is_left_out_of_tables_and_told(tmp_path: Path) -> None:
    folder = ReviewFolder(tmp_path)
    keep(folder, None, "now", "new")
    keep(folder, 3, "before", "old")
    keep(folder, 7, "now", "new", problem="the endpoint is gone")
    text = "\n".join(review_lines(read_review(tmp_path, ["second_opinion"])))
    assert "refused (new)" in text
    assert "(old)" not in text
    assert "asked: new" in text
    assert "asked: old" not in text
    assert "left out: trial 3, found with other prompts or settings" in text
    assert "not all found of trial 7: the endpoint is gone" in text
