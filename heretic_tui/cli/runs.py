"""The commands that print what there is: runs, show, config."""

from __future__ import annotations

import argparse

from heretic_tui.cli.command import EVERY_SETTING, RUNS_DIR, Subcommand
from heretic_tui.cli.shared import add_json, add_run, find_run_of, runs_dir, user_settings
from heretic_tui.errors import DONE
from heretic_tui.terminal import Streams
from heretic_tui.words import to_json


def _runs(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.report.runs import overview_table
    from heretic_tui.run.folder import find_runs
    from heretic_tui.run.overview import overview

    where = runs_dir(options)
    found = [overview(folder) for folder in find_runs(where)]
    if options.json:
        streams.out.write_lines(to_json([run.to_json() for run in found], 1))
    else:
        streams.out.write_lines(*(overview_table(found) if found else [f"no runs in {where}"]))
    return DONE


def _add_show(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_json(parser, "everything, as JSON")


def _show(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.report.runs import details_text
    from heretic_tui.run.overview import details

    shown = details(find_run_of(options, options.run))
    streams.out.write_lines(*([to_json(shown.to_json(), 1)] if options.json else details_text(shown)))
    return DONE


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--interface", action="store_true", help="the settings of the screens instead: theme, keys, calls"
    )


def _config(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.settings.toml import interface_toml, to_toml

    if options.interface:
        from heretic_tui.settings.interface import load_interface
        from heretic_tui.tui.actions import named_actions
        from heretic_tui.tui.app import HereticApp

        assert HereticApp.BINDINGS, "all screens are imported"
        actions = {name: (each.key, each.tooltip or each.description) for name, each in named_actions().items()}
        streams.out.write(interface_toml(load_interface(), actions))
        return DONE
    streams.out.write(to_toml(user_settings(options)))
    return DONE


RUNS = Subcommand(
    name="runs",
    summary="list the runs there are",
    settings=RUNS_DIR,
    add_arguments=add_json,
    run=_runs,
    only_prints=True,
)
SHOW = Subcommand(
    name="show",
    usage="RUN",
    summary="a run's settings, trials and front",
    settings=RUNS_DIR,
    add_arguments=_add_show,
    run=_show,
    only_prints=True,
)
CONFIG = Subcommand(
    name="config",
    summary="print the effective settings as TOML that can be fed back in",
    settings=EVERY_SETTING,
    add_arguments=_add_config,
    run=_config,
    only_prints=True,
)
