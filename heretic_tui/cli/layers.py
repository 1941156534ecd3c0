"""The commands that look at directions: geometry, tokens, plot, compare. They need the run folder; only what a trial
does to first tokens needs the model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from heretic_tui.behaviour import behaviour_of
from heretic_tui.cli.command import RUNS_DIR, Subcommand
from heretic_tui.cli.shared import add_json, add_run, find_run_of, user_settings, work_apart
from heretic_tui.errors import DONE, UsageError
from heretic_tui.files import user_path
from heretic_tui.records import as_json
from heretic_tui.terminal import Streams
from heretic_tui.words import quoted, to_json

if TYPE_CHECKING:
    from heretic_tui.events import LayersAnalysed
    from heretic_tui.layer_figures import LayerFigures
    from heretic_tui.run.folder import RunFolder


def _add_geometry(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    _add_method(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything that is known, of all direction methods, as JSON")
    form.add_argument("--csv", action="store_true", help="one line a layer, as CSV")


def _geometry(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.report.finding import finding
    from heretic_tui.report.layers import geometry_csv, geometry_text, of_method
    from heretic_tui.run.results import geometry_record, read_geometry

    folder = find_run_of(options, options.run)
    method, methods = _chosen(folder, options.method)
    behaviour = behaviour_of(folder.read_record().settings or {})
    problem = None
    try:
        found = read_geometry(folder)
    except UsageError as error:
        found, problem = None, f"{error}: this is found from the residuals, without the model"
    if found is None:
        found = _from_residuals(streams, folder, problem)
    if options.json:
        said = {
            name: list(finding(of_method(found, name, methods[0]).layers, found.refusal, behaviour).sentences)
            for name in methods
        }
        record = {**geometry_record(found), "finding": said.pop(methods[0]), "other_findings": said}
        streams.out.write_lines(to_json(record, 1))
        return DONE
    found = of_method(found, method, methods[0])
    if options.csv:
        streams.out.write_lines(*geometry_csv(found.layers).splitlines())
    else:
        streams.out.write_lines(*geometry_text(found, behaviour, method, methods))
    return DONE


def _add_method(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--method", metavar="NAME", help="one of the run's direction methods [the first]")


def _chosen(folder: RunFolder, named: str | None) -> tuple[str, list[str]]:
    """The direction method that is asked for, and all of the run.

    Raises:
        UsageError: where the run does not have it.
    """
    methods = folder.read_record().direction_methods
    if named is not None and named not in methods:
        raise UsageError(f"--method {quoted(named)}: run {folder.name} has {', '.join(methods)}")
    return named or methods[0], methods


def _from_residuals(streams: Streams, folder: RunFolder, problem: str | None) -> LayersAnalysed:
    """The part of the analysis that needs no model, for a run that has not made its own yet, or whose own cannot be
    read."""
    with work_apart(streams, "analysing the residuals", folder) as work:
        if problem:
            work.note(problem, "warning")
        from heretic_tui.engine.analysis.record import analysis_without_model

        found = analysis_without_model(folder, work)
        if not problem:
            work.note(f"which layer matters, and what the directions say, is not known yet: {_how(folder)}")
        return found


def _how(folder: RunFolder) -> str:
    """How the layers of a run are analysed."""
    return (
        "a run does that when its search is done (the same `heretic-tui run` command goes on with it), or on request: "
        f"a on Layers (heretic-tui attach {folder.called})"
    )


def _add_tokens(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    what = parser.add_mutually_exclusive_group()
    _add_method(what)
    what.add_argument("--trial", type=int, metavar="N", help="prompts that this trial moves most; loads the model")
    parser.add_argument("--count", type=_positive, default=8, metavar="N", help="tokens a layer, or prompts a set [8]")
    add_json(parser, "everything, of all direction methods, as JSON")


def _tokens(options: argparse.Namespace, streams: Streams) -> int:
    folder = find_run_of(options, options.run)
    if options.trial is None:
        lines = _tokens_of_directions(folder, options)
    else:
        lines = _tokens_of_trial(folder, options, streams)
    streams.out.write_lines(*lines)
    return DONE


def _tokens_of_directions(folder: RunFolder, options: argparse.Namespace) -> list[str]:
    from heretic_tui.report.layers import of_method, tokens_text
    from heretic_tui.run.results import read_geometry

    method, methods = _chosen(folder, options.method)
    found = read_geometry(folder)
    rows = {name: of_method(found, name, methods[0]).layers for name in methods} if found else {}
    if not rows or rows[method][-1].raises is None:
        raise UsageError(f"run {folder.name} has not read its directions yet: {_how(folder)}")
    if not options.json:
        return tokens_text(rows[method], options.count, method, methods)
    first, *others = methods
    tokens = [
        {
            "index": row.index,
            "layer": row.layer,
            **_tokens_of(row),
            "others": {name: _tokens_of(rows[name][row.index]) for name in others},
        }
        for row in rows[first]
    ]
    return [to_json(tokens, 1)]


def _tokens_of(row: LayerFigures) -> dict[str, object]:
    """What a layer's direction says, and each of several."""
    several = {"directions": as_json(row.directions)} if row.directions else {}
    return {"raises": row.raises, "lowers": row.lowers, **several}


