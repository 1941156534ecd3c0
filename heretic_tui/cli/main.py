"""The commands: parses, then imports what it needs. Every failure is one line and an exit status."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from heretic_tui import __version__
from heretic_tui.cli.layers import COMMANDS as LAYERS_COMMANDS
from heretic_tui.cli.layers import add_commands as add_layers_commands
from heretic_tui.errors import HereticError, UsageError, one_line
from heretic_tui.files import user_path
from heretic_tui.signals import INTERRUPTED, interrupts, leaving_at_once
from heretic_tui.terminal import Output, Streams, keep_failure, output_to_log
from heretic_tui.words import doing, nearest, quoted, to_json

if TYPE_CHECKING:
    from heretic_tui.control import Control
    from heretic_tui.events import Emit
    from heretic_tui.run.folder import RunFolder
    from heretic_tui.settings.schema import Settings

DONE, FAILED = 0, 1

_COMMANDS = (
    "open",
    "follow",
    "demo",
    "run",
    "runs",
    "show",
    "inspect",
    "score",
    "export",
    "reproduce",
    "config",
    *LAYERS_COMMANDS,
)


class _All:
    """Holds every name."""

    def __contains__(self, name: object) -> bool:
        return True


# Which settings a command takes as flags: all, where the runs lie, or also how an export is written.
_ALL, _WHERE = _All(), ("runs_dir",)
_HOW = ("runs_dir", "max_shard_size", "full_normalization_lora_rank", "device_map", "max_memory", "trust_remote_code")
_ALLOWED = ("device_map", "max_memory", "trust_remote_code")

EPILOG = """
exit status: 0 done, 1 failed, 2 wrong input, 130 interrupted.
`heretic-tui COMMAND --help` lists the options of a command; `heretic-tui config` prints all settings.
"""


# What these print is all that they are for.
_PRINTS = ("runs", "show", "inspect", "score", "config", "geometry", "tokens", "compare")


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
        _see_the_working_folder()
        if _means_open(arguments):
            arguments = ["open", *arguments]
        options = _parser(arguments, streams).parse_args(arguments)
        if streams.out.closed and options.command in _PRINTS:
            raise UsageError("standard output is closed: there is nowhere to print to")
        if streams.out.closed and options.command not in ("open", "follow"):
            _say(streams.err, "standard output is closed: what would be printed there is left out")
        options.streams = streams
        return options.function(options)
    except HereticError as error:
        _say(streams.err, one_line(error))
        return error.exit_status
    except KeyboardInterrupt:
        _say(streams.err, "interrupted")
        return INTERRUPTED
    except SystemExit as done:
        # argparse has printed its help.
        return int(done.code or DONE)
    except Exception as error:
        path = keep_failure(error)
        _say(streams.err, f"{one_line(error)} (an error of the program itself; details: {path})")
        return FAILED


def _see_the_working_folder() -> None:
    try:
        os.getcwd()
    except OSError as error:
        # Libraries end the process there without a word.
        raise UsageError("the working folder is not there any more: change to another one") from error


def _say(err: Output, text: str) -> None:
    err.write(f"heretic-tui: {text}\n")


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


class _Parser(argparse.ArgumentParser):
    """Errors as one line like all others, with the nearest known name."""

    streams: Streams

    def _print_message(self, message: str, file: Any = None) -> None:
        self.streams.out.write(message or "")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        options, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flag = unknown[0].partition("=")[0]
            hint = nearest(flag, self._option_string_actions) if flag.startswith("-") else ""
            raise UsageError(f"unknown argument {quoted(flag)}{hint} (`{self.prog} --help` lists all)")
        return options, unknown

    def error(self, message: str) -> NoReturn:
        if word := re.match(r"argument COMMAND: invalid choice: '(.*?)'", message):
            message = f"unknown command {quoted(word[1])}{nearest(word[1], self._commands())}"
        # Argparse repeats what was typed, however long.
        message = re.sub(r"'([^']{60})[^']*'", r"'\1…'", message)
        raise UsageError(f"{message} (see `{self.prog} --help`)")

    def _commands(self) -> list[str]:
        return [name for action in self._actions for name in action.choices or ()]


def _parser(arguments: Sequence[str], streams: Streams) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="heretic-tui",
        description="A terminal workbench for directional ablation of open-weight language models.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.streams = streams
    parser.add_argument("--version", action="version", version=f"heretic-tui {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str, function: Any, text: str, settings: Container[str] = ()) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.streams = streams
        usage = {
            "open": "[MODEL]",
            "run": "[MODEL]",
            "inspect": "[MODEL]",
            "score": "[MODEL]",
            "show": "RUN",
            "export": "RUN --trial N OUT",
            "reproduce": "FILE OUT",
            "geometry": "RUN",
            "tokens": "RUN",
            "plot": "RUN",
            "compare": "RUN OTHER",
        }.get(name)
        if settings:
            # Argparse would list a hundred flags here that the groups below explain.
            sub.usage = " ".join(filter(None, ["%(prog)s", usage, "[OPTIONS]"]))
        sub.set_defaults(function=function)
        # The settings take a moment to import, and only the command that is called needs them.
        if settings and name in arguments:
            from heretic_tui.settings.flags import add_flags

            sub.add_argument(
                "--config",
                type=user_path,
                metavar="FILE",
                help="TOML file [heretic.toml in the working folder, if there]",
            )
            add_flags(sub, settings)
        return sub

    sub = command("open", _open, "open the screen (the default, with or without a MODEL)", settings=_ALL)
    sub.add_argument("given_model", nargs="?", metavar="MODEL", help="folder or Hub id of a chat model")
    _add_looks(sub)
    sub = command("follow", _follow, "watch a run of another terminal, live or long finished", settings=_WHERE)
    sub.add_argument("run", metavar="RUN", nargs="?", help="name of a run, or its beginning [the latest]")
    _add_looks(sub)
    sub = command("demo", _demo, "run the whole job on the small model that comes with the program", settings=_ALL)
    sub.add_argument("--json", action="store_true", help="events as JSON lines")
    sub.add_argument("--lines", action="store_true", help="lines in place of the screen, as without a terminal")
    _add_looks(sub)
    sub = command(
        "run", _run, "analyse a model, search for edits, or go on where an earlier run stopped", settings=_ALL
    )
    sub.add_argument("given_model", nargs="?", metavar="MODEL", help="folder or Hub id of a chat model")
    sub.add_argument("--json", action="store_true", help="events as JSON lines")
    sub = command("runs", _runs, "list the runs there are", settings=_WHERE)
    sub.add_argument("--json", action="store_true", help="as JSON")
    sub = command("show", _show, "a run's settings, trials and front", settings=_WHERE)
    sub.add_argument("run", metavar="RUN", help="name of a run, or its beginning")
    sub.add_argument("--json", action="store_true", help="everything, as JSON")
    sub = command("inspect", _inspect, "what of a model would be edited; its weights are not loaded", settings=_ALL)
    sub.add_argument("given_model", nargs="?", metavar="MODEL", help="folder or Hub id of a chat model")
    sub.add_argument("--json", action="store_true", help="every matrix, as JSON")
    sub = command(
        "score", _score, "measure one edit as a trial would be; without --edit, the base model", settings=_ALL
    )
    sub.add_argument("given_model", nargs="?", metavar="MODEL", help="folder or Hub id of a chat model")
    sub.add_argument("--edit", type=user_path, metavar="FILE", help="JSON with direction_index and components")
    sub = command("export", _export, "write a trial's model, load what was written, and measure it", settings=_HOW)
    sub.add_argument("run", metavar="RUN", help="name of a run, or its beginning")
    sub.add_argument("--trial", type=int, required=True, metavar="N", help="number of the trial")
    sub.add_argument("out", type=user_path, metavar="OUT", help="folder to write, which must not exist")
    sub.add_argument("--hub", metavar="NAME", help="then upload to this Hub repository (the token: HF_TOKEN)")
    sub.add_argument("--private", action="store_true", help="make a new repository a private one")
    sub.add_argument(
        "--as", dest="kind", choices=("merged", "adapter"), default="merged", help="whole model, or PEFT adapter"
    )
    sub.add_argument("--dora", action="store_true", help="a DoRA adapter: exact for row_normalization = full")
    add_layers_commands(command, _run_named, _task, _print, _settings)
    sub = command(
        "reproduce", _reproduce, "build an exported model again and compare every weight file's hash", settings=_ALLOWED
    )
    sub.add_argument("file", type=user_path, metavar="FILE", help="reproduce.json of an export")
    sub.add_argument("out", type=user_path, metavar="OUT", help="folder to write, which must not exist")
    for name in ("model", "good-prompts", "bad-prompts", "good-evaluation-prompts", "bad-evaluation-prompts"):
        text = f"where {name.replace('-', ' ')} lie{'s' * (name == 'model')}, if the record has but a name"
        sub.add_argument(f"--{name}", dest=f"place:{name.replace('-', '_')}", metavar="PATH", help=text)
    assert set(commands.choices) < set(_COMMANDS)
    command("config", _config, "print the effective settings as TOML that can be fed back in", settings=_ALL)
    return parser


def _settings(options: argparse.Namespace, base_defaults: dict[str, Any] | None = None) -> Settings:
    from heretic_tui.settings.sources import load_settings

    return load_settings(_flags(options), config=options.config, base=base_defaults)


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    from heretic_tui.settings.flags import flags_of

    flags = flags_of(options)
    if given := getattr(options, "given_model", None):
        flags["model"] = given
    return flags


# The long ones


def _demo(options: argparse.Namespace) -> int:
    from heretic_tui.demo.settings import settings_of_the_demo

    if options.json or options.lines or not _terminal():
        return _go(_settings(options, settings_of_the_demo()), options)
    return _open_screen(options, settings_of_the_demo(), start=True)


def _open(options: argparse.Namespace) -> int:
    _needs_terminal("`heretic-tui run MODEL` prints lines")
    return _open_screen(options)


def _follow(options: argparse.Namespace) -> int:
    from heretic_tui.run.folder import find_run, latest_run
    from heretic_tui.tui.host import FollowHost

    _needs_terminal("`heretic-tui show RUN` prints a run")
    runs_dir = _runs_dir(options)
    folder = find_run(runs_dir, options.run) if options.run else latest_run(runs_dir)
    from heretic_tui.tui.launch import open_screen

    return open_screen(options.streams, None, FollowHost(folder), ascii_only=options.ascii, mouse=not options.no_mouse)


def _open_screen(options: argparse.Namespace, base: dict[str, Any] | None = None, start: bool = False) -> int:
    from heretic_tui.settings.form import SettingsForm
    from heretic_tui.tui.launch import open_screen

    form = SettingsForm(_flags(options), options.config, base)
    return open_screen(options.streams, form, start=start, ascii_only=options.ascii, mouse=not options.no_mouse)


def _add_looks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    parser.add_argument("--no-mouse", action="store_true", help="leave the mouse to the terminal")


def _terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _needs_terminal(instead: str) -> None:
    if not _terminal():
        lacking = [name for name in ("stdin", "stdout") if not getattr(sys, name).isatty()]
        why = f"{' and '.join(lacking)} lead elsewhere" if lacking else "TERM names none that can be drawn on"
        raise UsageError(f"the screen needs a terminal on standard input and output ({why}); {instead}")


def _run(options: argparse.Namespace) -> int:
    return _go(_settings(options), options)


def _go(settings: Settings, options: argparse.Namespace) -> int:
    _model_given(settings)
    from heretic_tui.report.printers import JsonPrinter, PlainPrinter

    out, err = options.streams.out, options.streams.err
    with output_to_log(options.streams) as apart:
        # Told before the import: torch and transformers take seconds.
        if not options.json:
            out.write(f"heretic-tui {__version__}: loading torch and transformers …\n")
        try:
            from heretic_tui.control import Control
            from heretic_tui.engine.inputs.check import check_inputs
            from heretic_tui.engine.session.session import Session

            control = Control()
            with interrupts(control, err):
                session = Session(check_inputs(settings), control)
                apart.move_log(session.folder.log)
                session.listeners.append(JsonPrinter(out) if options.json else PlainPrinter(out, session.state))
                try:
                    outcome = session.run()
                finally:
                    session.close()
        except HereticError:
            raise
        except Exception as error:
            raise apart.failure(error, "looking at model and prompts") from error
        if not options.json and outcome == "done" and (front := session.state.front()):
            out.write(
                f"next: heretic-tui export {session.folder.name} --trial {front[0].number} OUT\n"
                "      (more trials: the same command with a higher --n-trials; another run: another --seed)\n"
            )
    return DONE if outcome == "done" else INTERRUPTED


def _inspect(options: argparse.Namespace) -> int:
    settings = _settings(options)
    _model_given(settings)
    with _task(options, "looking at the model"):
        from heretic_tui.engine.anatomy.inspect import inspect_model

        found = inspect_model(settings)
        lines = [to_json(found.to_json(), 1)] if options.json else found.lines()
        _print(options, *lines)
    return DONE


def _score(options: argparse.Namespace) -> int:
    settings = _settings(options)
    _model_given(settings)
    from heretic_tui.parameters import Parameters

    parameters = Parameters.from_file(options.edit) if options.edit else None
    with _task(options, "scoring the edit") as (emit, control):
        from heretic_tui.engine.session.score import score

        _print(options, to_json(score(settings, parameters, emit, control), 1))
    return DONE


def _export(options: argparse.Namespace) -> int:
    from heretic_tui.settings.flags import flags_of

    if options.dora and options.kind != "adapter":
        raise UsageError("--dora is a kind of adapter: add --as adapter")
    if options.hub:
        from heretic_tui.engine.export.hub import check_access

        check_access(options.hub, None)
    folder = _find_run(options)
    given, effective = flags_of(options), _settings(options)
    changes = {name: getattr(effective, name) for name in given if name != "runs_dir"}
    with _task(options, "exporting", folder) as (emit, control):
        from heretic_tui.engine.session.export import export_trial

        result = export_trial(
            folder, options.trial, options.out, options.kind, options.dora, changes, effective, emit, control
        )
        _print(options, f"{options.out}: {result['kind']}, {len(result['files'])} weight files")
        _print(options, f"{'':16}{'refusals':>10}  {'KL':>8}")
        base = result["base"]
        rows = [("base model", {**base, "kl_divergence": 0.0}), (f"trial {options.trial}", result["trial"])]
        if "exported" in result:
            rows.append(("exported", result["exported"]))
        for label, figures in rows:
            refusals = f"{figures['refusals']}/{figures['prompts']}"
            _print(options, f"{label:16}{refusals:>10}  {figures['kl_divergence']:8.4f}")
        if "not_measured" in result:
            _print(options, f"the exported files were not measured: {result['not_measured']}")
        if options.hub:
            from heretic_tui.engine.export.hub import upload

            url = upload(options.out, options.hub, options.private, None, emit, control)
            _print(options, f"uploaded: {url}")
    return DONE


def _reproduce(options: argparse.Namespace) -> int:
    own = _settings(options)
    given = {
        key.removeprefix("place:"): text for key, text in vars(options).items() if key.startswith("place:") and text
    }
    with _task(options, "building the model again") as (emit, control):
        from heretic_tui.engine.session.reproduce import reproduce

        result = reproduce(options.file, options.out, given, own, emit, control)
        for name, same in result["files"].items():
            _print(options, f"{name}: {'the same' if same else 'DIFFERENT'}")
    return DONE if all(result["files"].values()) else FAILED


# The short ones


def _runs(options: argparse.Namespace) -> int:
    from heretic_tui.report.runs import overview_table
    from heretic_tui.run.folder import find_runs
    from heretic_tui.run.overview import overview

    found = [overview(folder) for folder in find_runs(_runs_dir(options))]
    if options.json:
        _print(options, to_json(found, 1))
    elif found:
        _print(options, *overview_table(found))
    else:
        _print(options, f"no runs in {_runs_dir(options)}")
    return DONE


def _show(options: argparse.Namespace) -> int:
    from heretic_tui.report.runs import details_text
    from heretic_tui.run.overview import details

    shown = details(_find_run(options))
    _print(options, *([to_json(shown, 1)] if options.json else details_text(shown)))
    return DONE


def _config(options: argparse.Namespace) -> int:
    from heretic_tui.settings.toml import to_toml

    options.streams.out.write(to_toml(_settings(options)))
    return DONE


def _runs_dir(options: argparse.Namespace) -> Path:
    return user_path(_settings(options).runs_dir)


def _find_run(options: argparse.Namespace) -> RunFolder:
    return _run_named(options, options.run)


def _run_named(options: argparse.Namespace, name: str) -> RunFolder:
    from heretic_tui.run.folder import find_run

    return find_run(_runs_dir(options), name)


# What they share


def _model_given(settings: Settings) -> None:
    if not settings.model:
        raise UsageError("no model given: name a folder or a Hub id (heretic-tui demo needs none)")


def _print(options: argparse.Namespace, *lines: str) -> None:
    options.streams.out.write("".join(f"{line}\n" for line in lines))


@contextlib.contextmanager
def _task(options: argparse.Namespace, what: str, folder: RunFolder | None = None) -> Iterator[tuple[Emit, Control]]:
    """For work apart from a run: events as lines on standard error, results on standard output.

    Args:
        what: such as "exporting", for the line that tells of a failure nobody has foreseen.
        folder: the run whose log is to hold such a failure.
    """
    from heretic_tui.report.printers import PlainPrinter
    from heretic_tui.run.state import RunState

    err = options.streams.err
    state = RunState()
    with output_to_log(options.streams) as apart:
        try:
            from heretic_tui.control import Aborted, Control

            printer = PlainPrinter(err, state)

            def emit(event: Any) -> None:
                state.fold(event)
                printer(event)

            control = Control()
            with interrupts(control, err):
                try:
                    yield emit, control
                except Aborted:
                    raise KeyboardInterrupt from None
        except HereticError:
            raise
        except Exception as error:
            now = f"{what} ({doing(state.phase)})" if state.phase else what
            raise apart.failure(error, now, folder.log if folder else None) from error
