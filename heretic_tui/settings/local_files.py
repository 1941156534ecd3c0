"""What of the settings names a folder or a file of this machine: whether it is there, and its whole path."""

from __future__ import annotations

import os

from heretic_tui.errors import UsageError
from heretic_tui.files import user_path
from heretic_tui.settings.prompt_sets import DEFAULT_SETS, PROMPT_FILES
from heretic_tui.settings.schema import Settings


def check_local_files(settings: Settings) -> None:
    """Check that the model and the prompts that are named by a path are there. (What is in them, and what the Hub has,
    is found out when the run starts.)

    Raises:
        UsageError: when no model is named, or what a path names is not there.
    """
    if not settings.model:
        raise UsageError("no model given: name a folder or a Hub id")
    if not os.path.isdir(user_path(settings.model)) and _is_path(settings.model):
        raise UsageError(f"no such model folder: {settings.model}")
    for name in DEFAULT_SETS:
        dataset = getattr(settings, name).dataset
        path = user_path(dataset)
        if dataset and not os.path.exists(path) and (_is_path(dataset) or path.suffix.lower() in PROMPT_FILES):
            raise UsageError(f"{name}: {dataset}: no such file or folder")


def _is_path(name: str) -> bool:
    """Whether a name cannot be that of a model or data set on the Hub."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1


def with_whole_paths(settings: Settings) -> Settings:
    """The same settings for a process in another folder: what of them names a file or folder that is there does so by
    its whole path."""
    changes: dict[str, object] = {"model": _whole(settings.model)}
    for name in DEFAULT_SETS:
        prompts = getattr(settings, name)
        changes[name] = prompts.model_copy(update={"dataset": _whole(prompts.dataset)})
    return settings.model_copy(update=changes)


def _whole(name: str) -> str:
    return str(user_path(name).absolute()) if name and os.path.exists(user_path(name)) else name
