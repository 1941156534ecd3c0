"""A search on top of a trial of an earlier run, as the commands that begin runs take it: --from RUN --trial N."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from heretic_tui.cli.shared import find_run_of, user_settings
from heretic_tui.errors import UsageError
from heretic_tui.files import user_path

if TYPE_CHECKING:
    from heretic_tui.settings.schema import Settings


def add_earlier(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("Round two")
    group.add_argument(
        "--from",
        dest="earlier_run",
        metavar="RUN",
        help="search on top of an edit of this run, with its model and settings, but for those that are given here",
    )
    group.add_argument(
        "--trial", dest="earlier_trial", type=int, metavar="N", help="the trial whose edit that is (with --from)"
    )


def settings_of_earlier(options: argparse.Namespace) -> dict[str, object] | None:
    """What settings are where nothing else is said: those of the run that is named, on top of its trial; None where
    none is named.

    Raises:
        UsageError: for a run or a trial alone, a run that is not there, or a trial that was not measured in full.
    """
    name, number = options.earlier_run, options.earlier_trial
    if name is None and number is None:
        return None
    if name is None:
        raise UsageError("--trial is one of an earlier run: name that with --from RUN")
    from heretic_tui.run.rounds import read_base, whole_name
    from heretic_tui.run.run import Run
    from heretic_tui.settings.record import settings_on_top

    if number is None:
        folder = find_run_of(options, name)
        front = ", ".join(str(trial.number) for trial in Run(folder.path).state.front()) or "none yet"
        raise UsageError(f"name a trial of {folder.name} with --trial N; on its front are: {front}")
    own = user_settings(options)
    text = whole_name(f"{name}:{number}", user_path(own.runs_dir))
    # Where the run is gone, what was kept of it has its settings too.
    earlier = read_base(text, user_path(own.runs_dir)).rounds[-1]
    return settings_on_top(text, earlier.settings, own, earlier.run)


def settings_to_run(options: argparse.Namespace) -> Settings:
    """The settings of a run that is to be begun, a second round or not.

    Raises:
        UsageError: as `settings_of_earlier`, and where the model of the earlier run is gone.
    """
    earlier = settings_of_earlier(options)
    settings = user_settings(options, earlier)
    if earlier and os.path.isabs(settings.model) and not os.path.exists(settings.model):
        run, trial = options.earlier_run, options.earlier_trial
        raise UsageError(
            f"no such model folder: {settings.model}; where the model of {run} lies elsewhere now, give that folder: "
            f"heretic-tui run FOLDER --from {run} --trial {trial}"
        )
    return settings
