"""A command line flag for each setting."""

from __future__ import annotations

import argparse
from collections.abc import Container
from itertools import groupby

from heretic_tui.settings.describe import every_setting
from heretic_tui.settings.older import FORMER_NAMES
from heretic_tui.settings.prompt_sets import DEFAULT_SETS

# How the name of a setting begins among the options of a command, so that it is none of the command's own.
_MARK = "set:"


def add_flags(parser: argparse.ArgumentParser, names: Container[str]) -> None:
    """Add a flag for each of the settings named, under the headings of their groups. A prompt set has a flag for its
    dataset and one for each further part."""
    wanted = [setting for setting in every_setting() if setting.name in names]
    # Settings of one group are next to each other in `Settings`.
    for title, settings in groupby(wanted, lambda setting: setting.group):
        group = parser.add_argument_group(title)
        for setting in settings:
            dest = _MARK + setting.key
            text = f"{setting.description}{setting.default}".replace("%", "%%")
            if setting.is_switch:
                switch = argparse.BooleanOptionalAction
                group.add_argument(setting.flag, dest=dest, default=argparse.SUPPRESS, help=text, action=switch)
            else:
                group.add_argument(
                    setting.flag,
                    dest=dest,
                    default=argparse.SUPPRESS,
                    help=text,
                    metavar=setting.metavar,
                    nargs="+" if setting.takes_several else None,
                )
    for former, (name, _) in FORMER_NAMES.items():
        if name in names:
            flag = "--" + former.replace("_", "-")
            parser.add_argument(flag, dest=_MARK + former, default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def flags_of(options: argparse.Namespace) -> dict[str, object]:
    """The settings that were given, by name, from what argparse made of `add_flags`; those of a prompt set as a
    dictionary of its parts."""
    given: dict[str, object] = {}
    sets: dict[str, dict[str, object]] = {}
    for option, value in vars(options).items():
        if option.startswith(_MARK):
            name, _, part = option.removeprefix(_MARK).partition(".")
            if name in DEFAULT_SETS:
                sets.setdefault(name, {})[part or "dataset"] = value
            else:
                given[name] = value
    return {**given, **sets}
