"""The commands that go through a whole run: run, demo."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from heretic_tui import __version__
from heretic_tui.cli.command import EVERY_SETTING, Subcommand
from heretic_tui.cli.rounds import add_earlier, settings_to_run
from heretic_tui.cli.screen import add_looks, has_terminal, open_setup
from heretic_tui.cli.shared import add_json, add_model, check_model_is_named, user_settings
from heretic_tui.errors import DONE, INTERRUPTED, HereticError
from heretic_tui.imports import large_imports
from heretic_tui.signals import interrupts
from heretic_tui.terminal import Streams, output_to_log
from heretic_tui.words import to_json

if TYPE_CHECKING:
    from heretic_tui.control import Control
    from heretic_tui.engine.session.session import Session
    from heretic_tui.events import Event
    from heretic_tui.run.folder import RunFolder
    from heretic_tui.settings.schema import Settings


def _add_run(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_earlier(parser)
    _add_lines(parser)


def _run(options: argparse.Namespace, streams: Streams) -> int:
    return _with_lines(settings_to_run(options), streams, options)


def _add_lines(parser: argparse.ArgumentParser) -> None:
    add_json(parser, "events as JSON lines")
    parser.add_argument(
        "--detach",
        action="store_true",
        help="run without this terminal: print how to attach as soon as the run has begun, and leave it running; its "
        "lines go to run.log in its folder",
    )


def _add_demo(parser: argparse.ArgumentParser) -> None:
    _add_lines(parser)
    parser.add_argument("--lines", action="store_true", help="lines in place of the screen, as without a terminal")
    add_looks(parser)


def _demo(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.demo.settings import settings_of_the_demo

    if options.json or options.lines or options.detach or not has_terminal():
        return _with_lines(user_settings(options, settings_of_the_demo()), streams, options)
    return open_setup(options, streams, settings_of_the_demo(), start=True)


RUN = Subcommand(
    name="run",
    usage="[MODEL]",
    summary="search for edits of a model and analyse its layers, or go on where an earlier run stopped",
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


def _with_lines(settings: Settings, streams: Streams, options: argparse.Namespace) -> int:
    if not options.detach:
        return run_with_lines(settings, streams, options.json)
    from heretic_tui.cli.detached import run_detached

    out = streams.out
    if not options.json:
        out.write_lines(f"heretic-tui {__version__}: loading torch and transformers …")

    def tell(folder: RunFolder, pid: int) -> None:
        if options.json:
            out.write_lines(to_json({"run": folder.name, "folder": str(folder.path), "pid": pid}))
            return
        run = folder.called
        out.write_lines(
            f"{folder.name} runs without this terminal (process {pid})",
            f"control it: heretic-tui attach {run}",
            f"watch it:   heretic-tui follow {run}",
            f"its lines:  {folder.lines}",
        )

    return run_detached(streams, lambda begun: run_with_lines(settings, streams, options.json, begun), tell)


def run_with_lines(
    settings: Settings, streams: Streams, json: bool, begun: Callable[[RunFolder], None] = lambda folder: None
) -> int:
    """A run from its first phase to its last trial, told on standard output. Other terminals can attach to it.

    Args:
        begun: called when the run folder is held, and the run can be attached to.
    """
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

            with large_imports():
                from heretic_tui.engine.inputs.check import check_inputs
                from heretic_tui.engine.search.study import hide_output_of_optuna
                from heretic_tui.engine.session.session import Session

            hide_output_of_optuna()
            control = Control()
            with interrupts(control, streams.err):
                # It imports the classes of the model, and what they need.
                with large_imports():
                    inputs = check_inputs(settings)
                session = Session(inputs, control)
                log.move_log(session.folder.log)
                hear = notifier.listener(session.state)
                session.listeners.append(hear)
                printer = JsonPrinter(out) if json else PlainPrinter(out, session.state)
                outcome = _run_attachable(session, control, printer, begun)
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
            run, trial = session.folder.called, front[0].number
            out.write_lines(
                f"next: heretic-tui export {run} --trial {trial} OUT",
                "      (more trials: the same command with a higher --n-trials; another run: another --seed;",
                f"      on top of that trial: heretic-tui run --from {run} --trial {trial})",
            )
    return DONE if outcome == "done" else INTERRUPTED


def _run_attachable(
    session: Session, control: Control, printer: Callable[[Event], None], begun: Callable[[RunFolder], None]
) -> str:
    """Run a session that other terminals can attach to, and close it; returns its outcome."""
    from heretic_tui.events import Notice
    from heretic_tui.run.attach.server import AttachServer, attachable

    # The engine's thread prints, and the server's.
    turn = threading.Lock()

    def heard(event: Event) -> None:
        # What people say to a model from other terminals is printed nowhere.
        if event.kept:
            with turn:
                printer(event)

    def say(text: str, level: str = "info") -> None:
        heard(Notice(text=text, level=level))

    server = AttachServer(session.folder, control, lambda: session.records, on_change=say)
    control.tell = server.hear
    session.listeners = [heard, server.hear, *session.listeners]
    try:
        with attachable(server, lambda text: say(text, "warning")):
            begun(session.folder)
            return session.run()
    finally:
        session.close()
