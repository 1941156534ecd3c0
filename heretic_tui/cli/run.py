"""The commands that go through a whole run: run, demo."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from heretic_tui import __version__
from heretic_tui.cli.command import EVERY_SETTING, Subcommand
from heretic_tui.cli.screen import add_looks, has_terminal, open_setup
from heretic_tui.cli.shared import add_json, add_model, check_model_is_named, user_settings
from heretic_tui.errors import DONE, INTERRUPTED, HereticError
from heretic_tui.signals import interrupts
from heretic_tui.terminal import Streams, output_to_log

if TYPE_CHECKING:
    from heretic_tui.settings.schema import Settings


def _add_run(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_json(parser, "events as JSON lines")


def _run(options: argparse.Namespace, streams: Streams) -> int:
    return run_with_lines(user_settings(options), streams, options.json)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    add_json(parser, "events as JSON lines")
    parser.add_argument("--lines", action="store_true", help="lines in place of the screen, as without a terminal")
    add_looks(parser)


def _demo(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.demo.settings import settings_of_the_demo

    if options.json or options.lines or not has_terminal():
        return run_with_lines(user_settings(options, settings_of_the_demo()), streams, options.json)
    return open_setup(options, streams, settings_of_the_demo(), start=True)


RUN = Subcommand(
    name="run",
    usage="[MODEL]",
    summary="analyse a model, search for edits, or go on where an earlier run stopped",
    settings=EVERY_SETTING,
    add_arguments=_add_run,
    run=_run,
)
DEMO = Subcommand(
    name="demo",
    summary="run the whole job on the small model that comes with the program",
    settings=EVERY_SETTING,
    add_arguments=_add_demo,
    run=_demo,
)


def run_with_lines(settings: Settings, streams: Streams, json: bool) -> int:
    """A run from its first phase to its last trial, told on standard output."""
    check_model_is_named(settings)
    from heretic_tui.events import RunFailed
    from heretic_tui.report.notify import Notifier, caller
    from heretic_tui.report.printers import JsonPrinter, PlainPrinter
    from heretic_tui.run.state import RunState
    from heretic_tui.settings.interface import load_interface

    out = streams.out
    calls = load_interface().notify.calls()
    with output_to_log(streams) as log:
        notifier = Notifier(calls, caller(streams), lambda text: streams.err.write_lines(f"heretic-tui: {text}"))
        hear = notifier.listener(RunState())
        # Told before the import: torch and transformers take seconds.
        if not json:
            out.write_lines(f"heretic-tui {__version__}: loading torch and transformers …")
        try:
            from heretic_tui.control import Control
            from heretic_tui.engine.inputs.check import check_inputs
            from heretic_tui.engine.search.study import hide_output_of_optuna
            from heretic_tui.engine.session.session import Session

            hide_output_of_optuna()
            control = Control()
            with interrupts(control, streams.err):
                session = Session(check_inputs(settings), control)
                log.move_log(session.folder.log)
                session.listeners.append(JsonPrinter(out) if json else PlainPrinter(out, session.state))
                hear = notifier.listener(session.state)
                session.listeners.append(hear)
                try:
                    outcome = session.run()
                finally:
                    session.close()
        except HereticError as error:
            hear(RunFailed(text=str(error)))
            raise
        except Exception as error:
            failure = log.failure(error, "looking at model and prompts")
            hear(RunFailed(text=str(failure)))
            raise failure from error
        finally:
            notifier.close()
        if not json and outcome == "done" and (front := session.state.front()):
            out.write_lines(
                f"next: heretic-tui export {session.folder.name} --trial {front[0].number} OUT",
                "      (more trials: the same command with a higher --n-trials; another run: another --seed)",
            )
    return DONE if outcome == "done" else INTERRUPTED
