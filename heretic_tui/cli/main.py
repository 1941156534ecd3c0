"""One command line: finds the command and runs it. Every failure becomes one line and an exit status."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from typing import NoReturn

from heretic_tui import __version__
from heretic_tui.cli.command import Subcommand
from heretic_tui.cli.doctor import DOCTOR
from heretic_tui.cli.export import EXPORT, REPRODUCE
from heretic_tui.cli.layers import COMPARE, GEOMETRY, PLOT, TOKENS
from heretic_tui.cli.model import INSPECT, PLAN, SCORE
from heretic_tui.cli.note import NOTE
from heretic_tui.cli.queue import QUEUE
from heretic_tui.cli.review import REVIEW
from heretic_tui.cli.run import DEMO, RUN
from heretic_tui.cli.runs import CONFIG, RUNS, SHOW
from heretic_tui.cli.screen import ATTACH, FOLLOW, OPEN
from heretic_tui.errors import DONE, FAILED, INTERRUPTED, HereticError, UsageError, one_line
from heretic_tui.files import user_path
from heretic_tui.signals import leaving_at_once
from heretic_tui.terminal import Streams, keep_failure
from heretic_tui.words import nearest, quoted

# In the order of `--help`.
_COMMANDS = {
    command.name: command
    for command in (
        OPEN,
        FOLLOW,
        ATTACH,
        DEMO,
        RUN,
        QUEUE,
        RUNS,
        SHOW,
        NOTE,
        INSPECT,
        PLAN,
        SCORE,
        REVIEW,
        EXPORT,
        GEOMETRY,
        TOKENS,
        PLOT,
        COMPARE,
        REPRODUCE,
        CONFIG,
        DOCTOR,
    )
}

_EPILOG = """
exit status: 0 done, 1 failed, 2 wrong input, 130 interrupted.
`heretic-tui COMMAND --help` lists the options of a command; `heretic-tui config` prints all settings.
"""


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit status."""
    streams = Streams()
    with leaving_at_once(streams):
        status = _status_of(arguments, streams)
    return status or (FAILED if streams.failed else DONE)


def _status_of(arguments: Sequence[str], streams: Streams) -> int:
    # Names of settings have underscores, flags have hyphens: both spellings are meant.
    arguments = [_with_hyphens(argument) for argument in arguments]
    try:
        _check_the_working_folder()
        if _means_open(arguments):
            arguments = [OPEN.name, *arguments]
        options = parser_for(arguments, streams).parse_args(arguments)
        command = _COMMANDS[options.command]
        if streams.out.closed and command.only_prints:
            raise UsageError("standard output is closed: there is nowhere to print to")
        if streams.out.closed and command not in (OPEN, FOLLOW, ATTACH):
            _say(streams, "standard output is closed: what would be printed there is left out")
        return command.run(options, streams)
    except HereticError as error:
        _say(streams, one_line(error))
        return error.exit_status
    except KeyboardInterrupt:
        _say(streams, "interrupted")
        return INTERRUPTED
    except SystemExit as done:
        # argparse has printed its help.
        return int(done.code or DONE)
    except Exception as error:  # noqa: BLE001 - its traceback is kept
        path = keep_failure(error)
        _say(streams, f"{one_line(error)} (an error of the program itself; details: {path})")
        return FAILED


def _say(streams: Streams, text: str) -> None:
    streams.err.write_lines(f"heretic-tui: {text}")


def _check_the_working_folder() -> None:
    try:
        os.getcwd()
    except OSError as error:
        # Libraries end the process there without a word.
        raise UsageError("the working folder is not there any more: change to another one") from error


def _means_open(arguments: Sequence[str]) -> bool:
    """`heretic-tui`, `heretic-tui MODEL` and `heretic-tui --ascii` open the screen."""
    if not arguments:
        return True
    first = arguments[0]
    if first.startswith("-"):
        return first not in ("-h", "--help", "--version")
    return first not in _COMMANDS and ("/" in first or os.path.isdir(first))


def _with_hyphens(argument: str) -> str:
    flag, sign, value = argument.partition("=")
    return flag.replace("_", "-") + sign + value if flag.startswith("--") else argument


def parser_for(arguments: Sequence[str], streams: Streams) -> argparse.ArgumentParser:
    """A parser for a command line. Of the commands only those that it may mean have their settings: these take a moment
    to import."""
    parser = _Parser(
        prog="heretic-tui",
        description="A terminal workbench for directional ablation of open-weight language models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.streams = streams
    parser.add_argument("--version", action="version", version=f"heretic-tui {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command in _COMMANDS.values():
        sub = commands.add_parser(command.name, help=command.summary, description=command.summary, allow_abbrev=False)
        sub.streams = streams
        # Argparse would list a hundred flags here that the groups below explain.
        sub.usage = " ".join(filter(None, ["%(prog)s", command.usage, "[OPTIONS]"]))
        if command.name in arguments:
            _add_settings(sub, command)
        command.add_arguments(sub)
    return parser


def _add_settings(parser: argparse.ArgumentParser, command: Subcommand) -> None:
    from heretic_tui.settings.flags import add_flags

    text = "TOML file [heretic.toml in the working folder, if there]"
    parser.add_argument("--config", type=user_path, metavar="FILE", help=text)
    add_flags(parser, command.settings)


class _Parser(argparse.ArgumentParser):
    """Errors as one line like all others, with the nearest known name."""

    streams: Streams

    def _print_message(self, message: str, file: object = None) -> None:
        self.streams.out.write(message or "")

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        options, unknown = super().parse_known_args(args, namespace)
        if (words := getattr(options, "words", None)) is not None:
            # Argparse ends a list of words at the first flag; here it goes on after it.
            words += [word for word in unknown if not word.startswith("-")]
            unknown = [word for word in unknown if word.startswith("-")]
        if unknown:
            flag = unknown[0].partition("=")[0]
            hint = nearest(flag, self._option_string_actions) if flag.startswith("-") else ""
            raise UsageError(f"unknown argument {quoted(flag)}{hint} (`{self.prog} --help` lists all)")
        return options, unknown

    def error(self, message: str) -> NoReturn:
        if word := re.match(r"argument COMMAND: invalid choice: '(.*?)'", message):
            message = f"unknown command {quoted(word[1])}{nearest(word[1], _COMMANDS)}"
        message = re.sub(r"invalid int value: (?=')", "expected a whole number, not ", message)
        # Argparse repeats what was typed, however long.
        message = re.sub(r"'([^']{60})[^']*'", r"'\1…'", message)
        raise UsageError(f"{message} (see `{self.prog} --help`)")
