"""A command line flag for each setting."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from heretic_tui.settings.describe import default_words, every_setting, group_of, metavar, takes_words, words_of
from heretic_tui.settings.schema import DEFAULT_SETS, Settings


def add_flags(parser: Any, names: Container[str]) -> None:
    """A flag for each of the settings named, in their groups. (A set is taken both as a path and in parts.)"""
    import argparse

    groups: dict[str, Any] = {}
    for name, part, field in every_setting():
        if name not in names:
            continue
        title = group_of(Settings.model_fields[name])
        group = groups.setdefault(title, parser.add_argument_group(title))
        flag = "--" + (name if part is None else f"{name}.{part}").replace("_", "-")
        options: dict[str, Any] = {"dest": f"set:{name}" + (f":{part}" if part else ""), "default": argparse.SUPPRESS}
        text = f"{field.description}{words_of(field)}{default_words(name, part, field)}"
        options["help"] = text.replace("%", "%%")
        if field.annotation is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["metavar"] = metavar(name, part, field)
            if takes_words(field):
                options["nargs"] = "+"
        group.add_argument(flag, **options)


def flags_of(options: Any) -> dict[str, Any]:
    """The settings that were given, from what argparse made of `add_flags`."""
    flags: dict[str, Any] = {}
    for key, value in vars(options).items():
        if key.startswith("set:"):
            _, name, *part = key.split(":")
            if name in DEFAULT_SETS:
                flags.setdefault(name, {})[part[0] if part else "dataset"] = value
            else:
                flags[name] = value
    return flags
