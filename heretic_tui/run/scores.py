"""What a subject of a review reached in a benchmark, kept as soon as it is there: a review that was ended goes on with
the next task."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from heretic_tui.errors import HereticError
from heretic_tui.files import make_folder, read_json, write_json
from heretic_tui.records import Misfit, as_json, read
from heretic_tui.run.review_records import ReviewFigure


@dataclass(frozen=True, kw_only=True)
class TaskScore:
    """
    Attributes:
        of: digest of the task, the subject and all that the figures rest on.
        task: as the user named it.
        items: how many were asked.
        figures: the one that is shown for the task first, where it has one of its own; then those of its parts.
        notes: what the user should know of it, a sentence each.
    """

    of: str
    task: str
    items: int
    figures: list[ReviewFigure]
    notes: list[str] = field(default_factory=list)


def keep_score(folder: Path, score: TaskScore) -> None:
    """
    Raises:
        HereticError: when it cannot be written.
    """
    make_folder(folder)
    write_json(_path(folder, score.of), as_json(score))


def kept_score(folder: Path, of: str) -> TaskScore | None:
    """None where there is none, or it is damaged: it is made again."""
    try:
        score = read(TaskScore, read_json(_path(folder, of)))
    except (FileNotFoundError, HereticError, Misfit):
        return None
    return score if score.of == of else None


def _path(folder: Path, of: str) -> Path:
    return folder / f"{of[:32]}.json"
