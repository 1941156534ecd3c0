"""Where exports are to lie: whether the folders can be made, how much room there is; where the Hub's token is."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from heretic_tui.files import nearest_there, short_path


@dataclass(frozen=True)
class Place:
    """What is known of the folders that are to be written.

    Attributes:
        free: bytes on the disk; None where that is not known.
        problem: why they cannot be written; empty where nothing is known against it.
    """

    folders: tuple[Path, ...]
    free: int | None = None
    problem: str = ""


def looked_at(folders: tuple[Path, ...], needed: int) -> Place:
    """Whether the folders can be made, and how much room there is where they will lie."""
    try:
        there = nearest_there(folders[0].absolute().parent)
        free = shutil.disk_usage(there).free
    except OSError as error:
        return Place(folders, problem=f"Nothing is known of that disk: {error.strerror or error}.")
    if taken := next((folder for folder in folders if os.path.lexists(folder)), None):
        return Place(folders, free, f"{short_path(taken)} exists: choose another folder.")
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Place(folders, free, f"Nothing can be written in {short_path(there)}.")
    if needed > free:
        return Place(folders, free, "There is not enough room on that disk.")
    return Place(folders, free)


def token_words() -> str:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    if os.environ.get("HF_TOKEN"):
        return "write token: HF_TOKEN is set"
    return (
        f"write token: from {short_path(home / 'token')}"
        if (home / "token").is_file()
        else "write token (or set HF_TOKEN)"
    )
