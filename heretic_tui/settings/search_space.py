"""The search space that the settings say, which may stand in a file: read, checked, and put into the settings."""

from __future__ import annotations

from heretic_tui.bounds import DEFAULT_SPACE, SPACES, bounds_of, changed_bounds, checked_bounds
from heretic_tui.errors import UsageError
from heretic_tui.files import user_path
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import read_toml
from heretic_tui.words import nearest, quoted


def with_bounds(settings: Settings) -> Settings:
    """The same settings, that name a space without a file: `search_space` has a name, and `search_bounds` are those
    that differ from it. So a run needs the file no more, and is the same run with the same bounds.

    Raises:
        UsageError: where there is no such space and no such file, or the file cannot be.
    """
    name, changes = settings.search_space, settings.search_bounds
    if name not in SPACES:
        name, in_file = _read(name)
        changes = {**in_file, **changes}
    now = {"search_space": name, "search_bounds": changed_bounds(name, bounds_of(name, changes))}
    if now == {"search_space": settings.search_space, "search_bounds": settings.search_bounds}:
        return settings
    return settings.model_copy(update=now)


def _read(text: str) -> tuple[str, dict[str, tuple[float, float]]]:
    """The name that a file gives as its `base`, and its bounds."""
    path = user_path(text)
    if not path.is_file():
        known = f"{', '.join(SPACES)}, or a TOML file"
        raise UsageError(f"search_space: expected {known}, not {quoted(text)}{nearest(text, SPACES)}")
    content = read_toml(path)
    base = content.pop("base", DEFAULT_SPACE)
    if not isinstance(base, str) or base not in SPACES:
        hint = nearest(base, SPACES) if isinstance(base, str) else ""
        raise UsageError(f"{path}: base is one of {', '.join(SPACES)}, not {quoted(base)}{hint}")
    return base, checked_bounds(content, str(path))
