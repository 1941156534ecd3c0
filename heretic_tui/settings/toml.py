"""Settings written as commented TOML."""

from __future__ import annotations

from collections.abc import Mapping

from heretic_tui.settings.describe import Setting
from heretic_tui.settings.interface import Interface, Notify, interface_file
from heretic_tui.settings.prompt_sets import DEFAULT_SETS, PromptSet
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import ENV_PREFIX
from heretic_tui.words import without_passwords


def to_toml(settings: Settings) -> str:
    """The settings as commented TOML that `load_settings` reads back to the same settings, but for a password in the
    storage's URL."""
    lines = ["# Settings of heretic-tui. Flags and HERETIC_TUI_… variables go before this file."]
    group = ""
    for setting in map(Setting, Settings.model_fields):
        if setting.name in DEFAULT_SETS:
            continue
        if setting.group != group:
            group = setting.group
            lines += ["", f"# {group}"]
        lines += ["", f"# {setting.description}{setting.default}", _line(setting.name, getattr(settings, setting.name))]
    # Tables come last, as TOML wants it.
    for name in DEFAULT_SETS:
        lines += ["", f"# {Settings.model_fields[name].description}", f"[{name}]"]
        for part, field in PromptSet.model_fields.items():
            lines += [f"# {field.description}", _line(part, getattr(getattr(settings, name), part))]
    return "\n".join(lines) + "\n"


def interface_toml(interface: Interface, actions: Mapping[str, tuple[str, str]]) -> str:
    """The settings of the interface as commented TOML that `load_interface` reads back to the same.

    Args:
        actions: by the name of each action its keys and what it does, for the table of keys.
    """
    lines = [f"# Settings of the screens. They are read from {interface_file()}."]
    for name, field in Interface.model_fields.items():
        if name not in ("notify", "columns", "keys"):
            lines += ["", f"# {field.description}", f"{name} = {toml_value(getattr(interface, name))}"]
    lines += ["", f"# {Interface.model_fields['notify'].description}", "[notify]"]
    for name, field in Notify.model_fields.items():
        lines += [f"# {field.description}", f"{name} = {toml_value(getattr(interface.notify, name))}"]
    lines += ["", f"# {Interface.model_fields['columns'].description}", "[columns]"]
    lines += [f"{name} = {toml_value(columns)}" for name, columns in interface.columns.items()]
    lines += ["", f"# {Interface.model_fields['keys'].description}", "[keys]"]
    for name, (keys, words) in actions.items():
        changed = name in interface.keys
        line = f"{toml_value(name)} = {toml_value(interface.keys.get(name, keys))}"
        lines.append(f"{line if changed else f'# {line}'}  # {words}")
    return "\n".join(lines) + "\n"


def _line(name: str, value: object) -> str:
    if value is None:
        return f"# {name} ="
    if name == "storage" and isinstance(value, str) and (shown := without_passwords(value)) != value:
        return f"# not printed, for its password; give it in {ENV_PREFIX}STORAGE: {shown!r}"
    return f"{name} = {toml_value(value)}"


def toml_value(value: object) -> str:
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