def _tokens_of_trial(folder: RunFolder, options: argparse.Namespace, streams: Streams) -> list[str]:
    from heretic_tui.report.layers import shift_text
    from heretic_tui.run.results import read_shift

    shift = read_shift(folder, options.trial)
    if shift is None:
        own = user_settings(options)
        with work_apart(streams, "comparing first tokens", folder) as work:
            from heretic_tui.engine.session.score import shift_of_trial

            shift = shift_of_trial(folder, options.trial, own, work)
    if options.json:
        return [to_json(as_json(shift), 1)]
    return shift_text(shift, options.count, behaviour_of(folder.read_record().settings or {}))


def _add_plot(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--out", type=user_path, metavar="DIR", help="folder to write to [plots in the run folder]")
    parser.add_argument(
        "--method",
        metavar="NAME",
        default="pacmap",
        help="pacmap; pca, at once; or one of the run's direction methods: along its directions [pacmap]",
    )
    parser.add_argument("--layers", type=_layers, metavar="LIST", help="such as 5,10-14 [all]")
    parser.add_argument("--no-animation", action="store_true", help="no GIF")


def _plot(options: argparse.Namespace, streams: Streams) -> int:
    folder = find_run_of(options, options.run)
    methods = folder.read_record().direction_methods
    if options.method not in ("pacmap", "pca", *methods):
        there = ", ".join(["pacmap", "pca", *methods])
        raise UsageError(f"--method {quoted(options.method)}: for run {folder.name} there is {there}")
    target, animate = options.out or folder.plots / options.method, not options.no_animation
    with work_apart(streams, "drawing", folder) as work:
        from heretic_tui.engine.analysis.plots import plot_run

        title = Path(str(folder.read_record().model or folder.name)).name
        files = plot_run(folder, options.method, options.layers, title, target, animate, work)
    if animate:
        streams.out.write_lines(str(files[-1]))
    streams.out.write_lines(f"{len(files)} files in {target}")
    return DONE


def _add_compare(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("other", metavar="OTHER", help="the run that it is compared with")
    add_json(parser)


def _compare(options: argparse.Namespace, streams: Streams) -> int:
    from heretic_tui.report.runs import compare_text
    from heretic_tui.run.compare import compare_runs

    found = compare_runs(find_run_of(options, options.run), find_run_of(options, options.other))
    streams.out.write_lines(*([to_json(as_json(found), 1)] if options.json else compare_text(found)))
    return DONE


GEOMETRY = Subcommand(
    name="geometry",
    usage="RUN",
    summary="per layer: residual geometry, separation, what it does",
    settings=RUNS_DIR,
    add_arguments=_add_geometry,
    run=_geometry,
    only_prints=True,
)
TOKENS = Subcommand(
    name="tokens",
    usage="RUN",
    summary="what the directions say, or what a trial does to first tokens",
    settings=("runs_dir", "trust_remote_code"),
    add_arguments=_add_tokens,
    run=_tokens,
    only_prints=True,
)
PLOT = Subcommand(
    name="plot",
    usage="RUN",
    summary="draw both prompt sets, layer by layer: PNG files and a moving GIF",
    settings=RUNS_DIR,
    add_arguments=_add_plot,
    run=_plot,
)
COMPARE = Subcommand(
    name="compare",
    usage="RUN OTHER",
    summary="cosines between the directions of two runs",
    settings=RUNS_DIR,
    add_arguments=_add_compare,
    run=_compare,
    only_prints=True,
)


def _positive(text: str) -> int:
    if not _is_number(text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, not {text!r}")
    return int(text)


def _layers(text: str) -> list[int]:
    found: set[int] = set()
    for part in text.split(","):
        low, dash, high = (word.strip() for word in part.partition("-"))
        if not _is_number(low) or (dash and not _is_number(high)):
            raise argparse.ArgumentTypeError(f"expected layers such as 5,10-14, not {part.strip()!r}")
        if dash and int(high) < int(low):
            raise argparse.ArgumentTypeError(f"there are no layers from {low} to {high}: write {high}-{low}")
        found.update(range(int(low), int(high if dash else low) + 1))
    return sorted(found)


def _is_number(text: str) -> bool:
    # More digits than any model has layers would make a list that fills the memory.
    return text.isascii() and text.isdigit() and len(text) <= 5
