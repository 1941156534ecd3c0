"""The commands that look at a model and make no run: inspect, plan, score."""

from __future__ import annotations

import argparse

from heretic_tui.cli.command import EVERY_SETTING, Subcommand
from heretic_tui.cli.shared import add_json, add_model, check_model_is_named, user_settings, work_apart
from heretic_tui.errors import DONE, HereticError, UsageError
from heretic_tui.files import user_path
from heretic_tui.records import as_json
from heretic_tui.terminal import Streams
from heretic_tui.words import to_json


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_json(parser, "every matrix, as JSON")


def _inspect(options: argparse.Namespace, streams: Streams) -> int:
    settings = user_settings(options)
    check_model_is_named(settings)
    with work_apart(streams, "looking at the model"):
        from heretic_tui.engine.anatomy.inspect import inspect_model

        found = inspect_model(settings)
        streams.out.write_lines(*([to_json(found.to_json(), 1)] if options.json else found.lines()))
    return DONE


def _plan(options: argparse.Namespace, streams: Streams) -> int:
    settings = user_settings(options)
    check_model_is_named(settings)
    with work_apart(streams, "looking at the model") as work:
        from heretic_tui.machine import Looker as MachineLooker
        from heretic_tui.tui.outlook import survey, to_fix_words
        from heretic_tui.tui.plan_words import NAMES, plan_json, plan_lines
        from heretic_tui.tui.preview import Looker

        looker, machine = Looker(), MachineLooker()
        try:
            looker.fetch_configuration(settings, work)
        except UsageError as error:
            # What the machine has can be told all the same.
            work.note(str(error), "warning")
        *_, outlook = survey(settings, looker, machine)
        if options.probe and outlook.times:
            work.note(f"not probed: run {outlook.times.run} tells how long it takes")
        elif options.probe and outlook.model and not outlook.model.problem:
            try:
                looker.probe(settings, outlook.load, outlook.row_bytes, work)
                *_, outlook = survey(settings, looker, machine)
            except HereticError as error:
                # What follows from the files can be told all the same.
                work.note(f"not probed: {error}", "warning")
        if options.json:
            streams.out.write_lines(to_json(plan_json(outlook), 1))
        else:
            streams.out.write_hanging(NAMES, *plan_lines(outlook))
    if reasons := [finding.reason for finding in outlook.findings.values() if finding.state == "bad"]:
        raise UsageError(f"{to_fix_words(outlook)} ({reasons[0]})")
    return DONE


def _add_plan(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_json(parser, "the figures, as JSON (bytes and seconds)")
    text = (
        "where no earlier run of the model tells how long it takes, measure it in some twenty seconds: with a network "
        "of its shape, random weights and a fraction of its memory"
    )
    parser.add_argument("--probe", action="store_true", help=text)


def _add_score(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    text = "JSON with direction_index and components; given more than once, the edits are measured together"
    parser.add_argument("--edit", type=user_path, metavar="FILE", action="append", default=[], help=text)


def _score(options: argparse.Namespace, streams: Streams) -> int:
    settings = user_settings(options)
    check_model_is_named(settings)
    from heretic_tui.parameters import Parameters

    edits = [Parameters.from_file(file) for file in options.edit]
    with work_apart(streams, "scoring the edit") as work:
        from heretic_tui.engine.session.score import score

        found = score(settings, edits, work)
        streams.out.write_lines(to_json(as_json(found if len(edits) > 1 else found[0]), 1))
    return DONE


INSPECT = Subcommand(
    name="inspect",
    usage="[MODEL]",
    summary="what of a model would be edited; its weights are not loaded",
    settings=EVERY_SETTING,
    add_arguments=_add_inspect,
    run=_inspect,
    only_prints=True,
)
PLAN = Subcommand(
    name="plan",
    usage="[MODEL]",
    summary="what a run of a model would take of memory, GPUs, disk and time; no weights are loaded or downloaded",
    settings=EVERY_SETTING,
    add_arguments=_add_plan,
    run=_plan,
    only_prints=True,
)
SCORE = Subcommand(
    name="score",
    usage="[MODEL]",
    summary="measure edits as trials would be; without --edit, the original model",
    settings=EVERY_SETTING,
    add_arguments=_add_score,
    run=_score,
    only_prints=True,
)
