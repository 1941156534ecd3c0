"""What several commands have in common: arguments, the user's settings, the run that is meant, work apart from a
run."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from heretic_tui.errors import HereticError, UsageError
from heretic_tui.files import user_path
from heretic_tui.signals import interrupts
from heretic_tui.terminal import Streams, output_to_log
from heretic_tui.words import doing

if TYPE_CHECKING:
    from heretic_tui.events import Event
    from heretic_tui.run.folder import RunFolder
    from heretic_tui.settings.schema import Settings
    from heretic_tui.work import Work


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("given_model", nargs="?", metavar="MODEL", help="folder or Hub id of a chat model")


def add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="name of a run, or its beginning")


def add_json(parser: argparse.ArgumentParser, text: str = "as JSON") -> None:
    parser.add_argument("--json", action="store_true", help=text)


def given_settings(options: argparse.Namespace) -> dict[str, object]:
    """The settings that were given on the command line, by name."""
    from heretic_tui.settings.flags import flags_of

    given = flags_of(options)
    if model := getattr(options, "given_model", None):
        given["model"] = model
    return given


def user_settings(options: argparse.Namespace, base: Mapping[str, object] | None = None) -> Settings:
    """The user's settings.

    Args:
        base: defaults in place of the built-in ones.
    """
    from heretic_tui.settings.sources import load_settings

    return load_settings(given_settings(options), config=options.config, base=base)


def check_model_is_named(settings: Settings) -> None:
    if not settings.model:
        raise UsageError("no model given: name a folder or a Hub id (heretic-tui demo needs none)")


def runs_dir(options: argparse.Namespace) -> Path:
    return user_path(user_settings(options).runs_dir)


def find_run_of(options: argparse.Namespace, name: str) -> RunFolder:
    """The run that a name, or the beginning of one, means.

    Raises:
        UsageError: when there is none, or more than one.
    """
    from heretic_tui.run.folder import find_run

    return find_run(runs_dir(options), name)


@contextlib.contextmanager
def work_apart(streams: Streams, what: str, folder: RunFolder | None = None) -> Iterator[Work]:
    """For work that is not a run: events are printed as lines on standard error, results on standard output.

    Args:
        what: such as "exporting", for the message of a failure that was not foreseen.
        folder: the run that it is about, in whose words lines are, and whose log is to hold such a failure.
    """
    from heretic_tui.events import RunOpened
    from heretic_tui.report.printers import PlainPrinter
    from heretic_tui.run.journal import read_events
    from heretic_tui.run.state import RunState

    state = RunState()
    if folder:
        # What is wrong with the files is told by whatever needs them.
        with contextlib.suppress(HereticError, OSError):
            state = RunState.replay(each for each in read_events(folder.events) if isinstance(each, RunOpened))
    with output_to_log(streams) as log:
        try:
            from heretic_tui.control import Aborted, Control
            from heretic_tui.work import Work

            printer = PlainPrinter(streams.err, state)

            def emit(event: Event) -> None:
                state.fold(event)
                printer(event)

            control = Control()
            control.emit = emit
            with interrupts(control, streams.err):
                try:
                    yield Work(emit, control)
                except Aborted:
                    raise KeyboardInterrupt from None
        except HereticError:
            raise
        except Exception as error:
            now = f"{what} ({doing(state.phase)})" if state.phase else what
            raise log.failure(error, now, folder.log if folder else None) from error
