"""The commands that open the screen: open, follow, attach."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from heretic_tui.cli.command import EVERY_SETTING, RUNS_DIR, Subcommand
from heretic_tui.cli.rounds import add_earlier, settings_of_earlier
from heretic_tui.cli.shared import add_model, find_run_of, given_settings, runs_dir
from heretic_tui.errors import UsageError
from heretic_tui.terminal import Streams

if TYPE_CHECKING:
    from heretic_tui.settings.interface import Interface


def _add_open(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_earlier(parser)
    add_looks(parser)


def _open(options: argparse.Namespace, streams: Streams) -> int:
    check_terminal("`heretic-tui run MODEL` prints lines")
    return open_setup(options, streams, settings_of_earlier(options))


def _add_follow(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", help="name of a run, or its beginning [the latest]")
    add_looks(parser)


def _add_attach(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", nargs="?", help="name of a run, or its beginning [the one that runs]")
    add_looks(parser)


def _follow(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.run.folder import latest_run
    from heretic_tui.tui.other_process import FollowHost

    check_terminal("`heretic-tui show RUN` prints a run")
    host = FollowHost(find_run_of(options, options.run) if options.run else latest_run(runs_dir(options)))
    from heretic_tui.tui.launch import open_screen

    return open_screen(streams, None, host, interface=given_interface(options))


def _attach(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.run.folder import running_run
    from heretic_tui.tui.other_process import AttachHost

    check_terminal("`heretic-tui show RUN` prints a run")
    host = AttachHost(find_run_of(options, options.run) if options.run else running_run(runs_dir(options)))
    from heretic_tui.tui.launch import open_screen

    return open_screen(streams, None, host, interface=given_interface(options))


OPEN = Subcommand(
    name="open",
    usage="[MODEL]",
    summary="open the screen (the default, with or without a MODEL)",
    settings=EVERY_SETTING,
    add_arguments=_add_open,
    run=_open,
)
FOLLOW = Subcommand(
    name="follow",
    summary="watch a run of another terminal, live or long finished (attach controls it)",
    settings=RUNS_DIR,
    add_arguments=_add_follow,
    run=_follow,
)
ATTACH = Subcommand(
    name="attach",
    usage="[RUN]",
    summary="control from here a run that was started elsewhere, or that goes on without its screen",
    settings=RUNS_DIR,
    add_arguments=_add_attach,
    run=_attach,
)


def add_looks(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that opens the screen."""
    parser.add_argument("--theme", metavar="NAME", help="such as heretic-dark, heretic-light, heretic-ansi")
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")


def given_interface(options: argparse.Namespace) -> Interface:
    """The settings of the interface, with the flags on top.

    Raises:
        UsageError: when their file is wrong.
    """
    from heretic_tui.settings.interface import load_interface

    given: dict[str, object] = {"theme": options.theme} if options.theme else {}
    given |= {"ascii": True} if options.ascii else {}
    given |= {"mouse": False} if options.no_mouse else {}
    return load_interface().model_copy(update=given)


def open_setup(
    options: argparse.Namespace, streams: Streams, base: Mapping[str, object] | None = None, start: bool = False
) -> int:
    """Open the screen on the settings that were given.

    Args:
        base: defaults in place of the built-in ones.
        start: start their run at once.
    """
    from heretic_tui.settings.form import SettingsForm
    from heretic_tui.tui.launch import open_screen

    given = given_settings(options)
    form = SettingsForm(given, options.config, base)
    # Who says nothing of a run wants to see those there are.
    opens = "setup" if base or set(given) - {"runs_dir"} else "home"
    return open_screen(streams, form, start=start, opens=opens, interface=given_interface(options))


def has_terminal() -> bool:
    """Whether there is a terminal that can be drawn on and typed at."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def check_terminal(instead: str) -> None:
    """
    Args:
        instead: what can be done without a terminal.

    Raises:
        UsageError: where there is none.
    """
    if not has_terminal():
        lacking = [name for name in ("stdin", "stdout") if not getattr(sys, name).isatty()]
        why = f"{' and '.join(lacking)} lead elsewhere" if lacking else "TERM names none that can be drawn on"
        raise UsageError(f"the screen needs a terminal on standard input and output ({why}); {instead}")
