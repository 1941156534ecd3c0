"""Settings written as commented TOML."""

from __future__ import annotations

from typing import Any

from heretic_tui.settings.describe import default_words, group_of, words_of
from heretic_tui.settings.schema import DEFAULT_SETS, PromptSet, Settings
from heretic_tui.settings.sources import ENV_PREFIX
from heretic_tui.words import without_passwords

# TOML


def to_toml(settings: Settings) -> str:
    """The settings as commented TOML that `load` reads back to the same settings."""
    lines = ["# Settings of heretic-tui. Flags and HERETIC_TUI_… variables go before this file."]
    group = ""
    for name, field in Settings.model_fields.items():
        if name in DEFAULT_SETS:
            continue
        if group_of(field) != group:
            group = group_of(field)
            lines += ["", f"# {group}"]
        lines += ["", f"# {field.description}{words_of(field)}{default_words(name, None, field)}"]
        value = getattr(settings, name)
        if isinstance(value, str) and name == "storage" and without_passwords(value) != value:
            lines.append(
                f"# not printed, for its password; give it in {ENV_PREFIX}STORAGE: {without_passwords(value)!r}"
            )
        else:
            lines.append(_assignment(name, value))
    # Tables come last, as TOML wants it.
    for name in DEFAULT_SETS:
        lines += ["", f"# {Settings.model_fields[name].description}", f"[{name}]"]
        for part, field in PromptSet.model_fields.items():
            lines += [f"# {field.description}", _assignment(part, getattr(getattr(settings, name), part))]
    return "\n".join(lines) + "\n"


def _assignment(name: str, value: Any) -> str:
    return f"# {name} =" if value is None else f"{name} = {toml_value(value)}"


def toml_value(value: Any) -> str:
    """A value as TOML writes it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return '"' + "".join(_escaped(character) for character in value) + '"'
        case list() | tuple():
            return "[" + ", ".join(toml_value(item) for item in value) + "]"
        case dict():
            return "{ " + ", ".join(f"{toml_value(key)} = {toml_value(item)}" for key, item in value.items()) + " }"
    raise TypeError(f"no TOML for {type(value).__name__}")


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if character.isprintable() else f"\\U{ord(character):08X}"
