"""What the name of a model refers to on this machine: a folder, or a model in the cache of the Hub."""

from __future__ import annotations

import os
from pathlib import Path

from heretic_tui.errors import UsageError
from heretic_tui.files import user_path


def hub_cache() -> Path:
    """Where huggingface_hub keeps what was downloaded."""
    home = os.environ.get("HF_HOME") or str(
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    )
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def cached_models() -> list[str]:
    """Hub ids of the models in the local cache."""
    try:
        found = [path.name for path in hub_cache().glob("models--*")]
    except OSError:
        return []
    return sorted(name.removeprefix("models--").replace("--", "/", 1) for name in found)


def folder_of(model: str, commit: str | None = None) -> Path | None:
    """A model's folder on this disk: as named, or a snapshot in the cache; None where there is neither.

    Args:
        commit: a commit, branch or tag; None: the newest snapshot.
    """
    try:
        path = user_path(model)
    except UsageError:
        return None
    if model and os.path.isdir(path):
        return path
    cached = hub_cache() / f"models--{model.replace('/', '--')}"
    snapshots = cached / "snapshots"
    try:
        if commit:
            named = cached / "refs" / commit
            found = snapshots / (named.read_text().strip() if named.is_file() else commit)
            return found if found.is_dir() else None
        return max(snapshots.iterdir(), key=lambda p: p.stat().st_mtime, default=None)
    except (OSError, ValueError):
        return None
