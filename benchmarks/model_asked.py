"""Which model a benchmark works on: the demo, or one that is named on its command line, with any setting."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from heretic_tui.demo.settings import settings_of_the_demo
from heretic_tui.settings.flags import add_flags, flags_of
from heretic_tui.settings.schema import Settings
from heretic_tui.settings.sources import load_settings


def add_model(parser: argparse.ArgumentParser) -> None:
    """Let it be named, and each setting be given."""
    parser.add_argument("given_model", nargs="?", metavar="MODEL", help="folder or Hub id; default: the demo model")
    add_flags(parser, Settings.model_fields)


def settings_asked(
    options: argparse.Namespace,
    usual: Mapping[str, object] | None = None,
    fixed: Mapping[str, object] | None = None,
) -> Settings:
    """The settings that a command line asks for.

    Args:
        usual: what holds where it says nothing.
        fixed: what holds whatever it says.
    """
    model, base = ({"model": options.given_model}, None) if options.given_model else ({}, settings_of_the_demo())
    return load_settings({**(usual or {}), **flags_of(options), **model, **(fixed or {})}, base=base)
