"""Copying out of a terminal that may be far away: OSC 52, tmux's buffer, and a file as the last resort."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from heretic_tui.files import short_path
from heretic_tui.run.folder import RunFolder


def further_ways(text: str, folder: RunFolder | None) -> list[str]:
    """Copy beside the terminal's own clipboard: into tmux's buffer, and into a file of the folder of the run, or of the
    review of two models. Returns the ways that worked, in words."""
    ways = ["tmux"] if _to_tmux(text) else []
    if path := _to_file(text, folder.path if folder else None):
        ways.append(short_path(path))
    return ways


def _to_tmux(text: str) -> bool:
    """Put text into tmux's buffer, and through it on to the terminal; false outside tmux. (tmux drops OSC 52 of
    programs by default.)"""
    if not os.environ.get("TMUX"):
        return False
    try:
        command = ["tmux", "load-buffer", "-w", "-"]
        return subprocess.run(command, input=text.encode(), timeout=2, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _to_file(text: str, folder: Path | None) -> Path | None:
    """Write `clipboard.txt` into the folder, where a terminal knows neither way."""
    if folder is None:
        return None
    path = folder / "clipboard.txt"
    try:
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
    except OSError:
        return None
    return path
